"""Catch-up: a governor that was offline for long reaches the state that the group has signed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from governor_rig import POLICY, Cluster

from writ import crypto
from writ_host.governor.ledger import ledger as ledgers
from writ_host.governor.ledger.capsules import POLICIES_KEPT
from writ_host.governor.proposals import messages
from writ_host.keys.roster import committee_digest

ALONE = POLICY.replace("operators = 2", "operators = 0")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    # a short chain stands for thousands of epochs
    monkeypatch.setattr(ledgers, "CHAIN_KEPT", 4)
    return Cluster(tmp_path, policy=ALONE)


def pass_epochs(cluster: Cluster, count: int) -> int:
    """Let the other governors decide `count` epochs; the last epoch."""
    for _ in range(count):
        epoch = cluster.cores[1].epoch + 1
        cluster.propose(1, cluster.revocation(crypto.random_bytes(8)))
        cluster.run(lambda epoch=epoch: cluster.all_at(epoch))
    return cluster.cores[1].epoch


def only_capsules(stranger: int) -> Callable[[int, int, bytes], bool]:
    """Lose all messages from and to a former governor but those of catch-up."""
    kept = (messages.SUMMARY, messages.PULL, messages.CAPSULES)
    return lambda sender, to, data: stranger in (sender, to) and messages.type_of(data) not in kept


def test_a_governor_skips_epochs_whose_decisions_no_ledger_keeps(cluster: Cluster) -> None:
    cluster.down.add(4)
    epoch = pass_epochs(cluster, POLICIES_KEPT + 4)
    assert cluster.ledgers[1].decision(2) is None
    cluster.restart(4)
    cluster.run(lambda: cluster.all_at(epoch))
    assert cluster.cores[4].is_seated
    # it takes part: without it the other two are no quorum
    cluster.down.add(3)
    assert pass_epochs(cluster, 2) == cluster.cores[4].epoch == epoch + 2
    skipped = [event.facts for number, event in cluster.events if event.name == "skipped"]
    assert skipped == [{"first": 2, "last": epoch - 1}]


def test_a_governor_that_receives_every_decision_skips_no_epoch(cluster: Cluster) -> None:
    cluster.down.add(4)
    epoch = pass_epochs(cluster, 3)
    cluster.restart(4)
    cluster.run(lambda: cluster.all_at(epoch))
    assert cluster.ledgers[4].heights() == cluster.ledgers[1].heights()
    for _ in range(400):
        cluster.step()
    assert not [event for _, event in cluster.events if event.name == "skipped"]


@pytest.mark.parametrize("epochs", [1, POLICIES_KEPT + 4])
def test_a_governor_removed_while_offline_learns_that_others_govern(
    cluster: Cluster, epochs: int
) -> None:
    cluster.down.add(4)
    cluster.put_in_force(cluster.reshare([one.identity for one in cluster.local[:3]]))
    epoch = pass_epochs(cluster, epochs)
    cluster.lose = only_capsules(4)
    cluster.restart(4)
    assert cluster.cores[4].is_seated and cluster.cores[4].epoch == 1
    cluster.run(lambda: cluster.reseats.get(4) == committee_digest(cluster.local[0].seat))
    core = cluster.cores[4]
    assert not core.is_seated and core.epoch <= epoch
    # its committee is not in force after a restart either
    cluster.restart(4)
    assert not cluster.cores[4].is_seated
    cluster.run(lambda: cluster.cores[4].epoch == epoch)
