"""Governors together: proposals, approvals, beacons, crashes and catch-up, on real ledgers."""

from pathlib import Path

import pytest
from governor_rig import POLICY, SENSOR, Village, evidence_of, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, Beacon, Member
from writ.node.sync import member_request
from writ.wire import coap
from writ_host import codec
from writ_host.consensus.cosign import ANSWER, ASK, PICK
from writ_host.consensus.messages import NO_ROUND, Decided, Lock, Prevote, Session, Share, Status
from writ_host.consensus.value import body_of
from writ_host.governor.core.pool import NotAccepted
from writ_host.governor.proposals import messages
from writ_host.governor.proposals.proposal import CERTIFIED, OPEN, REFUSED, STALE
from writ_host.governor.proposals.statement import ACT, ADMIT, RENEW, REVOKE, Statement
from writ_host.policy.source import PolicyFile
from writ_host.scope.folder import now_s


@pytest.fixture
def village(tmp_path: Path) -> Village:
    return Village(tmp_path)


def test_a_beacon_of_the_epoch_is_certified_by_itself(village: Village) -> None:
    village.run(lambda: all(ledger.beacon() for ledger in village.ledgers.values()))
    beacons = {ledger.beacon() for ledger in village.ledgers.values()}
    beacon = Beacon(capsules.parse(beacons.pop()))
    assert not beacons and beacon.epoch == 1 and abs(beacon.time - now_s()) < 10


def test_a_policy_needs_the_operators_that_the_policy_says(village: Village) -> None:
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    village.run(lambda: all(core.proposal(id) for core in village.cores.values()))
    assert village.view(3, id).operators == 2
    village.approve(2, id)
    for _ in range(40):
        village.step()
    assert village.all_at(1) and village.view(4, id).state == OPEN
    village.approve(4, id)
    village.run(lambda: village.all_at(2))
    assert {village.view(n, id).state for n in village.cores} == {CERTIFIED}
    assert village.soil.member.node_id in village.cores[3].policy.revoked
    # who said yes is known everywhere, with the reason
    assert [(who, yes, why) for who, yes, why, _ in village.view(1, id).approvals] == [
        ("ben", True, "seen by eye"),
        ("dora", True, "seen by eye"),
    ]
    # a beacon of the new epoch follows
    village.run(
        lambda: all(
            Beacon(capsules.parse(one.beacon())).epoch == 2 for one in village.ledgers.values()
        )
    )


def test_one_of_four_dead_and_it_goes_on_and_the_dead_one_catches_up(village: Village) -> None:
    village.down.add(4)
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    village.step()
    village.approve(1, id)
    village.approve(2, id)
    village.run(lambda: village.all_at(2))
    village.restart(4)
    village.run(lambda: village.all_at(2))
    assert (
        village.view(4, id).state in (CERTIFIED, STALE) if village.cores[4].proposal(id) else True
    )


def test_two_dead_and_nothing_changes(village: Village) -> None:
    village.down |= {3, 4}
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    village.step()
    village.approve(1, id)
    village.approve(2, id)
    for _ in range(400):
        village.step()
    assert village.all_at(1)
    village.restart(3)
    village.run(lambda: village.all_at(2))


def test_restarted_in_the_middle_everybody_goes_on(village: Village) -> None:
    id = village.propose(2, village.revocation(village.soil.member.node_id))
    village.step()
    village.approve(1, id)
    for number in village.cores:
        village.restart(number)
    village.approve(3, id)
    village.run(lambda: village.all_at(2))


def test_what_was_voted_for_is_still_known_after_a_power_cut(tmp_path: Path) -> None:
    """Two are locked on a value that all who heard of it had only in memory: nobody gets on."""
    village = Village(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    first = village.cores[1].committee.proposer(2, 0)
    other, voter, away = village.cores[1].committee.after(first)
    village.run(lambda: all(core.replica.active for core in village.cores.values()))
    village.down.add(away)

    def lose(sender: int, to: int, data: bytes) -> bool:
        # the voter does not learn that all have voted, and nobody learns that two have signed
        kind = messages.type_of(data)
        said = {Session.TYPE: first, Prevote.TYPE: other}
        return kind in (Share.TYPE, Status.TYPE) or (to == voter and said.get(kind) == sender)

    village.lose = lose
    village.propose(first, village.revocation(bytes(8)))
    village.step()
    promises = {number: core.replica.promise for number, core in village.cores.items()}
    assert [promises[number].locked_round for number in (first, voter)] == [0, NO_ROUND]
    assert sum(promise.locked_round == 0 for promise in promises.values()) == 2
    assert promises[voter].prevotes[0] == promises[first].locked
    for number in village.cores:
        village.restart(number)
    village.lose = lambda sender, to, data: False
    village.run(lambda: village.all_at(2))


def test_a_member_is_admitted_by_one_operator_with_its_request_only(village: Village) -> None:
    private = crypto.p256_generate()
    payload = member_payload(private, "tank", 101)
    with pytest.raises(NotAccepted):
        village.propose(1, [payload])
    id = village.propose(1, [payload], evidence_of(member_request(private, "tank")))
    village.step()
    village.approve(3, id)
    village.run(lambda: all(village.view(n, id).state == CERTIFIED for n in village.cores))
    raw = village.view(4, id).capsules[0]
    member = Member(capsules.parse(raw))
    assert (member.name, member.roles) == ("tank", SENSOR)
    assert all(ledger.member(member.node_id).raw == raw for ledger in village.ledgers.values())
    assert all(raw in village.news[n] for n in village.cores)


def test_what_became_of_a_proposal_is_known_after_a_restart(village: Village) -> None:
    """A command that waited while a governor took another seat was never told."""
    private = crypto.p256_generate()
    payload = member_payload(private, "tank", 101)
    evidence = evidence_of(member_request(private, "tank"))
    id = village.propose(1, [payload], evidence)
    village.step()
    village.approve(3, id)
    village.run(lambda: village.view(1, id).state == CERTIFIED)
    raws = village.view(1, id).capsules
    denied = village.propose(1, village.revocation(bytes(8)))
    village.step()
    for number in (2, 3):
        village.approve(number, denied, yes=False)
    village.run(lambda: village.view(1, denied).state == REFUSED)
    village.restart(1)
    assert (village.view(1, id).state, village.view(1, id).capsules) == (CERTIFIED, raws)
    assert village.view(1, denied).reason == "too many operators denied it"
    # another governor need not have heard of the proposal to know what it has become
    village.cores[4].pool.table = type(village.cores[4].pool.table)()
    assert village.propose(4, [payload], evidence) == id
    assert (village.view(4, id).state, village.view(4, id).capsules) == (CERTIFIED, raws)


def test_what_needs_nobody_any_more_is_closed_on_the_disk_too(village: Village) -> None:
    """It was kept while a person had to approve it, and stayed open for ever."""
    private = crypto.p256_generate()
    payload = member_payload(private, "tank", 101)
    id = village.propose(1, [payload], evidence_of(member_request(private, "tank")))
    village.step()
    freer = PolicyFile.parse(POLICY.replace("operators = 1", "operators = 0"))
    rules = village.propose(2, [freer.policy(2, village.cores[2].head, now_s()).payload()])
    village.step()
    for number in (2, 3):
        village.approve(number, rules)
    village.run(
        lambda: all(view.state == CERTIFIED for view in map(village.view, (1, 4), (id, id)))
    )
    assert not any(ledger.open_proposals() for ledger in village.ledgers.values())


def test_who_asked_for_a_neighbour_is_given_its_capsule(village: Village) -> None:
    """It was drafted anew each time that the device asked, and nobody was ever told."""
    private = crypto.p256_generate()
    asked = member_request(private, "probe"), b"code 17"
    statement = Statement.make(village.soil.private, ADMIT, *asked, issued=now_s()).raw
    assert village.ask(1, statement) == (coap.VALID, b"")
    (waiting,) = village.cores[1].pending()
    village.run(lambda: village.cores[2].proposal(waiting.id) is not None)
    village.approve(2, waiting.id)
    village.run(lambda: village.view(1, waiting.id).state == CERTIFIED)
    village.step()
    for number in village.cores:
        code, raw = village.ask(number, statement)
        assert code == coap.CHANGED and Member(capsules.parse(raw)).name == "probe"
    assert not village.cores[1].pending()
    # under another name it is another wish
    asked = member_request(private, "other"), b"code 17"
    other = Statement.make(village.soil.private, ADMIT, *asked, issued=now_s()).raw
    assert village.ask(1, other)[0] != coap.CHANGED


def test_an_operator_counts_once_whatever_its_number_was_before(village: Village) -> None:
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    village.step()
    village.approve(1, id)
    village.step()
    # as it is after a change of governors: numbers are places in a list, and lists change
    ledger = village.ledgers[2]
    ledger.write("UPDATE approvals SET number = 4 WHERE id = ?", id)
    ledger.write("UPDATE proposals SET proposer = 5 WHERE id = ?", id)
    village.restart(2)
    assert [said[0] for said in village.view(2, id).approvals] == ["anna"]
    assert village.view(2, id).proposer == "ben" and village.view(2, id).state == OPEN
    village.approve(2, id)
    village.run(lambda: village.all_at(2))


def test_operators_deny(village: Village) -> None:
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    village.step()
    village.approve(4, id, yes=False)
    village.step()
    assert village.view(1, id).state == OPEN
    # the other two are no quorum, whatever they say
    village.approve(1, id, yes=False)
    village.run(lambda: {village.view(n, id).state for n in village.cores} == {REFUSED})
    assert village.all_at(1)


@pytest.mark.parametrize("denying", [1, 2])
def test_denied_after_one_had_locked_it_and_the_epoch_is_not_stuck(
    village: Village, denying: int
) -> None:
    committee = village.cores[1].replica.committee
    first = committee.proposer(2, 0)
    *voters, dead = committee.after(first)
    village.down.add(dead)
    # all three vote for it, and only the round's proposer learns of that
    kept = {Session.TYPE, Share.TYPE, Lock.TYPE, Status.TYPE}
    village.lose = lambda sender, to, data: (
        data[1] in kept or (data[1] == Prevote.TYPE and to != first)
    )
    id = village.propose(first, village.revocation(village.soil.member.node_id))
    village.step()
    village.approve(first, id)
    village.approve(voters[0], id)
    village.run(lambda: village.cores[first].replica.promise.locked is not None)
    assert all(village.cores[number].replica.promise.prevotes[0] for number in voters)
    assert not any(village.cores[number].replica.promise.locked for number in voters)
    # one of them is told no, and has forgotten that it accepted it; the fourth is gone for good
    village.lose = lambda sender, to, data: False
    said = voters[1:] + [dead] * (denying - 1)
    for number in said:
        village.down.discard(number)
        if number == dead:
            village.run(lambda: village.cores[dead].proposal(id) is not None)
        village.approve(number, id, yes=False)
        if number == dead:
            village.down.add(dead)
    village.restart(voters[1])
    village.run(lambda: village.all_at(2), seconds=240)
    for number in (first, *voters):
        assert village.view(number, id).state == CERTIFIED


def test_a_device_renews_itself_without_anybody(village: Village) -> None:
    statement = Statement.make(village.soil.private, RENEW, issued=now_s()).raw
    assert village.ask(1, statement) == (coap.VALID, b"")
    village.run(lambda: village.ask(1, statement)[0] == coap.CHANGED)
    raw = village.ask(1, statement)[1]
    # the same from each governor, however often it is asked
    village.run(
        lambda: all(village.ask(n, statement) == (coap.CHANGED, raw) for n in village.cores)
    )
    renewed = Member(capsules.parse(raw))
    assert renewed.node_id == village.soil.member.node_id
    assert renewed.expires > village.soil.member.expires and renewed.roles == SENSOR


def test_right_after_a_succession_nobody_is_given_what_the_old_key_signed(
    village: Village,
) -> None:
    payload = member_payload(village.soil.private, "soil", 100, days=366)
    raw = capsules.assemble(payload, bytes(64))
    statement = Statement.make(village.soil.private, RENEW, issued=now_s()).raw
    ledger = village.ledgers[1]
    ledger.add_capsules([raw])
    assert village.ask(1, statement) == (coap.CHANGED, raw)
    succession = [2, bytes(6), bytes(32), village.group_key]
    payload = capsules.build(capsules.SUCCESSION, succession, iat=now_s())
    ledger.add_capsules([capsules.assemble(payload, bytes(64))])
    assert village.ask(1, statement) == (coap.VALID, b"")
    anew = capsules.assemble(capsules.parse(raw).payload, bytes(range(64)))
    ledger.add_capsules([anew])
    assert village.ask(1, statement) == (coap.CHANGED, anew)


def test_the_one_that_was_asked_dies_and_another_takes_over(village: Village) -> None:
    statement = Statement.make(village.soil.private, RENEW, issued=now_s()).raw
    village.lose = lambda sender, to, data: sender == 1 and data[1:3] == b"\x18\x10"
    village.ask(1, statement)
    village.step()
    village.down.add(1)
    village.run(lambda: village.ask(2, statement)[0] == coap.CHANGED)


def test_a_proposal_that_got_lost_is_told_again(village: Village) -> None:
    statement = Statement.make(village.soil.private, RENEW, issued=now_s()).raw
    # nobody hears of it, and all are asked to sign it
    village.lose = lambda sender, to, data: messages.type_of(data) == messages.PROPOSE
    village.ask(1, statement)
    village.step()
    assert village.ask(1, statement) == (coap.VALID, b"")
    village.lose = lambda sender, to, data: False
    village.run(lambda: village.ask(1, statement)[0] == coap.CHANGED, seconds=2)


def test_nobody_takes_over_from_who_is_at_work(village: Village) -> None:
    asked: set[int] = set()

    def lose(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK and body_of(codec.load(data)[2][0])[0] == MEMBER:
            asked.add(sender)
        # what this one asks for is never certified, but it asks
        return sender == 1 and messages.type_of(data) == PICK

    village.lose = lose
    statement = Statement.make(village.soil.private, RENEW, issued=now_s()).raw
    village.ask(1, statement)
    village.run(lambda: village.now_ms > 25000)
    assert asked == {1}
    village.down.add(1)
    village.run(lambda: village.ask(2, statement)[0] == coap.CHANGED, seconds=30)


def test_a_proposal_that_overtakes_a_decision_is_kept_until_that_is_here(tmp_path: Path) -> None:
    village = Village(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    village.run(lambda: all(ledger.beacon() for ledger in village.ledgers.values()))
    late = village.cores[1].committee.after(village.cores[1].proposer)[-1]
    held: list[tuple[int, bytes]] = []

    def hold(sender: int, to: int, data: bytes) -> bool:
        if to == late and data[1] == Decided.TYPE:
            held.append((sender, data))
        return bool(held) and to == late and data[1] == Decided.TYPE

    village.lose = hold
    first = next(number for number in village.cores if number != late)
    village.propose(first, village.revocation(bytes(8)))
    village.run(lambda: village.cores[first].epoch == 2, seconds=0.3)
    payloads = village.revocation(bytes([1]) * 8)
    id = village.propose(first, payloads)
    village.step()
    assert village.cores[late].epoch == 1 and village.cores[late].proposal(id) is None
    village.lose = lambda sender, to, data: False
    village.handle(late, village.cores[late].receive(*held[0], village.now_ms))
    assert village.cores[late].epoch >= 2 and village.cores[late].proposal(id) is not None
    village.run(lambda: village.all_at(3), seconds=0.3)


def test_a_burst_of_epochs_gets_one_beacon(tmp_path: Path) -> None:
    village = Village(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    village.run(lambda: all(ledger.beacon() for ledger in village.ledgers.values()))
    jobs: set[bytes] = set()

    def note(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK:
            jobs.add(codec.load(data)[1])
        return False

    village.lose = note
    for epoch in range(2, 5):
        village.propose(1, village.revocation(bytes([epoch]) * 8))
        village.run(lambda epoch=epoch: village.all_at(epoch), seconds=0.4)
    assert not jobs
    village.run(
        lambda: all(
            Beacon(capsules.parse(one.beacon())).epoch == 4 for one in village.ledgers.values()
        )
    )
    assert len(jobs) == 1


def test_in_a_long_burst_a_beacon_is_tried_once_a_second(tmp_path: Path) -> None:
    village = Village(tmp_path, policy=POLICY.replace("operators = 2", "operators = 0"))
    village.run(lambda: all(ledger.beacon() for ledger in village.ledgers.values()))
    began_ms, jobs = village.now_ms, set()

    def overtake(sender: int, to: int, data: bytes) -> bool:
        if messages.type_of(data) == ASK:
            jobs.add(codec.load(data)[1])
        return messages.type_of(data) == ANSWER

    village.lose = overtake
    epoch = 1
    while village.now_ms < began_ms + 5000:
        epoch += 1
        village.propose(1, village.revocation(bytes([epoch]) * 8))
        village.run(lambda epoch=epoch: village.all_at(epoch), seconds=0.4)
        village.step()
    assert epoch > 20 and 3 <= len(jobs) <= 5
    village.lose = lambda sender, to, data: False
    village.run(
        lambda: all(
            Beacon(capsules.parse(one.beacon())).epoch == epoch for one in village.ledgers.values()
        )
    )


def test_a_device_revokes_itself_and_nobody_else_can_say_so(village: Village) -> None:
    stranger = Statement.make(crypto.p256_generate(), REVOKE, "opened", issued=now_s()).raw
    assert village.ask(1, stranger)[0] == coap.FORBIDDEN
    statement = Statement.make(village.soil.private, REVOKE, "opened", issued=now_s()).raw
    village.ask(3, statement)
    village.run(lambda: village.all_at(2))
    assert village.soil.member.node_id in village.cores[1].policy.revoked
    assert village.ask(3, statement)[0] == coap.CHANGED


def test_an_action_needs_two_operators(village: Village) -> None:
    target = village.soil.member.node_id
    asked = (target, coap.PUT, "sluice", crypto.sha256(b"open"))
    statement = Statement.make(village.soil.private, ACT, *asked, issued=now_s()).raw
    village.ask(2, statement)
    village.step()
    (view,) = village.cores[4].pending()
    assert view.operators == 2
    village.approve(4, view.id)
    for _ in range(40):
        village.step()
    assert village.ask(2, statement) == (coap.VALID, b"")
    village.approve(1, view.id)
    village.run(lambda: village.ask(2, statement)[0] == coap.CHANGED)
    assert capsules.parse(village.ask(2, statement)[1]).kind == capsules.ACTION


def test_two_policies_at_once_become_one_and_the_other_is_stale(village: Village) -> None:
    other = crypto.sha256(b"other")[:8]
    one = village.propose(1, village.revocation(village.soil.member.node_id))
    two = village.propose(2, village.revocation(other))
    village.step()
    for id in (one, two):
        village.approve(3, id)
        village.approve(4, id)
    village.run(lambda: village.all_at(2))
    village.run(lambda: {village.view(n, one).state for n in village.cores} <= {CERTIFIED, STALE})
    states = {village.view(1, one).state, village.view(1, two).state}
    assert states == {CERTIFIED, STALE}


def test_garbage_raises_nothing(village: Village) -> None:
    core = village.cores[1]
    for data in (
        b"",
        b"\x00",
        b"\x82\x18\x20",
        b"\x82\x18\x20\x80",
        b"\x83\x18\x25\x00\x80",
        b"\x84\x10",
    ):
        core.receive(2, data, village.now_ms)
        core.receive(99, data, village.now_ms)


def test_a_clock_that_is_off_is_told_at_both_sides(village: Village) -> None:
    village.run(lambda: all(ledger.beacon() for ledger in village.ledgers.values()))
    # as long as this test takes, time stands still
    time_s = now_s()
    for number, core in village.cores.items():
        core.context.clock_s = lambda off_s=1200 * (number == 4): time_s + off_s
    wrong = village.cores[4]
    for number in (1, 4):
        village.cores[number].cosigning.beacon_due_ms = village.now_ms
        village.step()
    for number in (1, 2, 3):
        (other,) = village.cores[number].cosigning.clock_skew.over_limit()
        assert other == 4
    assert village.cores[4].cosigning.clock_skew.over_limit().keys() == {1}
    told = [(number, event.text) for number, event in village.events if event.name == "clock"]
    assert {number for number, _ in told} == {1, 2, 3, 4}
    assert "the clock of dora is 20 min ahead of ours" in dict(told)[1]
    # what a liar says again and again is told once
    for _ in range(5):
        village.cores[4].cosigning.beacon_due_ms = village.now_ms
        village.step()
    assert len([event for _, event in village.events if event.name == "clock"]) == len(told)
    # and who mends its clock is not told about any more
    wrong.context.clock_s = now_s
    village.cores[4].cosigning.beacon_due_ms = village.now_ms
    village.run(lambda: not village.cores[1].cosigning.clock_skew.over_limit())
