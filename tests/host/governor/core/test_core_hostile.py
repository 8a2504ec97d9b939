"""Cores against Byzantine governors, failing disks, lost messages and bad timing."""

import sqlite3
from pathlib import Path

import pytest
from governor_rig import Cluster, evidence_of, member_payload

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import ACTION, BEACON, MEMBER, WRIT, Member
from writ.authority.policy import OP_SET, PARAM_COMMITTEE
from writ.node.statement import member_request
from writ.wire import coap
from writ_host import codec
from writ_host.consensus.cosign import ASK
from writ_host.errors import HostError
from writ_host.governor.core.context import Outgoing
from writ_host.governor.core.pool import WANTED_EACH_MAX
from writ_host.governor.proposals import messages
from writ_host.governor.proposals.messages import CAPSULES, PROPOSE
from writ_host.governor.proposals.proposal import CERTIFIED, REFUSED
from writ_host.governor.proposals.statement import RENEW, REVOKE
from writ_host.scope import issuance
from writ_host.scope.folder import now_s
from writ_host.scope.issuance import Draft, LocalSigner

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def is_of(kind: int, data: bytes) -> bool:
    return messages.type_of(data) == kind


def seconds(cluster: Cluster, count: int) -> None:
    """Let time pass."""
    for _ in range(20 * count):
        cluster.step()


def admission(name: str, address: int) -> tuple[list[bytes], bytes]:
    """Payloads and evidence for a node that no governor knows yet."""
    private = crypto.p256_generate()
    return [member_payload(private, name, address)], evidence_of(member_request(private, name))


# --- the disk -------------------------------------------------------------------------------------


def test_a_core_sends_nothing_after_a_failed_write(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a governor of the fast path that is neither the proposer nor the coordinator
    voter = cluster.cores[1].replica.committee.after(cluster.cores[1].proposer)[0]
    ledger, core = cluster.ledgers[voter], cluster.cores[voter]
    seconds(cluster, 2)
    failed: list[bytes] = []

    def fail(committee: bytes, record: bytes) -> None:
        failed.append(record)
        raise ledger.database.explain(sqlite3.DatabaseError("database disk image is malformed"))

    monkeypatch.setattr(ledger, "save_hard_state", fail)
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    seconds(cluster, 1)
    with pytest.raises(HostError):
        cluster.approve(2, id)
        cluster.approve(3, id)
        seconds(cluster, 3)
    assert failed
    monkeypatch.undo()
    # a caller that catches the error and continues gets it again
    with pytest.raises(HostError):
        core.tick(cluster.now_ms + 10_000)
    with pytest.raises(HostError):
        core.receive(1, b"\x81\x05", cluster.now_ms + 10_000)


def test_a_withheld_signature_share_gives_no_name_twice(cluster: Cluster) -> None:
    """A signer cannot know whether its capsule was completed, so a name stays reserved."""
    ledger = cluster.ledgers[1]
    one, other = (
        member_payload(crypto.p256_generate(), "tank", address, days=30) for address in (101, 102)
    )
    assert ledger.reservations.reserve([one]) is None
    ledger.reservations.clock_s = lambda: now_s() + 29 * 86400
    assert ledger.reservations.reserve([other]) == "the name tank is reserved for another node"
    ledger.reservations.clock_s = lambda: now_s() + 31 * 86400
    assert ledger.reservations.reserve([other]) is None


# --- catching up ----------------------------------------------------------------------------------


def test_a_capsule_of_the_old_key_is_outdated_after_a_succession(cluster: Cluster) -> None:
    """A governor that was offline receives a member and the succession after it in one message."""
    core, ledger = cluster.cores[4], cluster.ledgers[4]
    tank = member_payload(crypto.p256_generate(), "tank", 101)
    body = [core.epoch + 1, core.head, bytes(32), bytes(range(32))]
    succession = capsules.build(capsules.SUCCESSION, body, iat=now_s())
    drafts = [Draft("tank", tank), Draft("succession", succession)]
    raws = issuance.sign(drafts, LocalSigner(cluster.local))
    core.receive(1, codec.dump([CAPSULES, None, raws]), cluster.now_ms)
    assert core.epoch == 2
    known = ledger.capsules.known(Member(capsules.parse(raws[0])).node_id)
    assert known is not None and known.is_of_former_key


# --- messages that are lost -----------------------------------------------------------------------


def test_lost_approvals_are_sent_again(cluster: Cluster) -> None:
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    seconds(cluster, 1)
    cluster.lose = lambda sender, to, data: is_of(messages.APPROVE, data)
    cluster.approve(1, id)
    cluster.approve(2, id)
    cluster.step()
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: cluster.all_at(2))


def test_a_returning_governor_receives_the_approvals_that_it_missed(cluster: Cluster) -> None:
    payloads, evidence = admission("tank", 101)
    id = cluster.propose(1, payloads, evidence)
    seconds(cluster, 1)
    cluster.down |= {3, 4}
    cluster.approve(2, id)
    seconds(cluster, 20)
    cluster.restart(3)
    cluster.run(lambda: cluster.view(3, id).state == CERTIFIED, 120)


def test_a_governor_that_withholds_a_proposal_does_not_block_requests_to_others(
    cluster: Cluster,
) -> None:
    cluster.lose = lambda sender, to, data: sender == 1 and is_of(PROPOSE, data)
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.step()
    cluster.lose = lambda sender, to, data: (sender, to) not in ((1, 2), (2, 1), (2, 4))
    summary = codec.dump([messages.SUMMARY, 0, [[id, 2, 0]]])
    for _ in range(20 * 12):
        cluster.handle(2, cluster.cores[2].receive(4, summary, cluster.now_ms))
        cluster.step()
    assert cluster.cores[2].proposal(id) is not None


def test_summaries_of_unknown_proposals_use_bounded_memory(cluster: Cluster) -> None:
    core = cluster.cores[2]

    def names(sender: int, first: int) -> list[int | None]:
        listed = [[number.to_bytes(16, "big"), 1, 0] for number in range(first, first + 64)]
        summary = codec.dump([messages.SUMMARY, 0, listed])
        outs = core.receive(sender, summary, cluster.now_ms)
        return [
            out.to for out in outs if isinstance(out, Outgoing) and is_of(messages.WANT, out.data)
        ]

    asked = [names(4, first) for first in range(0, 64 * 200, 64)]
    assert asked.count([4]) == WANTED_EACH_MAX // 64 == len(core.pool.requested[4]) // 64
    # others are asked as before, and this one again after a while
    assert names(3, 0) == [3]
    seconds(cluster, 6)
    assert names(4, 0) == [4]


# --- proposals that stand in each other's way -----------------------------------------------------


def test_a_device_revokes_itself_while_operators_are_asked_for_it(cluster: Cluster) -> None:
    """The same payloads need two operators without the device's statement, and none with it."""
    cluster.propose(2, cluster.revocation(cluster.soil.member.node_id))
    seconds(cluster, 1)
    statement = cluster.statement(REVOKE, "opened")
    cluster.ask(1, statement)
    cluster.run(lambda: cluster.all_at(2))


def test_a_batch_with_other_payloads_does_not_block_a_payload(cluster: Cluster) -> None:
    statement = cluster.statement(RENEW)
    cluster.lose = lambda sender, to, data: True
    cluster.ask(2, statement)
    (renewal,) = cluster.cores[2].pending()
    renewal_payload = cluster.cores[2].pool.proposals.get(renewal.id).payloads[0]
    cluster.restart(2)
    cluster.lose = lambda sender, to, data: False
    # without the statement and beside an admission: operators would have to approve
    payloads, (request,) = (both := admission("tank", 101))[0], codec.load(both[1])
    cluster.propose(4, [renewal_payload, *payloads], evidence_of(b"", request))
    seconds(cluster, 1)
    cluster.ask(2, statement)
    cluster.run(lambda: cluster.ask(2, statement)[0] == coap.CHANGED)


def test_a_byzantine_governor_takes_no_room_from_the_proposals_of_another(cluster: Cluster) -> None:
    """It sends many proposals that need operators to one governor, which passes them on."""
    items = []
    for number in range(32):
        payloads, evidence = admission(f"spam{number}", 200 + number)
        items.append([4, payloads, "spam", evidence, now_s()])
    cluster.lose = lambda sender, to, data: sender == 4
    for start in (0, 16):
        data = codec.dump([PROPOSE, items[start : start + 16]])
        cluster.handle(1, cluster.cores[1].receive(4, data, cluster.now_ms))
    cluster.run(lambda: len(cluster.cores[2].pending()) >= 32, 60)
    id = cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    seconds(cluster, 1)
    assert cluster.cores[2].proposal(id) and cluster.cores[3].proposal(id)
    cluster.approve(2, id)
    cluster.approve(3, id)
    cluster.run(lambda: cluster.cores[1].epoch == 2)


def test_a_proposal_dated_in_the_future_becomes_stale(cluster: Cluster) -> None:
    payloads, evidence = admission("tank", 101)
    item = [4, payloads, "tank", evidence, 0xFFFFFFFF]
    cluster.cores[1].receive(4, codec.dump([PROPOSE, [item]]), cluster.now_ms)
    (view,) = cluster.cores[1].pending()
    assert view.created_s <= now_s()


# --- batches, and time ----------------------------------------------------------------------------


def test_one_bad_item_does_not_stop_a_batch_while_a_governor_is_offline(cluster: Cluster) -> None:
    cluster.down.add(4)
    seconds(cluster, 3)
    bad, bad_evidence = admission("bad", 101)
    good, good_evidence = admission("good", 102)
    # governor 3 has reserved the address for another node
    cluster.ledgers[3].reservations.reserve([member_payload(crypto.p256_generate(), "other", 101)])
    cluster.lose = lambda sender, to, data: messages.type_of(data) == ASK
    ids = [cluster.propose(1, bad, bad_evidence), cluster.propose(1, good, good_evidence)]
    cluster.step()
    # both become ready at the same time, and so share a batch
    for number in (1, 2, 3):
        core = cluster.cores[number]
        core.cosigning._resend_due_ms = 0
    for id in ids:
        cluster.cores[2].approve_or_deny(id, True, "", cluster.now_ms)
    cluster.lose = lambda sender, to, data: False
    for number in (1, 3):
        said = [
            one.to_item(id)
            for id in ids
            for one in cluster.cores[2].pool.proposals.get(id).approvals.values()
        ]
        data = codec.dump([messages.APPROVE, said])
        cluster.handle(number, cluster.cores[number].receive(2, data, cluster.now_ms))
    cluster.run(lambda: cluster.view(1, ids[1]).state == CERTIFIED, 60)


def test_no_governor_busy_loops_while_too_few_are_online(cluster: Cluster) -> None:
    seconds(cluster, 3)
    cluster.down |= {3, 4}
    statement = cluster.statement(RENEW)
    cluster.ask(1, statement)
    busy = 0
    for _ in range(20 * 180):
        cluster.step()
        busy += cluster.cores[1].next_ms(cluster.now_ms) == 0
    assert busy < 20


# --- malformed payloads ---------------------------------------------------------------------------


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
def test_a_request_for_malformed_payloads_crashes_no_governor(
    cluster: Cluster, claims: dict[int, object]
) -> None:
    core = cluster.cores[1]
    payload = codec.dump(claims)
    asked = codec.dump([ASK, bytes(16), [payload]])
    outs = core.receive(2, asked, cluster.now_ms)
    assert not [out for out in outs if isinstance(out, Outgoing) and out.data[1] == 17]
    item = [2, [payload], "title", b"", now_s()]
    core.receive(2, codec.dump([PROPOSE, [item]]), cluster.now_ms)
    assert not core.pending()
    seconds(cluster, 1)


# --- operators' answers, and a change of governors ------------------------------------------------


def test_a_denied_proposal_that_is_sent_again_stays_refused(cluster: Cluster) -> None:
    payloads, evidence = admission("tank", 101)
    id = cluster.propose(4, payloads, evidence)
    seconds(cluster, 1)
    for number in cluster.cores:
        cluster.approve(number, id, yes=False)
    seconds(cluster, 1)
    item = [4, payloads, "again", evidence, now_s()]
    cluster.handle(1, cluster.cores[1].receive(4, codec.dump([PROPOSE, [item]]), cluster.now_ms))
    seconds(cluster, 1)
    assert cluster.view(1, id).state == REFUSED
    cluster.restart(1)
    cluster.handle(1, cluster.cores[1].receive(4, codec.dump([PROPOSE, [item]]), cluster.now_ms))
    seconds(cluster, 1)
    assert cluster.view(1, id).state == REFUSED


def test_an_interrupted_reseat_is_completed_after_the_restart(cluster: Cluster) -> None:
    """Power fails between the decision that names another committee and the reseat."""
    core = cluster.cores[1]
    body = [core.epoch + 1, core.head, [OP_SET, PARAM_COMMITTEE, bytes(range(8))]]
    body = check_amendment([capsules.AMENDMENT, *body])
    payloads = [capsules.build(capsules.AMENDMENT, body[1:]), amend(core.policy, body).payload()]
    drafts = [Draft("amendment", payloads[0]), Draft("policy", payloads[1])]
    raws = issuance.sign(drafts, LocalSigner(cluster.local))
    core.receive(2, codec.dump([CAPSULES, None, raws]), cluster.now_ms)  # and power fails
    cluster.restart(1)
    assert not cluster.cores[1].is_seated and cluster.reseats[1] == bytes(range(8))
    # the old key share signs nothing any more
    asked = codec.dump([ASK, bytes(16), [capsules.build(BEACON, [2, core.head], iat=now_s())]])
    assert not cluster.cores[1].receive(2, asked, cluster.now_ms)
