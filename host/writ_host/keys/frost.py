"""FROST(Ed25519, SHA-512), RFC 9591: `threshold` governors make one plain Ed25519 signature.

A pure core: it has no I/O and no clock, and takes randomness as an argument. Section numbers are
the RFC's. Keys, commitments and shares travel as bytes. The first object that holds a received
point checks it, and from then on it is a `Point`.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from writ import crypto
from writ.errors import UsageError

from ..errors import CheatingGovernor, Malformed
from .group import (
    ORDER,
    Point,
    Random,
    add,
    base,
    hash_to_scalar,
    multiply,
    multiply_add,
    multiply_received,
    point_from_bytes,
    point_to_bytes,
    scalar_from_bytes,
    scalar_to_bytes,
)

CONTEXT = b"FROST-ED25519-SHA512-v1"
# Identifiers are small numbers from 1: a governor's place in the roster.
IDENTIFIER_MAX = 0xFFFF


def check_identifier(identifier: object) -> int:
    """Return the identifier if it is 1 to 65535. Raises `Malformed`."""
    if type(identifier) is not int or not 1 <= identifier <= IDENTIFIER_MAX:
        raise Malformed("an identifier is a number from 1 to 65535")
    return identifier


@dataclass(frozen=True)
class KeyPackage:
    """One governor's key share. `signing_share` is secret and never shown."""

    identifier: int
    signing_share: int = field(repr=False)
    group_key: bytes
    threshold: int

    @property
    def verifying_share(self) -> bytes:
        """The public key of the share, 32 bytes."""
        return point_to_bytes(base(self.signing_share))


@dataclass(frozen=True)
class PublicKeyPackage:
    """The public keys: the group's key and each governor's verifying share, 32 bytes each.

    Raises `Malformed` for an invalid point.
    """

    group_key: bytes
    verifying_shares: Mapping[int, bytes]
    threshold: int

    def __post_init__(self) -> None:
        shares = {i: point_from_bytes(share) for i, share in self.verifying_shares.items()}
        object.__setattr__(self, "group_key", point_from_bytes(self.group_key))
        object.__setattr__(self, "verifying_shares", shares)


@dataclass(frozen=True)
class Commitment:
    """A governor's nonce commitments for one signature (5.1): two encoded points of 32 bytes.

    Raises `Malformed` if `hiding` is not a valid point. `SigningPackage` checks `binding` when it
    multiplies it.
    """

    identifier: int
    hiding: bytes
    binding: bytes

    def __post_init__(self) -> None:
        check_identifier(self.identifier)
        object.__setattr__(self, "hiding", point_from_bytes(self.hiding))


class Nonces:
    """The secret nonces of one signature. They sign once and are erased then.

    They cannot be copied, pickled, serialised, printed or restored.
    """

    __slots__ = ("_buffers", "commitment")

    def __init__(self, hiding: int, binding: int, commitment: Commitment) -> None:
        self._buffers = [bytearray(scalar_to_bytes(hiding) + scalar_to_bytes(binding))]
        self.commitment = commitment

    def take(self) -> tuple[int, int]:
        """Return (hiding, binding) and spend them. Raises `UsageError` the second time."""
        try:
            # One atomic step, so that two threads cannot both take them.
            buffer = self._buffers.pop()
        except IndexError:
            raise UsageError("these nonces have signed already") from None
        pair = _pair(buffer)
        buffer[:] = bytes(64)
        return pair

    def blinding(self, factor: int) -> Point | None:
        """(hiding + factor * binding) times the generator: the public point of the blinding.

        This does not spend the nonces. None if they are spent already.
        """
        for buffer in self._buffers:
            hiding, binding = _pair(buffer)
            return base(multiply_add(binding, factor, hiding))
        return None

    def discard(self) -> None:
        """Make sure that these nonces never sign."""
        if self._buffers:
            self.take()

    @property
    def spent(self) -> bool:
        """True once they have signed or were discarded."""
        return not self._buffers

    def __repr__(self) -> str:
        return f"<Nonces of governor {self.commitment.identifier}>"

    def __reduce__(self) -> NoReturn:
        raise UsageError("nonces are never copied or serialised")


def _pair(buffer: bytearray) -> tuple[int, int]:
    return int.from_bytes(buffer[:32], "little"), int.from_bytes(buffer[32:], "little")


def nonce_generate(signing_share: int, random: Random = os.urandom) -> int:
    """A nonce that stays secret even if `random` is weak (4.1)."""
    return hash_to_scalar(CONTEXT, b"nonce", random(32), scalar_to_bytes(signing_share))


def commit(key: KeyPackage, random: Random = os.urandom) -> Nonces:
    """Round one (5.1): fresh nonces for one signature; publish their `.commitment`."""
    hiding = nonce_generate(key.signing_share, random)
    binding = nonce_generate(key.signing_share, random)
    public = Commitment(key.identifier, point_to_bytes(base(hiding)), point_to_bytes(base(binding)))
    return Nonces(hiding, binding, public)


def lagrange(identifier: int, identifiers: Iterable[int]) -> int:
    """The interpolating coefficient of `identifier` at 0 (4.2).

    Raises `UsageError` if `identifier` is not among `identifiers`, or if one occurs twice.
    """
    listed = list(identifiers)
    if identifier not in listed or len(set(listed)) != len(listed):
        raise UsageError("identifiers must be distinct and include the governor's own")
    numerator = denominator = 1
    for other in listed:
        if other != identifier:
            numerator = numerator * -other % ORDER
            denominator = denominator * (identifier - other) % ORDER
    return numerator * pow(denominator, -1, ORDER) % ORDER


def is_valid(group_key: bytes, message: bytes, signature: bytes) -> bool:
    """True when `signature` (64 B) over `message` verifies under `group_key` (32 B); never raises.

    The rule is that of devices (firmware/writ/crypto/ed25519.py): what a governor accepts, a device
    accepts, and the reverse.
    """
    return bool(crypto.ed25519_verify(group_key, message, signature))


class SigningPackage:
    """One message, its signers' commitments, and the values derived from them (4.3 to 4.6).

    All signers and the aggregator must have the same package. `commitments` is keyed by identifier
    in ascending order. mine: this governor's own nonces, if it signs; with them its own point costs
    a third of the time. Raises `UsageError` for a duplicate or for fewer than `threshold`
    commitments, `Malformed` for an invalid one.
    """

    def __init__(
        self,
        group_key: bytes,
        threshold: int,
        message: bytes,
        commitments: Iterable[Commitment],
        mine: Nonces | None = None,
    ) -> None:
        ordered = sorted(commitments, key=lambda item: item.identifier)
        self.commitments = {item.identifier: item for item in ordered}
        if len(self.commitments) != len(ordered):
            raise UsageError("a governor committed twice")
        if len(ordered) < max(threshold, 1):
            raise UsageError("fewer governors than the threshold")
        self.group_key = group_key
        self.message = message
        self.binding_factors = {
            identifier: hash_to_scalar(CONTEXT, b"rho", text)
            for identifier, text in self.binding_factor_inputs().items()
        }
        self._nonces = {item.identifier: self._nonce(item, mine) for item in ordered}
        self.group_commitment = point_to_bytes(add(self._nonces.values()))
        self.challenge = hash_to_scalar(self.group_commitment, group_key, message)

    def binding_factor_inputs(self) -> dict[int, bytes]:
        """The input of the hash for each governor's binding factor (4.4)."""
        listed = b"".join(
            scalar_to_bytes(item.identifier) + item.hiding + item.binding
            for item in self.commitments.values()
        )
        prefix = (
            self.group_key
            + hashlib.sha512(CONTEXT + b"msg" + self.message).digest()
            + hashlib.sha512(CONTEXT + b"com" + listed).digest()
        )
        return {identifier: prefix + scalar_to_bytes(identifier) for identifier in self.commitments}

    def _nonce(self, item: Commitment, mine: Nonces | None) -> Point:
        """The public point of the nonces that blind this governor's share."""
        factor = self.binding_factors[item.identifier]
        if mine is not None and mine.commitment == item:
            known = mine.blinding(factor)
            if known is not None:
                return known
        bound = multiply_received(factor, item.binding)
        return add([point_from_bytes(item.hiding), bound])

    def weight(self, identifier: int) -> int:
        """The factor of a governor's key share: Lagrange coefficient times challenge."""
        return lagrange(identifier, self.commitments) * self.challenge % ORDER

    def share_is_valid(self, identifier: int, share: bytes, verifying_share: bytes) -> bool:
        """True when `share` (32 B) is the signature share of an honest governor (5.4)."""
        try:
            response = scalar_from_bytes(share)
        except Malformed:
            return False
        weighted = multiply(self.weight(identifier), point_from_bytes(verifying_share))
        return base(response) == add([self._nonces[identifier], weighted])


def sign(key: KeyPackage, nonces: Nonces, package: SigningPackage) -> bytes:
    """Round two (5.2): this governor's signature share, 32 bytes. The nonces are spent.

    Raises `UsageError` if the package is for another group, has too few commitments or not this
    governor's own, or if the nonces have signed before.
    """
    if package.group_key != key.group_key or len(package.commitments) < key.threshold:
        raise UsageError("the package is not for this key")
    if package.commitments.get(key.identifier) != nonces.commitment:
        raise UsageError("the package does not have the commitment of these nonces")
    hiding, binding = nonces.take()
    blinding = multiply_add(binding, package.binding_factors[key.identifier], hiding)
    response = multiply_add(key.signing_share, package.weight(key.identifier), blinding)
    return scalar_to_bytes(response)


def aggregate(
    public: PublicKeyPackage, package: SigningPackage, shares: Mapping[int, bytes]
) -> bytes:
    """The group's signature, 64 bytes, verified (5.3, 5.4).

    shares: 32 bytes from each governor in the package. Raises `UsageError` if they are not from
    exactly these governors, and `CheatingGovernor` with the identifiers of all wrong shares.
    """
    if set(shares) != set(package.commitments) or package.group_key != public.group_key:
        raise UsageError("shares are needed from exactly the governors in the package")
    if len(shares) < public.threshold or not set(shares) <= set(public.verifying_shares):
        raise UsageError("too few governors, or unknown ones")
    try:
        total = sum(scalar_from_bytes(share) for share in shares.values()) % ORDER
    except Malformed:
        total = 0
    signature = package.group_commitment + scalar_to_bytes(total)
    if is_valid(public.group_key, package.message, signature):
        return signature
    cheaters = [
        identifier
        for identifier, share in shares.items()
        if not package.share_is_valid(identifier, share, public.verifying_shares[identifier])
    ]
    if not cheaters:
        raise Malformed("the verifying shares do not belong to the group's key")
    raise CheatingGovernor(cheaters, "sent a wrong signature share")
