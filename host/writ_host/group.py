"""The prime-order group of Ed25519, as FROST sees it (RFC 9591, section 6.1).

Scalars are Python integers modulo `ORDER`, elements are pycryptodome points; only here are they
turned into bytes and back. Python integers are not constant-time and cannot be wiped: a governor
signs a few times a day on a machine of its own, and nobody else may measure it.
"""

import hashlib
import os
from collections.abc import Callable

from Crypto.PublicKey.ECC import EccPoint
from Crypto.Signature import eddsa

from .errors import Malformed

ORDER = 2**252 + 27742317777372353535851937790883648493
SCALAR_BYTES = 32
POINT_BYTES = 32

# Where randomness comes from; tests put fixed bytes in its place.
Random = Callable[[int], bytes]

GENERATOR: EccPoint = eddsa.import_public_key(b"\x58" + b"\x66" * 31).pointQ
IDENTITY: EccPoint = GENERATOR.point_at_infinity()


def scalar_to_bytes(scalar: int) -> bytes:
    """32 bytes, little-endian."""
    return scalar.to_bytes(SCALAR_BYTES, "little")


def scalar_from_bytes(data: object) -> int:
    """The scalar in 32 bytes. Raises `Malformed` unless it is less than the order."""
    if not isinstance(data, bytes) or len(data) != SCALAR_BYTES:
        raise Malformed("a scalar has 32 bytes")
    scalar = int.from_bytes(data, "little")
    if scalar >= ORDER:
        raise Malformed("a scalar must be less than the group's order")
    return scalar


def random_scalar(random: Random = os.urandom) -> int:
    """A uniform scalar, never zero: 64 random bytes modulo the order."""
    while True:
        scalar = int.from_bytes(random(64), "little") % ORDER
        if scalar:
            return scalar


def hash_to_scalar(*parts: bytes) -> int:
    """SHA-512 over the parts, little-endian, modulo the order."""
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def base(scalar: int) -> EccPoint:
    """The generator times `scalar`."""
    return GENERATOR * scalar


def point_to_bytes(point: EccPoint) -> bytes:
    """32 bytes (RFC 8032, section 5.1.2). Raises `Malformed` for the identity."""
    x, y = point.xy
    if x == 0 and y == 1:
        raise Malformed("the identity has no encoding here")
    return (y | (x & 1) << 255).to_bytes(POINT_BYTES, "little")


def point_from_bytes(data: object) -> EccPoint:
    """The element in 32 bytes (RFC 9591, section 6.1, DeserializeElement).

    Raises `Malformed` for another size, a non-canonical encoding, a point off the curve, the
    identity, and every point outside the prime-order subgroup.
    """
    if not isinstance(data, bytes) or len(data) != POINT_BYTES:
        raise Malformed("a point has 32 bytes")
    try:
        point = eddsa.import_public_key(data).pointQ
    except ValueError:
        raise Malformed("not a point of Ed25519") from None
    # Re-encoding refuses the identity and whatever is not the one canonical form.
    if point_to_bytes(point) != data:
        raise Malformed("not the canonical encoding of a point")
    # times (order - 1), as a library might reduce a scalar modulo the order itself
    if point * (ORDER - 1) != -point:
        raise Malformed("not a point of the prime-order subgroup")
    return point


def linear(terms: list[tuple[int, EccPoint]]) -> EccPoint:
    """The sum of scalar times point over `terms`."""
    total = IDENTITY
    for scalar, point in terms:
        total = total + point * (scalar % ORDER)
    return total
