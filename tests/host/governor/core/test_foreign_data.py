"""Every node of every message, capsule and evidence kind, changed once: nothing of it raises."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import judge_rig
import pytest
from governor_rig import Cluster, evidence_of, member_payload
from judge_rig import Heirs, Scope, action, asks, member, node_of, renewal, request, says, whole
from mutation_rig import mutants

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import BEACON
from writ.node.statement import member_request
from writ_host import codec
from writ_host.consensus import messages as consensus
from writ_host.consensus.messages import (
    Prevote,
    PrevoteQuorum,
    RoundProposal,
    Signed,
    SigningSession,
)
from writ_host.consensus.value import Value
from writ_host.errors import HostError
from writ_host.governor.core.context import NEW_WAITED, LogEvent
from writ_host.governor.proposals import messages
from writ_host.governor.proposals.judge import judge
from writ_host.governor.proposals.messages import ASK_RESERVATIONS, PROPOSE, RESERVATIONS, WANT
from writ_host.governor.proposals.statement import ACT, ADMIT, RENEW, REVOKE
from writ_host.scope.folder import now_s

# Of each type of message, so many messages are changed: others have the same nodes.
MESSAGES_EACH = 3
QUICK_JUDGED, QUICK_EACH = 1500, 40
sizes = pytest.mark.parametrize("is_slow", [False, pytest.param(True, marks=pytest.mark.slow)])

# {6: 0, -65537: [0]}: an unsigned charter without a body
EMPTY_CHARTER = bytes.fromhex("8443a10127a04aa206003a0001000081005840") + bytes(64)


# --- the judge ------------------------------------------------------------------------------------


def cases(scope: Scope) -> dict[str, tuple[list[bytes], list[bytes]]]:
    """A valid proposal of each kind, with each kind of evidence: (payloads, evidence)."""
    heirs, statement = Heirs(scope), asks()
    beacon = capsules.build(BEACON, [1, scope.view.head], iat=judge_rig.NOW)
    until = statement.issued + 3600
    return {
        "policy": ([whole(scope)], []),
        "revocation": (scope.change(node_of("soil1")), [says("soil1", REVOKE, "opened"), b""]),
        "succession": ([heirs.succession()], [heirs.charter]),
        "renewal": ([renewal()], [says("soil1", RENEW)]),
        "request": ([member("tank", 9)], [request("tank")]),
        "admission": ([member("tank", 9)], [says("gw1", ADMIT, request("tank"), b"shown")]),
        "beacon": ([beacon], []),
        "action": ([action(nonce=statement.nonce, exp=until)], [statement.raw]),
    }


@sizes
def test_no_payload_and_no_evidence_raises(tmp_path: Path, is_slow: bool) -> None:
    scope = Scope(tmp_path / "ledger.db")
    view = replace(scope.view, committees=frozenset({Heirs(scope).key}))
    variants: list[tuple[list[bytes], bytes]] = []
    for name, (payloads, evidence) in cases(scope).items():
        encoded = codec.dump(evidence) if evidence else b""
        assert judge(payloads, encoded, view).reason is None, name
        for changed in mutants(codec.dump([payloads, encoded])):
            match codec.load(changed):
                case [list(listed), bytes(other)] if all(type(one) is bytes for one in listed):
                    variants.append((listed, other))
    assert len(variants) > 10_000
    if not is_slow:
        variants = random.Random(1).sample(variants, QUICK_JUDGED)
    for payloads, encoded in variants:
        verdict = judge(payloads, encoded, view)
        assert verdict.lines is not None and verdict.title


# bytes(4e9) takes as many bytes of memory, bytes(-1) and bytes("x") raise
@pytest.mark.parametrize("key", [-1, None, "x", 2**63, 4_000_000_000, [], {}, b"", bytes(31)])
def test_a_group_key_of_any_type_is_refused(tmp_path: Path, key: object) -> None:
    scope = Scope(tmp_path / "ledger.db")
    heirs = Heirs(scope)
    claims: Any = codec.load(heirs.payload)
    claims[capsules.WRIT][4] = key
    evidence = capsules.assemble(codec.dump(claims), bytes(64))
    reason = scope.refuses(heirs.succession(), evidence=[evidence], committees={heirs.key})
    assert reason.startswith("BadShape")


# --- messages -------------------------------------------------------------------------------------


class AttackedCluster(Cluster):
    """A cluster in which changed copies of each message arrive before it.

    most: changed copies of one message, None for all. A changed copy of a signed message is also
    signed again, as by a Byzantine governor.
    """

    def __init__(self, path: Path, most: int | None) -> None:
        super().__init__(path)
        self.most = most
        self.types: Counter[int] = Counter()  # of messages that were changed
        self.count = 0  # of changed copies
        self.random = random.Random(1)
        self.values: dict[bytes, Value] = {}  # by digest
        self.lose = self.attack

    def attack(self, sender: int, to: int, data: bytes) -> bool:
        self.change(sender, to, data)
        if messages.type_of(data) in (RoundProposal.TYPE, SigningSession.TYPE):
            self.send_quorum(sender, to, consensus.decode(data))
        return False

    def send_quorum(self, sender: int, to: int, message: consensus.Message) -> None:
        """Send a quorum's votes as soon as they are known, which honest governors rarely need."""
        if isinstance(message, RoundProposal):
            self.values[message.value.digest] = message.value
        elif isinstance(message, SigningSession):
            votes = tuple(one for one in message.offers if isinstance(one, Prevote))
            value = self.values[message.digest]
            quorum = PrevoteQuorum(message.height, message.round, value, votes)
            self.change(sender, to, consensus.encode(quorum))

    def change(self, sender: int, to: int, data: bytes) -> None:
        type_ = messages.type_of(data)
        if self.types[type_] < MESSAGES_EACH:
            self.types[type_] += 1
            found = list(mutants(data))
            if self.most is not None:
                found = self.random.sample(found, min(self.most, len(found)))
            for changed in found:
                self.tell(sender, to, changed)
                if type_ < messages.COSIGNING_TYPE_MIN:
                    self.tell(sender, to, self.signed_again(sender, changed))

    def tell(self, sender: int, to: int, data: bytes) -> None:
        self.count += 1
        self.handle(to, self.cores[to].receive(sender, data, self.now_ms))
        self.cores[to].tick(self.now_ms)

    def signed_again(self, sender: int, data: bytes) -> bytes:
        core = self.cores[sender]
        try:
            message = consensus.decode(data)
            if isinstance(message, Signed) and message.sender == sender:
                signer, scope = core.replica.context.signer, core.committee.scope
                return consensus.encode(consensus.sign(message, signer, scope))
        except HostError:
            pass
        return data


def work(cluster: AttackedCluster) -> None:
    """Everything that governors do together, so that each type of message is sent."""
    private = crypto.p256_generate()
    payload = member_payload(private, "tank", 101)
    evidence = evidence_of(member_request(private, "tank"))
    id = cluster.propose(1, [payload], evidence)
    cluster.step()
    cluster.approve(2, id)
    cluster.ask(2, cluster.statement(RENEW))
    asked = [cluster.soil.member.node_id, 3, "sluice", b"open", bytes(8)]
    cluster.ask(3, cluster.statement(ACT, *asked))
    for _ in range(40):
        cluster.step()
    cluster.down.add(4)
    decide(cluster, bytes(8))
    cluster.run(lambda: cluster.all_at(2))
    cluster.restart(4)
    cluster.run(lambda: cluster.all_at(2))


def decide(cluster: Cluster, node_id: bytes) -> None:
    id = cluster.propose(1, cluster.revocation(node_id))
    cluster.step()
    for number in (2, 3):
        cluster.approve(number, id)


def crafted(cluster: AttackedCluster) -> list[bytes]:
    """Messages that the work of this cluster does not need."""
    core = cluster.cores[1]
    charter = judge_rig.signer.certify(
        judge_rig.signer.charter_payload(name="farm", seed=judge_rig.signer.OTHER_SEED),
        judge_rig.signer.OTHER_SEED,
    )
    digest = bytes(crypto.sha256(capsules.parse(charter).payload))
    body = [core.epoch + 1, core.head, digest, bytes(capsules.parse(charter).body[4])]
    succession = capsules.build(capsules.SUCCESSION, body, iat=now_s())
    proposals = [
        [4, [succession], "a new key", evidence_of(charter), now_s()],
        [4, [succession], "a new key", evidence_of(EMPTY_CHARTER), now_s()],
    ]
    rows = [["n/tank", bytes(8), now_s() + 9], ["a/7", bytes(8), now_s() + 9]]
    return [
        codec.dump([PROPOSE, proposals]),
        codec.dump([ASK_RESERVATIONS, ""]),
        codec.dump([ASK_RESERVATIONS, "n/a"]),
        codec.dump([RESERVATIONS, "n/tank", rows]),
        codec.dump([RESERVATIONS, None, rows]),
        codec.dump([WANT, [bytes(16), bytes(range(16))]]),
    ]


@sizes
def test_no_message_raises(tmp_path: Path, is_slow: bool) -> None:
    cluster = AttackedCluster(tmp_path, None if is_slow else QUICK_EACH)
    work(cluster)
    for data in crafted(cluster):
        cluster.attack(4, 2, data)
        # as a new governor, which learns what the others have reserved
        context = cluster.cores[1].context
        context.chain = replace(context.chain, committee=bytes(8))
        cluster.ledgers[1].set_meta(NEW_WAITED, b"")
        cluster.attack(4, 1, data)
    types = {*range(10), *range(16, 21), *range(PROPOSE, RESERVATIONS + 1)}
    assert types <= set(cluster.types)
    assert is_slow is (cluster.count > 30_000), cluster.count


def test_the_sender_of_a_malformed_proposal_is_named(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    core = cluster.cores[1]
    body = [core.epoch + 1, core.head, bytes(32), bytes(32)]
    succession = capsules.build(capsules.SUCCESSION, body, iat=now_s())
    item = [4, [succession], "a new key", evidence_of(EMPTY_CHARTER), now_s()]
    outs = core.receive(4, codec.dump([PROPOSE, [item]]), cluster.now_ms)
    assert not core.pending() and core.context.counters["BadShape"] == 1
    (event,) = [one for one in outs if isinstance(one, LogEvent)]
    assert event.name == "malformed" and event.facts == {
        "governor": "dora",
        "rejection": "BadShape",
    }
    # once a minute: each one is counted
    outs = core.receive(4, codec.dump([PROPOSE, [item]]), cluster.now_ms)
    assert not outs and core.context.counters["BadShape"] == 2


@pytest.mark.parametrize("data", [b"\x81\x05", b"\x83\x10\x40\x80", b"\x82\x18\x23\xf6"])
def test_a_malformed_message_is_counted_and_its_sender_named(tmp_path: Path, data: bytes) -> None:
    """Of consensus, of cosigning, of the core."""
    cluster = Cluster(tmp_path)
    outs = cluster.cores[1].receive(3, data, cluster.now_ms)
    assert cluster.cores[1].context.counters == {"Malformed": 1}
    assert [one.facts["governor"] for one in outs if isinstance(one, LogEvent)] == ["carl"]
