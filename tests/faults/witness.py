"""All that anybody said in a run, and what of it contradicts something else.

Governors and devices are heard while faults happen; when all are stopped, their disks are read.
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
    """The newest that somebody said of itself. epoch; head (hex); expires: of its membership."""

    epoch: int = 0
    head: str = ""
    expires: int = 0


@dataclass
class Witness:
    """What was said, by whomever. problems: what cannot be true of a scope that is whole."""

    group_key: bytes
    problems: list[str] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)  # (who, what came of it)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)  # of each device
    moved: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[int, tuple[str, str]] = {}  # epoch -> head (hex), who said it first
        self._certified: dict[bytes, tuple[Any, str]] = {}  # payload -> capsule, who said so

    def _object(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # --- while faults happen ----------------------------------------------------------------------

    def state(self, who: str, epoch: int, head: str, expires: int = 0) -> None:
        """Somebody's epoch and head."""
        with self._lock:
            last = self.seen.get(who, Seen())
            if epoch < last.epoch:
                self._object(f"{who} went back from epoch {last.epoch} to {epoch}")
            if expires < last.expires:
                self._object(f"{who} was a member until {last.expires}, and now until {expires}")
            self.seen[who] = Seen(epoch, head, expires)
            self._is_one_head(who, epoch, head)

    def _is_one_head(self, who: str, epoch: int, head: str) -> None:
        known, first = self._heads.setdefault(epoch, (head, who))
        if head != known:
            self._object(f"epoch {epoch} is {known} for {first} and {head} for {who}")

    def certified(self, who: str, raw: bytes) -> None:
        """Somebody said that this capsule is certified."""
        capsule = capsules.parse(raw)
        payload = bytes(capsule.payload)
        with self._lock:
            if payload in self._certified:
                return
            key, signed = self.group_key, bytes(capsule.signing_input())
            if not is_valid(key, signed, bytes(capsule.signature)):
                self._object(f"{who} said of what nobody signed that it is certified: {raw.hex()}")
            self._certified[payload] = capsule, who
            if capsule.kind == POLICY:
                self._is_one_head(who, capsule.body[1], capsules.head(payload).hex())

    def heard(self, event: dict[str, Any]) -> None:
        """What a device told."""
        kind, who = event["event"], event.get("name", "")
        if kind == "state":
            self.state(who, event["epoch"], event["head"], event["expires"])
        elif kind == "certified":
            self.certified(who, bytes.fromhex(event["raw"]))
        elif kind == "moved":
            with self._lock:
                self.moved[event["order"]] += 1
                if self.moved[event["order"]] > 1:
                    self._object(f"{who} executed an action twice: {event['order']}")
        elif kind == "alive":
            self.counters[who] = event["counters"]
        elif kind in ("call", "wish", "ordered", "error"):
            with self._lock:
                self.calls[who, f"{kind} {event['text']}"] += 1

    def count(self, what: str, *who: str) -> int:
        """How often calls came to this, at these or at all."""
        with self._lock:
            return sum(
                times
                for (name, came_to), times in self.calls.items()
                if came_to == what and (not who or name in who)
            )

    def totals(self) -> Counter[str]:
        """How often calls came to what."""
        total: Counter[str] = Counter()
        with self._lock:
            for (_, what), times in self.calls.items():
                total[what] += times
        return total

    # --- in the end -------------------------------------------------------------------------------

    def reported(self, kind: int) -> list[tuple[Any, str]]:
        """The capsules of a kind that anybody said are certified, and who did."""
        with self._lock:
            return [pair for pair in self._certified.values() if pair[0].kind == kind]

    def missing(self, ledger: Ledger) -> list[str]:
        """What was reported and a governor does not have, nor anything that replaces it."""
        lost = []
        kept = {capsules.parse(raw).payload for raw in _kept(ledger, (CHARTER, ACTION))}
        for kind in (CHARTER, ACTION):
            lost += [_words(*pair) for pair in self.reported(kind) if pair[0].payload not in kept]
        for capsule, who in self.reported(MEMBER):
            asked = capsules.Member(capsule)
            found = ledger.capsules.member(asked.node_id)
            if found is None or found.expires < asked.expires:
                lost.append(_words(capsule, who))
        newest = ledger.capsules.beacon()
        time_s = capsules.Beacon(capsules.parse(newest)).time if newest else 0
        for capsule, who in self.reported(BEACON):
            if capsules.Beacon(capsule).time > time_s:
                lost.append(_words(capsule, who))
        return lost + self._missing_epochs(ledger)

    def _missing_epochs(self, ledger: Ledger) -> list[str]:
        lost = []
        for kind, place in ((POLICY, -1), (AMENDMENT, 0)):
            for capsule, who in self.reported(kind):
                decide = ledger.decision(capsule.body[1])
                payload = decide.value.payloads[place] if decide else b""
                # who fetched an epoch may have got its whole policy only
                if payload != capsule.payload and (not payload or body_of(payload)[0] == kind):
                    lost.append(_words(capsule, who))
        return lost


def _words(capsule: Any, who: str) -> str:
    return f"{capsules.KIND_NAMES[capsule.kind]} {list(capsule.body)[:3]!r}, as {who} said"


def _kept(ledger: Ledger, kinds: tuple[int, ...]) -> list[bytes]:
    marks = ",".join("?" * len(kinds))
    rows = ledger.database.rows(f"SELECT raw FROM capsules WHERE kind IN ({marks})", *kinds)
    return [raw for (raw,) in rows]


def chain_of(ledger: Ledger, group_key: bytes) -> list[str]:
    """The head (hex) of each epoch, from 1 on, that a ledger decided; all signatures verified."""
    heads: list[str] = []
    for height in ledger.heights():
        assert height == len(heads) + 1, f"epoch {len(heads) + 1} is not there"
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
