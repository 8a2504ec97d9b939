"""What a governor that lies, a disk that fails or bad luck could do to the others."""

import sqlite3
from pathlib import Path

import pytest
from governor_rig import Village, evidence_of, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import ACTION, BEACON, MEMBER, WRIT, Member
from writ.authority.policy import OP_SET, PARAM_COMMITTEE, check_amendment
from writ.node.sync import member_request
from writ.wire import coap
from writ_host import codec
from writ_host.consensus.cosign import ASK
from writ_host.errors import HostError
from writ_host.governor.core.context import Outgoing
from writ_host.governor.core.pool import WANTED_EACH_MAX
from writ_host.governor.proposals import messages
from writ_host.governor.proposals.messages import CAPSULES, PROPOSE
from writ_host.governor.proposals.proposal import CERTIFIED, REFUSED
from writ_host.governor.proposals.statement import RENEW, REVOKE, Statement
from writ_host.scope import issuance
from writ_host.scope.folder import now_s
from writ_host.scope.issuance import Draft, LocalSigner


@pytest.fixture
def village(tmp_path: Path) -> Village:
    return Village(tmp_path)


def is_of(kind: int, data: bytes) -> bool:
    return messages.type_of(data) == kind


def seconds(village: Village, count: int) -> None:
    """Let time pass."""
    for _ in range(20 * count):
        village.step()


def admission(name: str, address: int) -> tuple[list[bytes], bytes]:
    """Payloads and evidence for a node that nobody knows yet."""
    private = crypto.p256_generate()
    return [member_payload(private, name, address)], evidence_of(member_request(private, name))


# --- the disk -------------------------------------------------------------------------------------


def test_nothing_is_said_after_a_write_that_failed_in_any_way(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one of those who vote at once, and neither who proposes nor who puts it together
    voter = village.cores[1].replica.committee.after(village.cores[1].proposer)[0]
    ledger, core = village.ledgers[voter], village.cores[voter]
    seconds(village, 2)
    failed: list[bytes] = []

    def fail(committee: bytes, record: bytes) -> None:
        failed.append(record)
        raise ledger._explain(sqlite3.DatabaseError("database disk image is malformed"))

    monkeypatch.setattr(ledger, "save_promise", fail)
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    seconds(village, 1)
    with pytest.raises(HostError):
        village.approve(2, id)
        village.approve(3, id)
        seconds(village, 3)
    assert failed
    monkeypatch.undo()
    # whoever catches the error, and goes on, is told again
    with pytest.raises(HostError):
        core.tick(village.now_ms + 10_000)
    with pytest.raises(HostError):
        core.receive(1, b"\x81\x05", village.now_ms + 10_000)


def test_a_name_is_not_given_twice_by_a_share_that_was_kept_back(village: Village) -> None:
    """Who has signed can not know what becomes of it, so time alone frees no name."""
    ledger = village.ledgers[1]
    one, other = (
        member_payload(crypto.p256_generate(), "tank", address, days=30) for address in (101, 102)
    )
    assert ledger.pledge([one]) is None
    ledger.clock_s = lambda: now_s() + 29 * 86400
    assert ledger.pledge([other]) == "the name tank is promised to another node"
    ledger.clock_s = lambda: now_s() + 31 * 86400
    assert ledger.pledge([other]) is None


# --- catching up ----------------------------------------------------------------------------------


def test_what_the_old_key_signed_stays_of_the_old_key(village: Village) -> None:
    """A member and the succession after it come in one page, to a governor that was away."""
    core, ledger = village.cores[4], village.ledgers[4]
    tank = member_payload(crypto.p256_generate(), "tank", 101)
    body = [core.epoch + 1, core.head, bytes(32), bytes(range(32))]
    succession = capsules.build(capsules.SUCCESSION, body, iat=now_s())
    drafts = [Draft("tank", tank), Draft("succession", succession)]
    raws = issuance.sign(drafts, LocalSigner(village.local))
    core.receive(1, codec.dump([CAPSULES, None, raws]), village.now_ms)
    assert core.epoch == 2
    known = ledger.known(Member(capsules.parse(raws[0])).node_id)
    assert known is not None and known.is_outdated


# --- messages that are lost -----------------------------------------------------------------------


def test_approvals_that_were_lost_are_told_again(village: Village) -> None:
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    seconds(village, 1)
    village.lose = lambda sender, to, data: is_of(messages.APPROVE, data)
    village.approve(1, id)
    village.approve(2, id)
    village.step()
    village.lose = lambda sender, to, data: False
    village.run(lambda: village.all_at(2))


def test_those_who_were_away_hear_what_operators_said_meanwhile(village: Village) -> None:
    payloads, evidence = admission("tank", 101)
    id = village.propose(1, payloads, evidence)
    seconds(village, 1)
    village.down |= {3, 4}
    village.approve(2, id)
    seconds(village, 20)
    village.restart(3)
    village.run(lambda: village.view(3, id).state == CERTIFIED, 120)


def test_nobody_keeps_others_from_being_asked_by_naming_what_it_does_not_give(
    village: Village,
) -> None:
    village.lose = lambda sender, to, data: sender == 1 and is_of(PROPOSE, data)
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    village.step()
    village.lose = lambda sender, to, data: (sender, to) not in ((1, 2), (2, 1), (2, 4))
    summary = codec.dump([messages.SUMMARY, 0, [[id, 2, 0]]])
    for _ in range(20 * 12):
        village.handle(2, village.cores[2].receive(4, summary, village.now_ms))
        village.step()
    assert village.cores[2].proposal(id) is not None


def test_naming_proposals_that_are_not_there_fills_no_memory(village: Village) -> None:
    core = village.cores[2]

    def names(sender: int, first: int) -> list[int | None]:
        listed = [[number.to_bytes(16, "big"), 1, 0] for number in range(first, first + 64)]
        summary = codec.dump([messages.SUMMARY, 0, listed])
        outs = core.receive(sender, summary, village.now_ms)
        return [
            out.to for out in outs if isinstance(out, Outgoing) and is_of(messages.WANT, out.data)
        ]

    asked = [names(4, first) for first in range(0, 64 * 200, 64)]
    assert asked.count([4]) == WANTED_EACH_MAX // 64 == len(core.pool.requested[4]) // 64
    # others are asked as before, and it too after a while
    assert names(3, 0) == [3]
    seconds(village, 6)
    assert names(4, 0) == [4]


# --- proposals that stand in each other's way -----------------------------------------------------


def test_a_device_revokes_itself_though_people_are_asked_already(village: Village) -> None:
    """The same payloads without the device's word want two operators; with it, none."""
    village.propose(2, village.revocation(village.soil.member.node_id))
    seconds(village, 1)
    statement = Statement.make(village.soil.private, REVOKE, "opened", issued=now_s()).raw
    village.ask(1, statement)
    village.run(lambda: village.all_at(2))


def test_nobody_blocks_a_payload_by_proposing_it_with_others(village: Village) -> None:
    statement = Statement.make(village.soil.private, RENEW, issued=now_s())
    village.lose = lambda sender, to, data: True
    village.ask(2, statement.raw)
    (renewal,) = village.cores[2].pending()
    renewal_payload = village.cores[2].pool.table.get(renewal.id).payloads[0]
    village.restart(2)
    village.lose = lambda sender, to, data: False
    # without the statement, and with somebody else: people would have to agree
    payloads, (request,) = (both := admission("tank", 101))[0], codec.load(both[1])
    village.propose(4, [renewal_payload, *payloads], evidence_of(b"", request))
    seconds(village, 1)
    village.ask(2, statement.raw)
    village.run(lambda: village.ask(2, statement.raw)[0] == coap.CHANGED)


def test_a_liar_does_not_fill_what_another_governor_may_propose(village: Village) -> None:
    """It tells one governor of much that people must look at; the others hear it from that one."""
    items = []
    for number in range(32):
        payloads, evidence = admission(f"spam{number}", 200 + number)
        items.append([4, payloads, "spam", evidence, now_s()])
    village.lose = lambda sender, to, data: sender == 4
    for start in (0, 16):
        data = codec.dump([PROPOSE, items[start : start + 16]])
        village.handle(1, village.cores[1].receive(4, data, village.now_ms))
    village.run(lambda: len(village.cores[2].pending()) >= 32, 60)
    id = village.propose(1, village.revocation(village.soil.member.node_id))
    seconds(village, 1)
    assert village.cores[2].proposal(id) and village.cores[3].proposal(id)
    village.approve(2, id)
    village.approve(3, id)
    village.run(lambda: village.cores[1].epoch == 2)


def test_what_a_liar_dates_in_the_future_ages_too(village: Village) -> None:
    payloads, evidence = admission("tank", 101)
    item = [4, payloads, "tank", evidence, 0xFFFFFFFF]
    village.cores[1].receive(4, codec.dump([PROPOSE, [item]]), village.now_ms)
    (view,) = village.cores[1].pending()
    assert view.created_s <= now_s()


# --- batches, and time ----------------------------------------------------------------------------


def test_one_bad_item_stops_no_batch_while_one_governor_is_dead(village: Village) -> None:
    village.down.add(4)
    seconds(village, 3)
    bad, bad_evidence = admission("bad", 101)
    good, good_evidence = admission("good", 102)
    # governor 3 has promised the address to another one
    village.ledgers[3].pledge([member_payload(crypto.p256_generate(), "other", 101)])
    village.lose = lambda sender, to, data: messages.type_of(data) == ASK
    ids = [village.propose(1, bad, bad_evidence), village.propose(1, good, good_evidence)]
    village.step()
    # both are ready in one moment, and so share a batch
    for number in (1, 2, 3):
        core = village.cores[number]
        core.cosigning._resend_due_ms = 0
    for id in ids:
        village.cores[2].approve_or_deny(id, True, "", village.now_ms)
    village.lose = lambda sender, to, data: False
    for number in (1, 3):
        said = [
            one.to_item(id)
            for id in ids
            for one in village.cores[2].pool.table.get(id).approvals.values()
        ]
        data = codec.dump([messages.APPROVE, said])
        village.handle(number, village.cores[number].receive(2, data, village.now_ms))
    village.run(lambda: village.view(1, ids[1]).state == CERTIFIED, 60)


def test_no_governor_spins_while_too_few_are_up(village: Village) -> None:
    seconds(village, 3)
    village.down |= {3, 4}
    statement = Statement.make(village.soil.private, RENEW, issued=now_s()).raw
    village.ask(1, statement)
    busy = 0
    for _ in range(20 * 180):
        village.step()
        busy += village.cores[1].next_ms(village.now_ms) == 0
    assert busy < 20


# --- what is no capsule ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {WRIT: [BEACON, 99, bytes(6)]},
        {WRIT: [BEACON]},
        {WRIT: [BEACON, 1, bytes(6)], 6: "x"},
        {WRIT: [MEMBER]},
        {WRIT: [ACTION, 1]},
        {WRIT: [MEMBER, 1, 2], 2: 5, 4: "x"},
    ],
)
def test_asking_for_nonsense_ends_nobody(village: Village, claims: dict[int, object]) -> None:
    core = village.cores[1]
    payload = codec.dump(claims)
    asked = codec.dump([ASK, bytes(16), [payload]])
    outs = core.receive(2, asked, village.now_ms)
    assert not [out for out in outs if isinstance(out, Outgoing) and out.data[1] == 17]
    item = [2, [payload], "title", b"", now_s()]
    core.receive(2, codec.dump([PROPOSE, [item]]), village.now_ms)
    assert not core.pending()
    seconds(village, 1)


# --- what operators said --------------------------------------------------------------------------


def test_what_an_operator_denied_is_not_opened_again_without_that_word(village: Village) -> None:
    payloads, evidence = admission("tank", 101)
    id = village.propose(4, payloads, evidence)
    seconds(village, 1)
    for number in village.cores:
        village.approve(number, id, yes=False)
    seconds(village, 1)
    item = [4, payloads, "again", evidence, now_s()]
    village.handle(1, village.cores[1].receive(4, codec.dump([PROPOSE, [item]]), village.now_ms))
    seconds(village, 1)
    assert village.view(1, id).state == REFUSED
    village.restart(1)
    village.handle(1, village.cores[1].receive(4, codec.dump([PROPOSE, [item]]), village.now_ms))
    seconds(village, 1)
    assert village.view(1, id).state == REFUSED


def test_a_reseat_that_is_cut_short_is_done_after_the_restart(village: Village) -> None:
    """Between a decision that names other governors and what follows from it."""
    core = village.cores[1]
    body = [core.epoch + 1, core.head, [OP_SET, PARAM_COMMITTEE, bytes(range(8))]]
    body = check_amendment([capsules.AMENDMENT, *body])
    payloads = [capsules.build(capsules.AMENDMENT, body[1:]), core.policy.amended(body).payload()]
    drafts = [Draft("amendment", payloads[0]), Draft("policy", payloads[1])]
    raws = issuance.sign(drafts, LocalSigner(village.local))
    core.receive(2, codec.dump([CAPSULES, None, raws]), village.now_ms)  # and power fails
    village.restart(1)
    assert not village.cores[1].is_seated and village.reseats[1] == bytes(range(8))
    # the old share says nothing any more
    asked = codec.dump([ASK, bytes(16), [capsules.build(BEACON, [2, core.head], iat=now_s())]])
    assert not village.cores[1].receive(2, asked, village.now_ms)
