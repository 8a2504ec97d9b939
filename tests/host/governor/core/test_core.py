"""Several cores with real ledgers: decisions, crashes and locks."""

from pathlib import Path

import pytest
from governor_rig import POLICY, Cluster

from writ_host.consensus.messages import (
    NO_ROUND,
    Prevote,
    PrevoteQuorum,
    Share,
    SigningSession,
    Status,
)
from writ_host.governor.proposals import messages
from writ_host.governor.proposals.proposal import CERTIFIED, STALE


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_three_of_four_governors_decide_and_the_fourth_catches_up(cluster: Cluster) -> None:
    cluster.down.add(4)
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    cluster.approve(1, id)
    cluster.approve(2, id)
    cluster.run(lambda: cluster.all_at(2))
    cluster.restart(4)
    cluster.run(lambda: cluster.all_at(2))
    assert (
        cluster.view(4, id).state in (CERTIFIED, STALE) if cluster.cores[4].proposal(id) else True
    )


def test_two_of_four_governors_decide_nothing(cluster: Cluster) -> None:
    cluster.down |= {3, 4}
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    cluster.approve(1, id)
    cluster.approve(2, id)
    for _ in range(400):
        cluster.step()
    assert cluster.all_at(1)
    cluster.restart(3)
    cluster.run(lambda: cluster.all_at(2))


def test_all_governors_continue_after_a_restart_during_approval(cluster: Cluster) -> None:
    id = cluster.propose(2, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    cluster.approve(1, id)
    for number in cluster.cores:
        cluster.restart(number)
    cluster.approve(3, id)
    cluster.run(lambda: cluster.all_at(2))


def test_a_value_with_votes_is_still_known_after_a_power_cut(tmp_path: Path) -> None:
    """Two governors were locked on a value that no governor had on disk, so no epoch followed."""
    cluster = Cluster(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    first = cluster.cores[1].committee.proposer(2, 0)
    other, voter, away = cluster.cores[1].committee.after(first)
    cluster.run(lambda: all(core.replica.is_active for core in cluster.cores.values()))
    cluster.down.add(away)

    def lose(sender: int, to: int, data: bytes) -> bool:
        # the voter does not learn that all have voted; no governor learns that two have signed
        kind = messages.type_of(data)
        said = {SigningSession.TYPE: first, Prevote.TYPE: other}
        return kind in (Share.TYPE, Status.TYPE) or (to == voter and said.get(kind) == sender)

    cluster.lose = lose
    cluster.propose(first, cluster.revocation(bytes(8)))
    cluster.step()
    records = {number: core.replica.hard_state for number, core in cluster.cores.items()}
    assert [records[number].locked_round for number in (first, voter)] == [0, NO_ROUND]
    assert sum(record.locked_round == 0 for record in records.values()) == 2
    assert records[voter].prevotes[0] == records[first].locked
    for number in cluster.cores:
        cluster.restart(number)
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: cluster.all_at(2))


@pytest.mark.parametrize("denying", [1, 2])
def test_a_denial_after_a_lock_does_not_block_the_epoch(cluster: Cluster, denying: int) -> None:
    committee = cluster.cores[1].replica.committee
    first = committee.proposer(2, 0)
    *voters, offline = committee.after(first)
    cluster.down.add(offline)
    # all three vote for the value, and only the round's proposer learns it
    kept = {SigningSession.TYPE, Share.TYPE, PrevoteQuorum.TYPE, Status.TYPE}
    cluster.lose = lambda sender, to, data: (
        data[1] in kept or (data[1] == Prevote.TYPE and to != first)
    )
    id = cluster.propose(first, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    cluster.approve(first, id)
    cluster.approve(voters[0], id)
    cluster.run(lambda: cluster.cores[first].replica.hard_state.locked is not None)
    assert all(cluster.cores[number].replica.hard_state.prevotes[0] for number in voters)
    assert not any(cluster.cores[number].replica.hard_state.locked for number in voters)
    # the operator of a voter denies it, and a restart clears what that voter had accepted
    cluster.lose = lambda sender, to, data: False
    for number in voters[1:] + [offline] * (denying - 1):
        cluster.down.discard(number)
        if number == offline:
            cluster.run(lambda: cluster.cores[offline].proposal(id) is not None)
        cluster.approve(number, id, yes=False)
        if number == offline:
            cluster.down.add(offline)
    cluster.restart(voters[1])
    cluster.run(lambda: cluster.all_at(2), seconds=240)
    for number in (first, *voters):
        assert cluster.view(number, id).state == CERTIFIED


def test_garbage_raises_nothing(cluster: Cluster) -> None:
    core = cluster.cores[1]
    for data in (
        b"",
        b"\x00",
        b"\x82\x18\x20",
        b"\x82\x18\x20\x80",
        b"\x83\x18\x25\x00\x80",
        b"\x84\x10",
    ):
        core.receive(2, data, cluster.now_ms)
        core.receive(99, data, cluster.now_ms)
