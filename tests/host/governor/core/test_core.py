"""Several cores with real ledgers: proposals, approvals, beacons, crashes and catch-up."""

from pathlib import Path

import pytest
from governor_rig import POLICY, SENSOR, Cluster, evidence_of, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, Beacon, Member
from writ.node.statement import member_request
from writ.wire import coap
from writ_host import codec
from writ_host.consensus.cosign import ANSWER, ASK, PICK
from writ_host.consensus.messages import (
    NO_ROUND,
    Decided,
    Prevote,
    PrevoteQuorum,
    Session,
    Share,
    Status,
)
from writ_host.consensus.value import body_of
from writ_host.governor.core.pool import NotAccepted
from writ_host.governor.proposals import messages
from writ_host.governor.proposals.proposal import CERTIFIED, OPEN, REFUSED, STALE
from writ_host.governor.proposals.statement import ACT, ADMIT, RENEW, REVOKE, Statement
from writ_host.policy.source import PolicyFile
from writ_host.scope.folder import now_s


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_governors_certify_a_beacon_without_a_request(cluster: Cluster) -> None:
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    beacons = {ledger.capsules.beacon() for ledger in cluster.ledgers.values()}
    beacon = Beacon(capsules.parse(beacons.pop()))
    assert not beacons and beacon.epoch == 1 and abs(beacon.time - now_s()) < 10


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
        said = {Session.TYPE: first, Prevote.TYPE: other}
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


def test_a_member_that_requests_an_admission_receives_the_capsule(cluster: Cluster) -> None:
    """Each request made a new draft, so the device never received an answer."""
    private = crypto.p256_generate()
    asked = member_request(private, "probe"), b"code 17"
    statement = Statement.make(cluster.soil.private, ADMIT, *asked, issued=now_s()).raw
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    (waiting,) = cluster.cores[1].pending()
    cluster.run(lambda: cluster.cores[2].proposal(waiting.id) is not None)
    cluster.approve(2, waiting.id)
    cluster.run(lambda: cluster.view(1, waiting.id).state == CERTIFIED)
    cluster.step()
    for number in cluster.cores:
        code, raw = cluster.ask(number, statement)
        assert code == coap.CHANGED and Member(capsules.parse(raw)).name == "probe"
    assert not cluster.cores[1].pending()
    # a request with another name is a new one
    asked = member_request(private, "other"), b"code 17"
    other = Statement.make(cluster.soil.private, ADMIT, *asked, issued=now_s()).raw
    assert cluster.ask(1, other)[0] != coap.CHANGED


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


@pytest.mark.parametrize("denying", [1, 2])
def test_a_denial_after_a_lock_does_not_block_the_epoch(cluster: Cluster, denying: int) -> None:
    committee = cluster.cores[1].replica.committee
    first = committee.proposer(2, 0)
    *voters, offline = committee.after(first)
    cluster.down.add(offline)
    # all three vote for the value, and only the round's proposer learns it
    kept = {Session.TYPE, Share.TYPE, PrevoteQuorum.TYPE, Status.TYPE}
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


def test_a_device_renews_itself_without_an_operator(cluster: Cluster) -> None:
    statement = Statement.make(cluster.soil.private, RENEW, issued=now_s()).raw
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    cluster.run(lambda: cluster.ask(1, statement)[0] == coap.CHANGED)
    raw = cluster.ask(1, statement)[1]
    # every governor gives the same capsule to every request
    cluster.run(
        lambda: all(cluster.ask(n, statement) == (coap.CHANGED, raw) for n in cluster.cores)
    )
    renewed = Member(capsules.parse(raw))
    assert renewed.node_id == cluster.soil.member.node_id
    assert renewed.expires > cluster.soil.member.expires and renewed.roles == SENSOR


def test_after_a_succession_no_member_receives_a_capsule_of_the_old_key(
    cluster: Cluster,
) -> None:
    payload = member_payload(cluster.soil.private, "soil", 100, days=366)
    raw = capsules.assemble(payload, bytes(64))
    statement = Statement.make(cluster.soil.private, RENEW, issued=now_s()).raw
    ledger = cluster.ledgers[1]
    ledger.capsules.add([raw])
    assert cluster.ask(1, statement) == (coap.CHANGED, raw)
    succession = [2, bytes(6), bytes(32), cluster.group_key]
    payload = capsules.build(capsules.SUCCESSION, succession, iat=now_s())
    ledger.capsules.add([capsules.assemble(payload, bytes(64))])
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    anew = capsules.assemble(capsules.parse(raw).payload, bytes(range(64)))
    ledger.capsules.add([anew])
    assert cluster.ask(1, statement) == (coap.CHANGED, anew)


def test_another_governor_takes_over_from_one_that_went_offline(cluster: Cluster) -> None:
    statement = Statement.make(cluster.soil.private, RENEW, issued=now_s()).raw
    cluster.lose = lambda sender, to, data: sender == 1 and data[1:3] == b"\x18\x10"
    cluster.ask(1, statement)
    cluster.step()
    cluster.down.add(1)
    cluster.run(lambda: cluster.ask(2, statement)[0] == coap.CHANGED)


def test_a_lost_proposal_is_sent_again(cluster: Cluster) -> None:
    statement = Statement.make(cluster.soil.private, RENEW, issued=now_s()).raw
    # all governors are asked to sign a proposal that none received
    cluster.lose = lambda sender, to, data: messages.type_of(data) == messages.PROPOSE
    cluster.ask(1, statement)
    cluster.step()
    assert cluster.ask(1, statement) == (coap.VALID, b"")
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: cluster.ask(1, statement)[0] == coap.CHANGED, seconds=2)


def test_no_governor_takes_over_from_one_that_still_asks(cluster: Cluster) -> None:
    asked: set[int] = set()

    def lose(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK and body_of(codec.load(data)[2][0])[0] == MEMBER:
            asked.add(sender)
        # governor 1 asks for signatures, and its jobs never succeed
        return sender == 1 and messages.type_of(data) == PICK

    cluster.lose = lose
    statement = Statement.make(cluster.soil.private, RENEW, issued=now_s()).raw
    cluster.ask(1, statement)
    cluster.run(lambda: cluster.now_ms > 25000)
    assert asked == {1}
    cluster.down.add(1)
    cluster.run(lambda: cluster.ask(2, statement)[0] == coap.CHANGED, seconds=30)


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


def test_a_burst_of_epochs_gets_one_beacon(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    jobs: set[bytes] = set()

    def note(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK:
            jobs.add(codec.load(data)[1])
        return False

    cluster.lose = note
    for epoch in range(2, 5):
        cluster.propose(1, cluster.revocation(bytes([epoch]) * 8))
        cluster.run(lambda epoch=epoch: cluster.all_at(epoch), seconds=0.4)
    assert not jobs
    cluster.run(
        lambda: all(
            Beacon(capsules.parse(one.capsules.beacon())).epoch == 4
            for one in cluster.ledgers.values()
        )
    )
    assert len(jobs) == 1


def test_in_a_long_burst_a_beacon_is_tried_once_a_second(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    began_ms, jobs = cluster.now_ms, set()

    def overtake(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK:
            jobs.add(codec.load(data)[1])
        return messages.type_of(data) == ANSWER

    cluster.lose = overtake
    epoch = 1
    while cluster.now_ms < began_ms + 5000:
        epoch += 1
        cluster.propose(1, cluster.revocation(bytes([epoch]) * 8))
        cluster.run(lambda epoch=epoch: cluster.all_at(epoch), seconds=0.4)
        cluster.step()
    assert epoch > 20 and 3 <= len(jobs) <= 5
    cluster.lose = lambda sender, to, data: False
    cluster.run(
        lambda: all(
            Beacon(capsules.parse(one.capsules.beacon())).epoch == epoch
            for one in cluster.ledgers.values()
        )
    )


def test_a_device_revokes_itself_and_no_stranger_can(cluster: Cluster) -> None:
    stranger = Statement.make(crypto.p256_generate(), REVOKE, "opened", issued=now_s()).raw
    assert cluster.ask(1, stranger)[0] == coap.FORBIDDEN
    statement = Statement.make(cluster.soil.private, REVOKE, "opened", issued=now_s()).raw
    cluster.ask(3, statement)
    cluster.run(lambda: cluster.all_at(2))
    assert cluster.soil.member.node_id in cluster.cores[1].policy.revoked
    assert cluster.ask(3, statement)[0] == coap.CHANGED


def test_an_action_needs_two_operators(cluster: Cluster) -> None:
    target = cluster.soil.member.node_id
    asked = (target, coap.PUT, "sluice", crypto.sha256(b"open"))
    statement = Statement.make(cluster.soil.private, ACT, *asked, issued=now_s()).raw
    cluster.ask(2, statement)
    cluster.step()
    (view,) = cluster.cores[4].pending()
    assert view.operators == 2
    cluster.approve(4, view.id)
    for _ in range(40):
        cluster.step()
    assert cluster.ask(2, statement) == (coap.VALID, b"")
    cluster.approve(1, view.id)
    cluster.run(lambda: cluster.ask(2, statement)[0] == coap.CHANGED)
    assert capsules.parse(cluster.ask(2, statement)[1]).kind == capsules.ACTION


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


def test_both_sides_of_a_clock_skew_warn_their_operators(cluster: Cluster) -> None:
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    # the clocks stand still during this test
    time_s = now_s()
    for number, core in cluster.cores.items():
        core.context.clock_s = lambda off_s=1200 * (number == 4): time_s + off_s
    wrong = cluster.cores[4]
    for number in (1, 4):
        cluster.cores[number].cosigning.beacon_due_ms = cluster.now_ms
        cluster.step()
    for number in (1, 2, 3):
        (other,) = cluster.cores[number].cosigning.clock_skew.over_limit()
        assert other == 4
    assert cluster.cores[4].cosigning.clock_skew.over_limit().keys() == {1}
    warnings = [(number, event.text) for number, event in cluster.events if event.name == "clock"]
    assert {number for number, _ in warnings} == {1, 2, 3, 4}
    assert "the clock of dora is 20 min ahead of ours" in dict(warnings)[1]
    # a repeated difference causes one warning
    for _ in range(5):
        cluster.cores[4].cosigning.beacon_due_ms = cluster.now_ms
        cluster.step()
    assert len([event for _, event in cluster.events if event.name == "clock"]) == len(warnings)
    # a corrected clock is within the limit again
    wrong.context.clock_s = now_s
    cluster.cores[4].cosigning.beacon_due_ms = cluster.now_ms
    cluster.run(lambda: not cluster.cores[1].cosigning.clock_skew.over_limit())
