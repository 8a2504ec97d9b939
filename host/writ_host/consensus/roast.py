"""Signing sessions that somebody always finishes: ROAST (Ruffing et al. 2022) around FROST.

One `Sessions` belongs to one list of payloads: a value in one round, or one certification. Its
coordinator opens a session with any `threshold` governors who are not busy in another one; who
answers rightly is free again, with the fresh commitments that came with the answer. Whoever lies
is excluded, whoever is silent stays busy, and each of them can spoil one session only: with at most
f of both, one of the first f + 1 sessions consists of honest governors and ends.

Nobody has to trust the coordinator: a wrong choice makes no signature, and no nonce signs twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import CheatingGovernor, Malformed
from .signer import Nonce, Package, Signer

# An honest coordinator needs n - threshold + 1; a few more for governors that restart in between.
SESSIONS_MAX = 16
# Shares that arrive before their session does, for each sender.
EARLY_MAX = 4

Commitments = tuple[bytes, ...]
T = TypeVar("T")


class Purse:
    """This governor's unspent nonces, by what was published of them. Never persisted."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._nonces: dict[Commitments, list[Nonce]] = {}

    def fresh(self, count: int) -> Commitments:
        """Commitments for `count` payloads; their nonces are kept."""
        pairs = [self._signer.commit() for _ in range(count)]
        commitments = tuple(commitment for commitment, _ in pairs)
        self._nonces[commitments] = [nonce for _, nonce in pairs]
        return commitments

    def __contains__(self, commitments: object) -> bool:
        return commitments in self._nonces

    def take(self, commitments: Commitments) -> list[Nonce]:
        """Their nonces, which are gone from here whatever happens next."""
        return self._nonces.pop(commitments)

    def discard(self) -> None:
        """Make sure that none of them ever signs."""
        for nonces in self._nonces.values():
            for nonce in nonces:
                nonce.discard()
        self._nonces.clear()


@dataclass
class _Session:
    members: Mapping[int, Commitments]
    packages: list[Package] | None  # None until somebody needs them
    shares: dict[int, Commitments] = field(default_factory=dict)
    valid: set[int] = field(default_factory=set)
    over: bool = False


class Sessions(Generic[T]):
    """All sessions for `payloads`. T: what the coordinator shows to prove a commitment."""

    def __init__(self, signer: Signer, threshold: int, payloads: Sequence[bytes]) -> None:
        self._signer = signer
        self._threshold = threshold
        self._payloads = payloads
        self._sessions: dict[bytes, _Session] = {}
        self._early: dict[int, dict[bytes, Commitments]] = {}
        self._free: dict[int, T] = {}
        self._next: dict[int, tuple[bytes, Commitments, T]] = {}
        self._known: dict[int, Commitments] = {}
        self._unchecked: set[int] = set()  # of those that are free
        self.cheaters: set[int] = set()
        self.signatures: tuple[bytes, ...] | None = None

    def __contains__(self, session: object) -> bool:
        return session in self._sessions

    # The coordinator's part

    def offer(self, number: int, commitments: Commitments, proof: T) -> None:
        """A governor's first commitments; the newest count until a session takes them."""
        busy = number in self._known and number not in self._free
        if number in self.cheaters or busy or self._known.get(number) == commitments:
            return
        # whether they are points is looked at when a session needs them
        if len(commitments) == len(self._payloads):
            self._known[number] = commitments
            self._free[number] = proof
            self._unchecked.add(number)

    def occupy(self, number: int, commitments: Commitments) -> None:
        """A governor that signs with these, in a session that nobody had to open."""
        self._known[number] = commitments

    def _fit(self, commitments: Commitments) -> bool:
        return len(commitments) == len(self._payloads) and all(
            self._signer.check_commitment(one) for one in commitments
        )

    def choose(self) -> dict[int, T] | None:
        """The signers of a new session, or None while too few are free."""
        if len(self._free) < self._threshold or len(self._sessions) >= SESSIONS_MAX:
            return None
        chosen: list[int] = []
        for number in list(self._free):
            if len(chosen) < self._threshold and self._may_sign(number):
                chosen.append(number)
        if len(chosen) < self._threshold:
            return None
        return {number: self._free.pop(number) for number in chosen}

    def _may_sign(self, number: int) -> bool:
        if number in self._unchecked:
            self._unchecked.remove(number)
            if not self._fit(self._known[number]):
                del self._free[number], self._known[number]
                return False
        return True

    def promise_next(self, number: int, session: bytes, commitments: Commitments, proof: T) -> None:
        """What came with a share; it counts once that share has proved right."""
        self._next[number] = session, commitments, proof

    def check_unfinished(self) -> None:
        """Free whoever answered rightly in a session that others keep waiting."""
        for session in self._sessions.values():
            if session.over:
                continue
            for number in list(session.shares):
                self._check(session, number)

    def _check(self, session: _Session, number: int) -> None:
        if number in session.valid or number in self.cheaters:
            return
        packages = self._prepare(session)
        if not packages:
            return
        for package, share in zip(packages, session.shares[number], strict=True):
            if not self._signer.share_is_valid(package, number, share):
                self.cheaters.add(number)
                return
        session.valid.add(number)
        self._release(number)

    def _release(self, number: int) -> None:
        if number not in self._next:
            return
        name, commitments, proof = self._next[number]
        session = self._sessions.get(name)
        if session is not None and number in session.valid and self._fit(commitments):
            del self._next[number]
            self._free[number] = proof

    # Everybody's part

    def add(self, name: bytes, members: Mapping[int, Commitments]) -> bool:
        """A session that was opened. False when it is known, or cannot be one."""
        if name in self._sessions or len(self._sessions) >= SESSIONS_MAX:
            return False
        if len(members) != self._threshold or self.cheaters & set(members):
            return False
        if any(len(one) != len(self._payloads) for one in members.values()):
            return False
        session = _Session(members, None)
        # who does not sign rarely needs what is signed: the coordinator tells what came of it
        if self._signer.identifier in members and not self._prepare(session):
            return False
        self._sessions[name] = session
        for number in members:
            shares = self._early.get(number, {}).pop(name, None)
            if shares is not None:
                self.put(name, number, shares)
        return True

    def _prepare(self, session: _Session) -> list[Package]:
        """What is signed in the session; empty where its commitments are none, and it is over."""
        if session.packages is None:
            try:
                session.packages = [
                    self._signer.package(payload, {n: one[i] for n, one in session.members.items()})
                    for i, payload in enumerate(self._payloads)
                ]
            except Malformed:
                session.packages, session.over = [], True
        return session.packages

    def sign(self, name: bytes, nonces: Sequence[Nonce]) -> Commitments:
        """This governor's shares in the session; the nonces are spent."""
        packages = self._prepare(self._sessions[name])
        return tuple(
            self._signer.share(package, nonce)
            for package, nonce in zip(packages, nonces, strict=True)
        )

    def put(self, name: bytes, number: int, shares: Commitments) -> None:
        """A governor's shares. Sets `signatures` when they were the last that were missing."""
        if len(shares) != len(self._payloads):
            return
        session = self._sessions.get(name)
        if session is None:
            early = self._early.setdefault(number, {})
            if len(early) < EARLY_MAX:
                early[name] = shares
            return
        if number not in session.members or number in session.shares or session.over:
            return
        session.shares[number] = shares
        if len(session.shares) == self._threshold:
            self._combine(session)

    def _combine(self, session: _Session) -> None:
        packages = self._prepare(session)
        session.over = True
        if not packages:
            return
        signatures = []
        for i, package in enumerate(packages):
            try:
                listed = {number: shares[i] for number, shares in session.shares.items()}
                signatures.append(self._signer.aggregate(package, listed))
            except CheatingGovernor as error:
                self.cheaters.update(error.identifiers)
        if len(signatures) == len(self._payloads):
            self.signatures = tuple(signatures)
            return
        for number in session.members:
            self._free.pop(number, None)
            if number not in self.cheaters:
                session.valid.add(number)
                self._release(number)
