"""The witness: it records what governors and devices report in a run, and finds contradictions.

It receives their reports while faults happen. After the run it compares them with the ledgers.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import ACTION, AMENDMENT, BEACON, CHARTER, MEMBER, POLICY
from writ_host.consensus.effects import Decide
from writ_host.consensus.value import body_of
from writ_host.governor.ledger.ledger import Ledger
from writ_host.keys.frost import is_valid


@dataclass
class Seen:
    """The newest state that a node reported: epoch, head (hex), end of its membership."""

    epoch: int = 0
    head: str = ""
    expires: int = 0


@dataclass
class Witness:
    """The reports of a run. problems: contradictions that no correct scope can produce."""

    group_key: bytes
    problems: list[str] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)  # (device, result)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)  # by device
    moved: Counter[str] = field(default_factory=Counter)  # by order: how often it was executed

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[int, tuple[str, str]] = {}  # epoch -> head (hex), first reporter
        self._certified: dict[bytes, tuple[Any, str]] = {}  # payload -> capsule, first reporter

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # --- while faults happen ----------------------------------------------------------------------

    def state(self, who: str, epoch: int, head: str, expires: int = 0) -> None:
        """Record the epoch and head of a node."""
        with self._lock:
            last = self.seen.get(who, Seen())
            if epoch < last.epoch:
                self._report(f"{who} went back from epoch {last.epoch} to {epoch}")
            if expires < last.expires:
                self._report(f"{who} was a member until {last.expires}, now until {expires}")
            self.seen[who] = Seen(epoch, head, expires)
            self._is_one_head(who, epoch, head)

    def _is_one_head(self, who: str, epoch: int, head: str) -> None:
        known, first = self._heads.setdefault(epoch, (head, who))
        if head != known:
            self._report(f"epoch {epoch} is {known} for {first} and {head} for {who}")

    def certified(self, who: str, raw: bytes) -> None:
        """Record a capsule that a node reported as certified."""
        capsule = capsules.parse(raw)
        payload = bytes(capsule.payload)
        with self._lock:
            if payload in self._certified:
                return
            key, signed = self.group_key, bytes(capsule.signing_input())
            if not is_valid(key, signed, bytes(capsule.signature)):
                self._report(f"{who} reported a capsule with a bad signature: {raw.hex()}")
            self._certified[payload] = capsule, who
            if capsule.kind == POLICY:
                self._is_one_head(who, capsule.body[1], capsules.head(payload).hex())

    def record(self, event: dict[str, Any]) -> None:
        """Record an event of a device."""
        kind, who = event["event"], event.get("name", "")
        if kind == "state":
            self.state(who, event["epoch"], event["head"], event["expires"])
        elif kind == "certified":
            self.certified(who, bytes.fromhex(event["raw"]))
        elif kind == "moved":
            with self._lock:
                self.moved[event["order"]] += 1
                if self.moved[event["order"]] > 1:
                    self._report(f"{who} executed an action twice: {event['order']}")
        elif kind == "alive":
            self.counters[who] = event["counters"]
        elif kind in ("call", "wish", "ordered", "error"):
            with self._lock:
                self.calls[who, f"{kind} {event['text']}"] += 1

    def count(self, what: str, *who: str) -> int:
        """How often calls had this result, at these devices or at all."""
        with self._lock:
            return sum(
                times
                for (name, result), times in self.calls.items()
                if result == what and (not who or name in who)
            )

    def totals(self) -> Counter[str]:
        """How often calls had each result."""
        total: Counter[str] = Counter()
        with self._lock:
            for (_, what), times in self.calls.items():
                total[what] += times
        return total

    # --- after the run ----------------------------------------------------------------------------

    def reported(self, kind: int) -> list[tuple[Any, str]]:
        """The certified capsules of a kind, each with its first reporter."""
        with self._lock:
            return [pair for pair in self._certified.values() if pair[0].kind == kind]

    def missing(self, ledger: Ledger) -> list[str]:
        """The reported capsules that a ledger lacks and that no later capsule replaces."""
        lost = []
        kept = {capsules.parse(raw).payload for raw in _kept(ledger, (CHARTER, ACTION))}
        for kind in (CHARTER, ACTION):
            lost += [
                _describe(*pair) for pair in self.reported(kind) if pair[0].payload not in kept
            ]
        for capsule, who in self.reported(MEMBER):
            asked = capsules.Member(capsule)
            found = ledger.capsules.member(asked.node_id)
            if found is None or found.expires < asked.expires:
                lost.append(_describe(capsule, who))
        newest = ledger.capsules.beacon()
        time_s = capsules.Beacon(capsules.parse(newest)).time if newest else 0
        for capsule, who in self.reported(BEACON):
            if capsules.Beacon(capsule).time > time_s:
                lost.append(_describe(capsule, who))
        return lost + self._missing_epochs(ledger)

    def _missing_epochs(self, ledger: Ledger) -> list[str]:
        lost = []
        for kind, place in ((POLICY, -1), (AMENDMENT, 0)):
            for capsule, who in self.reported(kind):
                decide = ledger.decision(capsule.body[1])
                payload = decide.value.payloads[place] if decide else b""
                # catch-up may have brought only the whole policy of an epoch
                if payload != capsule.payload and (not payload or body_of(payload)[0] == kind):
                    lost.append(_describe(capsule, who))
        return lost


def _describe(capsule: Any, who: str) -> str:
    return f"{capsules.KIND_NAMES[capsule.kind]} {list(capsule.body)[:3]!r}, reported by {who}"


def _kept(ledger: Ledger, kinds: tuple[int, ...]) -> list[bytes]:
    marks = ",".join("?" * len(kinds))
    rows = ledger.database.rows(f"SELECT raw FROM capsules WHERE kind IN ({marks})", *kinds)
    return [raw for (raw,) in rows]


def chain_of(ledger: Ledger, group_key: bytes) -> list[str]:
    """The head (hex) of each epoch in a ledger, from epoch 1 on; verifies all signatures."""
    heads: list[str] = []
    for height in ledger.heights():
        assert height == len(heads) + 1, f"epoch {len(heads) + 1} is missing"
        decide = ledger.decision(height)
        assert decide is not None
        _check(decide, group_key)
        heads.append(capsules.head(decide.value.payloads[-1]).hex())
    return heads


def _check(decide: Decide, group_key: bytes) -> None:
    assert body_of(decide.value.payloads[-1])[0] == POLICY
    for payload, signature in zip(decide.value.payloads, decide.signatures, strict=True):
        capsule = capsules.parse(capsules.assemble(payload, signature))
        assert is_valid(group_key, bytes(capsule.signing_input()), signature)
