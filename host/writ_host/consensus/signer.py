"""The cryptography that consensus needs, behind a small protocol; and the real one.

Two kinds of signature: one governor's own (Ed25519), and the group's, made of shares (FROST). All
randomness of the core comes from `Signer.commit`. A nonce object is opaque and never leaves the
process: only `commitment` does.
"""

import os
from collections.abc import Mapping
from typing import Protocol

from writ.capsule import signing_input

from ..errors import CheatingGovernor, Malformed
from ..frost import Commitment, Nonces, SigningPackage, aggregate, is_valid, sign
from ..frost import commit as frost_commit
from ..group import Random
from ..identity import Identity
from ..roster import Seat

# hiding and binding commitment, 32 bytes each
COMMITMENT_BYTES = 64
SHARE_BYTES = 32
SIGNATURE_BYTES = 64


class Nonce(Protocol):
    """The secret half of a commitment. Signs once."""

    def discard(self) -> None:
        """Make sure that it never signs."""


class Package(Protocol):
    """One payload, and the commitments of exactly those who sign it."""


class Signer(Protocol):
    """One governor's keys, and everybody's public ones."""

    identifier: int

    def sign(self, data: bytes) -> bytes:
        """This governor's own signature, 64 bytes."""

    def verify(self, identifier: int, data: bytes, signature: bytes) -> bool:
        """True when that governor signed `data`."""

    def commit(self) -> tuple[bytes, Nonce]:
        """A fresh commitment (64 B) and its nonce."""

    def check_commitment(self, commitment: bytes) -> bool:
        """True when it can be one at all."""

    def package(self, payload: bytes, commitments: Mapping[int, bytes]) -> Package:
        """What is signed when these governors sign `payload`. All are `check_commitment`-ed."""

    def share(self, package: Package, nonce: Nonce) -> bytes:
        """This governor's signature share, 32 bytes. The nonce is spent."""

    def share_is_valid(self, package: Package, identifier: int, share: bytes) -> bool:
        """True when it is what that governor honestly answers."""

    def aggregate(self, package: Package, shares: Mapping[int, bytes]) -> bytes:
        """The group's signature, 64 bytes, verified. Raises `CheatingGovernor`."""

    def is_valid(self, payload: bytes, signature: bytes) -> bool:
        """True when the group signed `payload`."""


class FrostSigner:
    """The real one: Ed25519 of the governor's identity, FROST with its seat's share."""

    def __init__(self, identity: Identity, seat: Seat, random: Random = os.urandom) -> None:
        self.identifier = seat.key.identifier
        self._identity = identity
        self._seat = seat
        self._random = random

    def sign(self, data: bytes) -> bytes:
        return self._identity.sign(data)

    def verify(self, identifier: int, data: bytes, signature: bytes) -> bool:
        governors = self._seat.roster.governors
        return 1 <= identifier <= len(governors) and governors[identifier - 1].verifies(
            data, signature
        )

    def commit(self) -> tuple[bytes, Nonce]:
        nonces = frost_commit(self._seat.key, self._random)
        return nonces.commitment.hiding + nonces.commitment.binding, nonces

    def check_commitment(self, commitment: bytes) -> bool:
        try:
            Commitment(1, commitment[:32], commitment[32:])
        except Malformed:
            return False
        return True

    def package(self, payload: bytes, commitments: Mapping[int, bytes]) -> SigningPackage:
        public = self._seat.public
        listed = [Commitment(number, c[:32], c[32:]) for number, c in commitments.items()]
        return SigningPackage(public.group_key, public.threshold, signing_input(payload), listed)

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


__all__ = [
    "COMMITMENT_BYTES",
    "SHARE_BYTES",
    "SIGNATURE_BYTES",
    "CheatingGovernor",
    "FrostSigner",
    "Nonce",
    "Package",
    "Signer",
]
