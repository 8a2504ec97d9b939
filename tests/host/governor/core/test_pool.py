"""The proposal pool: approvals, results, and proposals that arrive early or together."""

from pathlib import Path

import pytest
from governor_rig import POLICY, SENSOR, Cluster, evidence_of, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import Beacon, Member
from writ.node.statement import member_request
from writ_host import codec
from writ_host.consensus.messages import Decided
from writ_host.governor.core.pool import NotAccepted
from writ_host.governor.proposals.approval import Approval
from writ_host.governor.proposals.messages import APPROVE
from writ_host.governor.proposals.proposal import CERTIFIED, OPEN, REFUSED, STALE
from writ_host.policy.source import PolicyFile
from writ_host.scope.folder import now_s


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_policy_needs_as_many_operators_as_its_approval_rule_says(cluster: Cluster) -> None:
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.run(lambda: all(core.proposal(id) for core in cluster.cores.values()))
    assert cluster.view(3, id).operators == 2
    cluster.approve(2, id)
    for _ in range(40):
        cluster.step()
    assert cluster.all_at(1) and cluster.view(4, id).state == OPEN
    cluster.approve(4, id)
    cluster.run(lambda: cluster.all_at(2))
    assert {cluster.view(n, id).state for n in cluster.cores} == {CERTIFIED}
    assert cluster.soil.member.node_id in cluster.cores[3].policy.revoked
    # every governor knows which operators approved, and why
    assert [(who, yes, why) for who, yes, why, _ in cluster.view(1, id).approvals] == [
        ("ben", True, "seen by eye"),
        ("dora", True, "seen by eye"),
    ]
    # a beacon of the new epoch follows
    cluster.run(
        lambda: all(
            Beacon(capsules.parse(one.capsules.beacon())).epoch == 2
            for one in cluster.ledgers.values()
        )
    )


def test_one_operator_admits_a_member_only_with_its_request(cluster: Cluster) -> None:
    private = crypto.p256_generate()
    payload = member_payload(private, "tank", 101)
    with pytest.raises(NotAccepted):
        cluster.propose(1, [payload])
    id = cluster.propose(1, [payload], evidence_of(member_request(private, "tank")))
    cluster.step()
    cluster.approve(3, id)
    cluster.run(lambda: all(cluster.view(n, id).state == CERTIFIED for n in cluster.cores))
    raw = cluster.view(4, id).capsules[0]
    member = Member(capsules.parse(raw))
    assert (member.name, member.roles) == ("tank", SENSOR)
    assert all(
        ledger.capsules.member(member.node_id).raw == raw for ledger in cluster.ledgers.values()
    )
    assert all(raw in cluster.news[n] for n in cluster.cores)


def test_the_result_of_a_proposal_is_known_after_a_restart(cluster: Cluster) -> None:
    """A command that waited while its governor changed seats never received the result."""
    private = crypto.p256_generate()
    payload = member_payload(private, "tank", 101)
    evidence = evidence_of(member_request(private, "tank"))
    id = cluster.propose(1, [payload], evidence)
    cluster.step()
    cluster.approve(3, id)
    cluster.run(lambda: cluster.view(1, id).state == CERTIFIED)
    raws = cluster.view(1, id).capsules
    denied = cluster.propose(1, cluster.revocation(bytes(8)))
    cluster.step()
    for number in (2, 3):
        cluster.approve(number, denied, yes=False)
    cluster.run(lambda: cluster.view(1, denied).state == REFUSED)
    cluster.restart(1)
    assert (cluster.view(1, id).state, cluster.view(1, id).capsules) == (CERTIFIED, raws)
    assert cluster.view(1, denied).reason == "too many operators denied it"
    # a governor that never received the proposal knows its result from the ledger
    cluster.cores[4].pool.proposals = type(cluster.cores[4].pool.proposals)()
    assert cluster.propose(4, [payload], evidence) == id
    assert (cluster.view(4, id).state, cluster.view(4, id).capsules) == (CERTIFIED, raws)


def test_a_proposal_that_needs_no_operator_any_more_is_closed_on_disk(cluster: Cluster) -> None:
    """It was saved while an operator had to approve it, and stayed open for ever."""
    private = crypto.p256_generate()
    payload = member_payload(private, "tank", 101)
    id = cluster.propose(1, [payload], evidence_of(member_request(private, "tank")))
    cluster.step()
    freer = PolicyFile.parse(POLICY.replace("operators = 1", "operators = 0"))
    rules = cluster.propose(2, [freer.policy(2, cluster.cores[2].head, now_s()).payload()])
    cluster.step()
    for number in (2, 3):
        cluster.approve(number, rules)
    cluster.run(
        lambda: all(view.state == CERTIFIED for view in map(cluster.view, (1, 4), (id, id)))
    )
    assert not any(ledger.proposals.open() for ledger in cluster.ledgers.values())


def test_an_approval_counts_once_after_its_governor_changed_numbers(cluster: Cluster) -> None:
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    cluster.approve(1, id)
    cluster.step()
    # as after a change of governors: a number is a place in the roster, and rosters change
    ledger = cluster.ledgers[2]
    ledger.database.write("UPDATE approvals SET number = 4 WHERE id = ?", id)
    ledger.database.write("UPDATE proposals SET proposer = 5 WHERE id = ?", id)
    cluster.restart(2)
    assert [said[0] for said in cluster.view(2, id).approvals] == ["anna"]
    assert cluster.view(2, id).proposer == "ben" and cluster.view(2, id).state == OPEN
    cluster.approve(2, id)
    cluster.run(lambda: cluster.all_at(2))


@pytest.mark.parametrize("first", [True, False])
def test_the_first_answer_of_an_operator_counts_in_memory_and_on_disk(
    cluster: Cluster, first: bool
) -> None:
    """A second answer replaced the first in memory, and the ledger kept the first."""
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    identity, key = cluster.local[3].identity, cluster.group_key
    for yes in (first, not first):
        answer = Approval.make(identity, key, 4, id, yes, "", now_s())
        data = codec.dump([APPROVE, [answer.to_item(id)]])
        cluster.handle(2, cluster.cores[2].receive(4, data, cluster.now_ms))
        assert [said[:2] for said in cluster.view(2, id).approvals] == [("dora", first)]
    cluster.restart(2)
    assert [said[:2] for said in cluster.view(2, id).approvals] == [("dora", first)]


def test_a_proposal_is_refused_once_a_quorum_is_impossible(cluster: Cluster) -> None:
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    cluster.approve(4, id, yes=False)
    cluster.step()
    assert cluster.view(1, id).state == OPEN
    # the other two are no quorum
    cluster.approve(1, id, yes=False)
    cluster.run(lambda: {cluster.view(n, id).state for n in cluster.cores} == {REFUSED})
    assert cluster.all_at(1)


def test_a_proposal_that_overtakes_a_decision_waits_for_it(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    late = cluster.cores[1].committee.after(cluster.cores[1].proposer)[-1]
    held: list[tuple[int, bytes]] = []

    def hold(sender: int, to: int, data: bytes) -> bool:
        if to == late and data[1] == Decided.TYPE:
            held.append((sender, data))
        return bool(held) and to == late and data[1] == Decided.TYPE

    cluster.lose = hold
    first = next(number for number in cluster.cores if number != late)
    cluster.propose(first, cluster.revocation(bytes(8)))
    cluster.run(lambda: cluster.cores[first].epoch == 2, seconds=0.3)
    payloads = cluster.revocation(bytes([1]) * 8)
    id = cluster.propose(first, payloads)
    cluster.step()
    assert cluster.cores[late].epoch == 1 and cluster.cores[late].proposal(id) is None
    cluster.lose = lambda sender, to, data: False
    cluster.handle(late, cluster.cores[late].receive(*held[0], cluster.now_ms))
    assert cluster.cores[late].epoch >= 2 and cluster.cores[late].proposal(id) is not None
    cluster.run(lambda: cluster.all_at(3), seconds=0.3)


def test_of_two_concurrent_policies_one_is_certified_and_one_stale(cluster: Cluster) -> None:
    other = crypto.sha256(b"other")[:8]
    one = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    two = cluster.propose(2, cluster.revocation(other))
    cluster.step()
    for id in (one, two):
        cluster.approve(3, id)
        cluster.approve(4, id)
    cluster.run(lambda: cluster.all_at(2))
    cluster.run(lambda: {cluster.view(n, one).state for n in cluster.cores} <= {CERTIFIED, STALE})
    states = {cluster.view(1, one).state, cluster.view(1, two).state}
    assert states == {CERTIFIED, STALE}
