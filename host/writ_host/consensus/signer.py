"""The cryptography that consensus needs: the `Signer` protocol, and its implementation by FROST.

There are two kinds of signature: one governor's own (Ed25519), and the group's, made of signature
shares (FROST). All randomness of the consensus core comes from `Signer.commit`. A nonce object is
opaque and never leaves the process; its commitment does.
"""

import os
from collections.abc import Hashable, Mapping
from typing import Generic, Protocol, TypeVar

from writ.authority.capsule import signing_input

from ..errors import Malformed
from ..keys.frost import Commitment, Nonces, SigningPackage, aggregate, is_valid, sign
from ..keys.frost import commit as frost_commit
from ..keys.group import Random, point_from_bytes
from ..keys.identity import Identity
from ..keys.roster import Seat
from .value import BATCH_MAX

# hiding and binding commitment, 32 bytes each
COMMITMENT_BYTES = 64
SHARE_BYTES = 32
SIGNATURE_BYTES = 64
# Own signatures come back in the sessions and proofs of others.
SIGNED_KEPT = 64
# A commitment comes as an offer and in sessions: a batch of 13 governors, twice.
COMMITMENTS_KEPT = 1024
# A coordinator is mostly also a signer, and needs the same packages twice.
PACKAGES_KEPT = BATCH_MAX

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Nonce(Protocol):
    """The secret half of a commitment. It signs once."""

    def discard(self) -> None:
        """Make sure that this nonce never signs."""


class Package(Protocol):
    """One payload, and the commitments of exactly those governors that sign it."""


class Signer(Protocol):
    """One governor's private keys, and all governors' public keys."""

    identifier: int

    def sign(self, data: bytes) -> bytes:
        """This governor's own signature, 64 bytes."""

    def verify(self, identifier: int, data: bytes, signature: bytes) -> bool:
        """True when governor `identifier` signed `data`."""

    def commit(self) -> tuple[bytes, Nonce]:
        """A fresh commitment (64 B) and its nonce."""

    def check_commitment(self, commitment: bytes) -> bool:
        """True when `commitment` encodes two valid points."""

    def package(self, payload: bytes, commitments: Mapping[int, bytes]) -> Package:
        """The package of `payload` and these governors' commitments. Raises `Malformed`."""

    def share(self, package: Package, nonce: Nonce) -> bytes:
        """This governor's signature share (32 B). The nonce is spent."""

    def share_is_valid(self, package: Package, identifier: int, share: bytes) -> bool:
        """True when `share` is what an honest governor `identifier` answers."""

    def aggregate(self, package: Package, shares: Mapping[int, bytes]) -> bytes:
        """The group's signature (64 B), verified. Raises `CheatingGovernor`."""

    def is_valid(self, payload: bytes, signature: bytes) -> bool:
        """True when the group signed `payload`."""


class _Cache(Generic[K, T]):
    """The newest `size` entries."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[K, T] = {}

    def get(self, key: K) -> T | None:
        return self._entries.get(key)

    def keep(self, key: K, entry: T) -> T:
        self._entries[key] = entry
        if len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]
        return entry


class FrostSigner:
    """A `Signer` with the governor's Ed25519 identity key and its FROST key share."""

    def __init__(self, identity: Identity, seat: Seat, random: Random = os.urandom) -> None:
        self.identifier = seat.key.identifier
        self._identity = identity
        self._seat = seat
        self._random = random
        self._signed: _Cache[bytes, bytes] = _Cache(SIGNED_KEPT)
        self._points: _Cache[bytes, tuple[bytes, bytes]] = _Cache(COMMITMENTS_KEPT)
        # `Nonces` objects are emptied when they are spent, so these hold no spent secrets
        self._own: _Cache[bytes, Nonces] = _Cache(COMMITMENTS_KEPT)
        self._packages: _Cache[object, SigningPackage] = _Cache(PACKAGES_KEPT)

    def sign(self, data: bytes) -> bytes:
        signature = self._identity.sign(data)
        self._signed.keep(signature, data)
        return signature

    def verify(self, identifier: int, data: bytes, signature: bytes) -> bool:
        if identifier == self.identifier and self._signed.get(signature) == data:
            return True
        governors = self._seat.roster.governors
        return 1 <= identifier <= len(governors) and governors[identifier - 1].verifies(
            data, signature
        )

    def commit(self) -> tuple[bytes, Nonce]:
        # never ahead of its use: a copy of this process's memory would repeat it
        nonces = frost_commit(self._seat.key, self._random)
        points = nonces.commitment.hiding, nonces.commitment.binding
        commitment = b"".join(points)
        self._points.keep(commitment, points)
        self._own.keep(commitment, nonces)
        return commitment, nonces

    def check_commitment(self, commitment: bytes) -> bool:
        try:
            self._decoded(commitment)
        except Malformed:
            return False
        return True

    def _decoded(self, commitment: bytes) -> tuple[bytes, bytes]:
        return self._points.get(commitment) or self._points.keep(
            commitment, (point_from_bytes(commitment[:32]), point_from_bytes(commitment[32:]))
        )

    def package(self, payload: bytes, commitments: Mapping[int, bytes]) -> SigningPackage:
        key = payload, tuple(sorted(commitments.items()))
        return self._packages.get(key) or self._packages.keep(
            key, self._new_package(payload, commitments)
        )

    def _new_package(self, payload: bytes, commitments: Mapping[int, bytes]) -> SigningPackage:
        public = self._seat.public
        # points that have not been checked yet are checked by the package
        listed = [
            Commitment(i, *(self._points.get(one) or (one[:32], one[32:])))
            for i, one in commitments.items()
        ]
        text = signing_input(payload)
        mine = self._own.get(commitments.get(self.identifier, b""))
        return SigningPackage(public.group_key, public.threshold, text, listed, mine)

    def share(self, package: Package, nonce: Nonce) -> bytes:
        assert isinstance(package, SigningPackage) and isinstance(nonce, Nonces)
        return sign(self._seat.key, nonce, package)

    def share_is_valid(self, package: Package, identifier: int, share: bytes) -> bool:
        assert isinstance(package, SigningPackage)
        key = self._seat.public.verifying_shares[identifier]
        return package.share_is_valid(identifier, share, key)

    def aggregate(self, package: Package, shares: Mapping[int, bytes]) -> bytes:
        assert isinstance(package, SigningPackage)
        return aggregate(self._seat.public, package, shares)

    def is_valid(self, payload: bytes, signature: bytes) -> bool:
        return is_valid(self._seat.public.group_key, signing_input(payload), signature)
