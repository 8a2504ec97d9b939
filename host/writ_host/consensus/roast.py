"""Signing sessions that always end with a signature: ROAST (Ruffing et al. 2022) around FROST.

 1. One `SigningSessions` belongs to one list of payloads: a value in one round, or one job
    (cosign.py).
 2. A governor offers nonce commitments. It is *free* until a session takes them, and *busy* then.
 3. The coordinator opens a session with any `threshold` free governors.
 4. A signer whose share is valid is free again, with the fresh commitments that came with it. A
    signer whose share is wrong is excluded. A silent one stays busy.
 5. So each faulty governor can spoil one session only. With at most f of them, one of the first
    f + 1 sessions consists of honest governors and ends.

No governor has to trust the coordinator: a wrong choice of signers makes no signature, and no nonce
signs twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import CheatingGovernor, Malformed
from .signer import Nonce, Package, Signer

# An honest coordinator needs n - threshold + 1; a few more for governors that restart in between.
SESSIONS_MAX = 16
# Sessions for which shares are kept that arrive before the session does, for each sender.
EARLY_MAX = 4

# One governor's commitments (64 B each), one for each payload.
Commitments = tuple[bytes, ...]
# One governor's signature shares (32 B each), one for each payload.
Shares = tuple[bytes, ...]
T = TypeVar("T")


class NoncePool:
    """This governor's unspent nonces, by their commitments. They are never persisted."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._nonces: dict[Commitments, list[Nonce]] = {}

    def commit(self, count: int) -> Commitments:
        """Fresh commitments for `count` payloads; their nonces are kept."""
        pairs = [self._signer.commit() for _ in range(count)]
        commitments = tuple(commitment for commitment, _ in pairs)
        self._nonces[commitments] = [nonce for _, nonce in pairs]
        return commitments

    def __contains__(self, commitments: object) -> bool:
        return commitments in self._nonces

    def take(self, commitments: Commitments) -> list[Nonce]:
        """The nonces of these commitments. They leave the pool even if signing fails later."""
        return self._nonces.pop(commitments)

    def discard(self) -> None:
        """Make sure that none of the nonces ever signs."""
        for nonces in self._nonces.values():
            for nonce in nonces:
                nonce.discard()
        self._nonces.clear()


@dataclass
class _SigningSession:
    members: Mapping[int, Commitments]
    # what is signed, one for each payload; None until it is needed
    packages: list[Package] | None = None
    shares: dict[int, Shares] = field(default_factory=dict)
    # members whose shares have been checked and are right
    valid: set[int] = field(default_factory=set)
    is_over: bool = False


class SigningSessions(Generic[T]):
    """All sessions for `payloads`. T: the coordinator's proof that a governor made an offer.

    cheaters: governors whose share was wrong; signatures: the group's (64 B), one for each payload,
    None until a session is complete.
    """

    def __init__(self, signer: Signer, threshold: int, payloads: Sequence[bytes]) -> None:
        self._signer = signer
        self._threshold = threshold
        self._payloads = payloads
        self._sessions: dict[bytes, _SigningSession] = {}
        # by sender, then session
        self._early_shares: dict[int, dict[bytes, Shares]] = {}
        self._commitments: dict[int, Commitments] = {}
        self._free: dict[int, T] = {}
        # free governors whose commitments have not been checked
        self._unchecked: set[int] = set()
        # what came with a share: the session of that share, commitments, proof
        self._next_offers: dict[int, tuple[bytes, Commitments, T]] = {}
        self.cheaters: set[int] = set()
        self.signatures: tuple[bytes, ...] | None = None

    def __contains__(self, session: object) -> bool:
        return session in self._sessions

    # --- the coordinator's part -------------------------------------------------------------------

    def offer(self, number: int, commitments: Commitments, proof: T) -> None:
        """Take a governor's first commitments; the newest count until a session takes them."""
        busy = number in self._commitments and number not in self._free
        if number in self.cheaters or busy or self._commitments.get(number) == commitments:
            return
        # `choose` checks whether they are points
        if len(commitments) == len(self._payloads):
            self._commitments[number] = commitments
            self._free[number] = proof
            self._unchecked.add(number)

    def set_busy(self, number: int, commitments: Commitments) -> None:
        """Note a governor that signs with these in a session that `choose` did not open."""
        self._commitments[number] = commitments

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
            if not self._are_points(self._commitments[number]):
                del self._free[number], self._commitments[number]
                return False
        return True

    def _are_points(self, commitments: Commitments) -> bool:
        return len(commitments) == len(self._payloads) and all(
            self._signer.check_commitment(one) for one in commitments
        )

    def offer_next(self, number: int, session: bytes, commitments: Commitments, proof: T) -> None:
        """Note the commitments that came with a share. They count once that share is proven."""
        self._next_offers[number] = session, commitments, proof

    def check_unfinished(self) -> None:
        """Free the members with valid shares of sessions that other members keep waiting."""
        for session in self._sessions.values():
            if session.is_over:
                continue
            for number in list(session.shares):
                self._check(session, number)

    def _check(self, session: _SigningSession, number: int) -> None:
        if number in session.valid or number in self.cheaters:
            return
        packages = self._prepare(session)
        if not packages:
            return
        for package, share in zip(packages, session.shares[number], strict=True):
            if not self._signer.share_is_valid(package, number, share):
                self._exclude([number])
                return
        session.valid.add(number)
        self._free_again(number)

    def _exclude(self, numbers: Iterable[int]) -> None:
        """Let governors whose shares are proven wrong sign in no later session."""
        self.cheaters.update(numbers)

    def _free_again(self, number: int) -> None:
        if number not in self._next_offers:
            return
        name, commitments, proof = self._next_offers[number]
        session = self._sessions.get(name)
        if session is not None and number in session.valid and self._are_points(commitments):
            del self._next_offers[number]
            self._free[number] = proof

    # --- every governor's part --------------------------------------------------------------------

    def add(self, name: bytes, members: Mapping[int, Commitments]) -> bool:
        """Take a session that was opened. False if it is known already, or is not valid."""
        if name in self._sessions or len(self._sessions) >= SESSIONS_MAX:
            return False
        if len(members) != self._threshold or self.cheaters & set(members):
            return False
        if any(len(one) != len(self._payloads) for one in members.values()):
            return False
        session = _SigningSession(members)
        # other governors rarely need the packages: the coordinator announces the result
        if self._signer.identifier in members and not self._prepare(session):
            return False
        self._sessions[name] = session
        for number in members:
            shares = self._early_shares.get(number, {}).pop(name, None)
            if shares is not None:
                self.add_shares(name, number, shares)
        return True

    def _prepare(self, session: _SigningSession) -> list[Package]:
        """The session's packages. A session with invalid commitments has none, and is over."""
        if session.packages is None:
            try:
                session.packages = [
                    self._signer.package(payload, {n: one[i] for n, one in session.members.items()})
                    for i, payload in enumerate(self._payloads)
                ]
            except Malformed:
                session.packages, session.is_over = [], True
        return session.packages

    def sign(self, name: bytes, nonces: Sequence[Nonce]) -> Shares:
        """This governor's shares in the session. The nonces are spent."""
        packages = self._prepare(self._sessions[name])
        return tuple(
            self._signer.share(package, nonce)
            for package, nonce in zip(packages, nonces, strict=True)
        )

    def add_shares(self, name: bytes, number: int, shares: Shares) -> None:
        """Take a governor's shares. Sets `signatures` when they were the last missing ones."""
        if len(shares) != len(self._payloads):
            return
        session = self._sessions.get(name)
        if session is None:
            early = self._early_shares.setdefault(number, {})
            if len(early) < EARLY_MAX:
                early[name] = shares
            return
        if number not in session.members or number in session.shares or session.is_over:
            return
        session.shares[number] = shares
        if len(session.shares) == self._threshold:
            self._combine(session)

    def _combine(self, session: _SigningSession) -> None:
        packages = self._prepare(session)
        session.is_over = True
        if not packages:
            return
        signatures = []
        for i, package in enumerate(packages):
            try:
                listed = {number: shares[i] for number, shares in session.shares.items()}
                signatures.append(self._signer.aggregate(package, listed))
            except CheatingGovernor as error:
                self._exclude(error.identifiers)
        if len(signatures) == len(self._payloads):
            self.signatures = tuple(signatures)
            return
        for number in session.members:
            self._free.pop(number, None)
            if number not in self.cheaters:
                session.valid.add(number)
                self._free_again(number)
