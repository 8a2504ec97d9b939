"""A cluster: governors in one process, with real cores and ledgers and a lossy network."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT, MEMBER, Member
from writ_host import codec
from writ_host.ceremony.local import LocalGovernor, found_local
from writ_host.ceremony.plan import Plan
from writ_host.ceremony.resharing import Resharing
from writ_host.ceremony.storage import MemoryFolder, MemoryStore
from writ_host.consensus.effects import Decide
from writ_host.consensus.value import Value
from writ_host.governor.activation import new_committee
from writ_host.governor.core.context import (
    NEW_WAITED,
    LogEvent,
    NewCapsule,
    Outgoing,
    Output,
    Reseat,
)
from writ_host.governor.core.core import FOUNDERS, Core
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.proposals.proposal import ProposalView
from writ_host.governor.proposals.statement import Statement
from writ_host.keys.identity import Identity
from writ_host.keys.roster import committee_digest
from writ_host.policy.source import PolicyFile
from writ_host.scope import issuance
from writ_host.scope.folder import now_s
from writ_host.scope.issuance import Draft, LocalSigner

NAMES = ("anna", "ben", "carl", "dora", "emil", "fay", "gus")
STEP_MS = 50
DAY_S = 86400

POLICY = """
[roles]
gateway = "reads"
sensor = "measures"

[[rule]]
from = "gateway"
to = "sensor"
resource = "*"
methods = ["GET"]

[[rule]]
from = "sensor"
to = "sensor"
resource = "sluice"
methods = ["PUT"]
quorum = true

[approvals]
operators = 2

[[approvals.rule]]
kind = "beacon"
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["sensor"]
renew = true
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["sensor"]
operators = 1
"""
GATEWAY, SENSOR = 2, 4


@dataclass
class Device:
    """A member: its private key (32 B) and its certified capsule."""

    private: bytes
    member: Member


def member_payload(
    private: bytes, name: str, address: int, roles: int = SENSOR, days: int = 30
) -> bytes:
    """The payload that makes the node with this key a member."""
    exp, key = now_s() + days * DAY_S, crypto.p256_public(private)
    made: bytes = capsules.build(MEMBER, [address, roles], sub=name, exp=exp, key=key)
    return made


@dataclass
class Cluster:
    """Governors 1 to `count`. down: those offline; lose(sender, to, data): whether it is lost.

    skip_s: how far the clocks of all governors are ahead of this machine's.
    """

    path: Path
    count: int = 4
    threshold: int = 3
    policy: str = POLICY
    down: set[int] = field(default_factory=set)
    lose: Callable[[int, int, bytes], bool] = lambda sender, to, data: False
    events: list[tuple[int, LogEvent]] = field(default_factory=list)
    reseats: dict[int, bytes] = field(default_factory=dict)
    skip_s: int = 0

    def __post_init__(self) -> None:
        self.now_ms = 1000
        self.queue: list[tuple[int, int, bytes]] = []
        self.news: dict[int, list[bytes]] = {}
        self.ledgers: dict[int, Ledger] = {}
        self.cores: dict[int, Core] = {}
        self.local: list[LocalGovernor] = found_local(
            "farm", list(NAMES[: self.count]), self.threshold
        )
        self.group_key = self.local[0].seat.public.group_key
        charter = issuance.charter_draft(self.local[0].seat)
        first = PolicyFile.parse(self.policy).policy(1, capsules.head(charter.payload), now_s())
        private = crypto.p256_generate()
        soil = member_payload(private, "soil", 100)
        drafts = [Draft("charter", charter.payload), Draft("policy", first.payload())]
        raws = issuance.sign([*drafts, Draft("soil", soil)], LocalSigner(self.local))
        self.soil = Device(private, Member(capsules.parse(raws[2])))
        for number in range(1, self.count + 1):
            self.found(number, raws)
            self.start(number)

    def clock_s(self) -> int:
        """The governors' clock, Unix seconds."""
        return now_s() + self.skip_s

    def found(self, number: int, raws: list[bytes]) -> None:
        """Open a governor's ledger with charter, first policy and one member."""
        ledger = self.ledgers[number] = Ledger.open(self.path / f"{number}.db", self.clock_s)
        ledger.set_meta(FOUNDERS + self.group_key.hex(), committee_digest(self.local[0].seat))
        ledger.capsules.add([raws[0]])
        policy = capsules.parse(raws[1])
        ledger.add_decision(Decide(1, Value((policy.payload,)), (policy.signature,)))
        ledger.capsules.add([raws[2]])

    def statement(self, op: int, *asked: object, private: bytes = b"", **changes: Any) -> bytes:
        """A statement of soil, or of the member with this key; changes: to its origin."""
        core = next(iter(self.cores.values()))
        place = {"scope": core.context.chain.charter.scope, "epoch": core.epoch}
        place |= {"issued": self.clock_s()} | changes
        return Statement.make(private or self.soil.private, op, *asked, **place).raw

    def start(self, number: int) -> None:
        """Start a governor, or restart it from its ledger."""
        one = self.local[number - 1]
        core = Core(one.identity, one.seat, self.ledgers[number], self.clock_s)
        self.cores[number] = core
        self.handle(number, core.start(self.now_ms))

    def restart(self, number: int) -> None:
        """Restart a governor after a power cut: only its disk remains."""
        self.ledgers[number].close()
        self.ledgers[number] = Ledger.open(self.path / f"{number}.db", self.clock_s)
        self.down.discard(number)
        self.start(number)

    def handle(self, number: int, outs: list[Output]) -> None:
        """Queue the messages of a core, and keep its other outputs."""
        for out in outs:
            if isinstance(out, Outgoing):
                others = [n for n in self.cores if n != number] if out.to is None else [out.to]
                self.queue += [(number, to, out.data) for to in others]
            elif isinstance(out, LogEvent):
                self.events.append((number, out))
            elif isinstance(out, NewCapsule):
                self.news.setdefault(number, []).append(out.raw)
            elif isinstance(out, Reseat):
                self.reseats[number] = out.seat_id

    def run(self, until: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let time pass until a condition holds. Raises `AssertionError` after `seconds`."""
        end_ms = self.now_ms + int(1000 * seconds)
        while not until():
            assert self.now_ms < end_ms, "it did not happen in time"
            self.step()

    def step(self) -> None:
        """Advance all clocks by STEP_MS, and deliver all messages."""
        self.now_ms += STEP_MS
        for number, core in self.cores.items():
            if number not in self.down:
                self.handle(number, core.tick(self.now_ms))
        for _ in range(200):
            queue, self.queue = self.queue, []
            for sender, to, data in queue:
                if {sender, to} & self.down or self.lose(sender, to, data):
                    continue
                self.handle(to, self.cores[to].receive(sender, data, self.now_ms))
            if not self.queue:
                return

    # --- other governors --------------------------------------------------------------------------

    def reshare(self, identities: list[Identity]) -> list[LocalGovernor]:
        """Re-share the group key to these governors; governors 1, 2 and 3 are the dealers."""
        old = {one.identity.name: one for one in self.local}
        people = [one.public for one in identities]
        peers = [f"{one.name}.example:5685" for one in identities]
        plan = Plan.create(self.local[0].seat, people, peers, NAMES[:3])
        folder, machines = MemoryFolder(), []
        for one in identities:
            seat = old[one.name].seat if one.name in old else None
            machines.append(Resharing(folder, one, plan, seat, MemoryStore(), lambda: True))
        for _ in range(3):
            for machine in machines:
                machine.step()
        made = zip(identities, machines, strict=True)
        return [LocalGovernor(one, machine.seat, folder) for one, machine in made if machine.seat]

    def put_in_force(self, new: list[LocalGovernor]) -> None:
        """Put new seats in force by a decision of the old governors that are online."""
        digest = committee_digest(new[0].seat)
        up = [number for number in self.cores if number not in self.down]
        for number in up:
            self.cores[number].set_next_seats([digest])
        id = self.propose(1, new_committee(self.cores[1], digest))
        self.step()
        for number in up[:2]:
            self.approve(number, id)
        self.run(lambda: all(self.reseats.get(number) == digest for number in up))
        self.local = [*new, *self.local[len(new) :]]
        for number in range(1, len(new) + 1):
            if number in up:
                self.start(number)

    def replace_dora(self) -> None:
        """Replace governor dora by emil, who has only a key share and the charter."""
        self.down.add(4)
        identities = [one.identity for one in self.local[:3]]
        new = self.reshare([*identities, Identity.generate("emil")])
        self.put_in_force(new)
        self.ledgers[4] = Ledger.open(self.path / "emil.db", self.clock_s)
        self.ledgers[4].capsules.add([self.ledgers[1].capsules.charter() or b""])
        self.ledgers[4].set_meta(NEW_WAITED, b"")
        self.down.discard(4)
        self.reseats.clear()
        self.start(4)
        self.run(lambda: self.reseats.get(4) == committee_digest(new[0].seat))
        self.start(4)
        assert self.cores[4].is_seated

    # --- proposals --------------------------------------------------------------------------------

    def propose(self, number: int, payloads: list[bytes], evidence: bytes = b"") -> bytes:
        """Propose payloads at one governor; the proposal's id."""
        id, outs = self.cores[number].propose(payloads, "a proposal", evidence, self.now_ms)
        self.handle(number, outs)
        return id

    def approve(self, number: int, id: bytes, yes: bool = True) -> None:
        """Approve or deny a proposal as the operator of one governor."""
        outs = self.cores[number].approve_or_deny(id, yes, "seen by eye", self.now_ms)
        self.handle(number, outs)

    def revocation(self, node_id: bytes) -> list[bytes]:
        """The amendment and the policy that revoke a node in the next epoch."""
        core = next(core for n, core in self.cores.items() if n not in self.down)
        body = check_amendment([AMENDMENT, core.epoch + 1, core.head, node_id])
        return [capsules.build(AMENDMENT, body[1:]), amend(core.policy, body).payload()]

    def ask(self, number: int, statement: bytes) -> tuple[int, bytes]:
        """Send a device's statement to one governor: (CoAP code, body)."""
        code, body, outs = self.cores[number].handle_statement(statement, self.now_ms)
        self.handle(number, outs)
        return code, body

    def view(self, number: int, id: bytes) -> ProposalView:
        """A proposal as the operator of one governor sees it."""
        found = self.cores[number].proposal(id)
        assert found is not None
        return found

    def all_at(self, epoch: int) -> bool:
        """Whether every governor that is online has this epoch, and the same head."""
        up = [core for number, core in self.cores.items() if number not in self.down]
        return {(core.epoch, core.head) for core in up} == {(epoch, up[0].head)}


def evidence_of(*raws: bytes) -> bytes:
    """The evidence of a proposal, one item a payload."""
    return codec.dump(list(raws))
