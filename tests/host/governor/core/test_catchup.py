"""Governors that were away for long: they end where the group's signature says, seated or not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from governor_rig import POLICY, Village

from writ import crypto
from writ_host.governor.ledger import ledger as ledgers
from writ_host.governor.ledger.capsules import POLICIES_KEPT
from writ_host.governor.proposals import messages
from writ_host.keys.roster import committee_digest

ALONE = POLICY.replace("operators = 2", "operators = 0")


@pytest.fixture
def village(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Village:
    # as if epochs had passed by the thousand
    monkeypatch.setattr(ledgers, "CHAIN_KEPT", 4)
    return Village(tmp_path, policy=ALONE)


def pass_epochs(village: Village, count: int) -> int:
    """The others decide `count` epochs; the last one."""
    for _ in range(count):
        epoch = village.cores[1].epoch + 1
        village.propose(1, village.revocation(crypto.random_bytes(8)))
        village.run(lambda epoch=epoch: village.all_at(epoch))
    return village.cores[1].epoch


def only_capsules(stranger: int) -> Callable[[int, int, bytes], bool]:
    """What the others no longer say to one that is none of theirs: all but what is certified."""
    heard = (messages.SUMMARY, messages.PULL, messages.CAPSULES)
    return lambda sender, to, data: stranger in (sender, to) and messages.type_of(data) not in heard


def test_slept_through_more_decisions_than_are_kept_and_still_a_governor(village: Village) -> None:
    village.down.add(4)
    epoch = pass_epochs(village, POLICIES_KEPT + 4)
    assert village.ledgers[1].decision(2) is None
    village.restart(4)
    village.run(lambda: village.all_at(epoch))
    assert village.cores[4].is_seated
    # it takes part: without it the others are no quorum
    village.down.add(3)
    assert pass_epochs(village, 2) == village.cores[4].epoch == epoch + 2
    skipped = [event.facts for number, event in village.events if event.name == "skipped"]
    assert skipped == [{"first": 2, "last": epoch - 1}]


def test_who_is_told_decision_by_decision_skips_none(village: Village) -> None:
    village.down.add(4)
    epoch = pass_epochs(village, 3)
    village.restart(4)
    village.run(lambda: village.all_at(epoch))
    assert village.ledgers[4].heights() == village.ledgers[1].heights()
    for _ in range(400):
        village.step()
    assert not [event for _, event in village.events if event.name == "skipped"]


@pytest.mark.parametrize("epochs", [1, POLICIES_KEPT + 4])
def test_away_removed_and_long_forgotten_it_learns_that_others_govern(
    village: Village, epochs: int
) -> None:
    village.down.add(4)
    village.put_in_force(village.reshare([one.identity for one in village.local[:3]]))
    epoch = pass_epochs(village, epochs)
    village.lose = only_capsules(4)
    village.restart(4)
    assert village.cores[4].is_seated and village.cores[4].epoch == 1
    village.run(lambda: village.reseats.get(4) == committee_digest(village.local[0].seat))
    core = village.cores[4]
    assert not core.is_seated and core.epoch <= epoch
    # and after a restart nothing is in force by mistake
    village.restart(4)
    assert not village.cores[4].is_seated
    village.run(lambda: village.cores[4].epoch == epoch)
