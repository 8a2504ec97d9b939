"""The prime-order group of Ed25519, as FROST sees it (RFC 9591, section 6.1), on libsodium.

Scalars are Python integers modulo `ORDER`, elements are `Point`s. Products with a secret, and
points made of one, are computed by libsodium in constant time (`base`, `multiply`,
`multiply_add`). The integers around them are not constant-time and cannot be wiped. So a governor
must sign on a machine of its own, where no other user can measure it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import reduce

from nacl import bindings as sodium
from nacl.exceptions import RuntimeError as SodiumError

from ..errors import Malformed

ORDER = 2**252 + 27742317777372353535851937790883648493
SCALAR_BYTES = 32
POINT_BYTES = 32
_NOT_A_POINT = "not the canonical encoding of a point of the prime-order subgroup"

# random(size) -> bytes: `os.urandom`, or fixed bytes in tests.
Random = Callable[[int], bytes]


class Point(bytes):
    """An element of the group, as its 32 bytes (RFC 8032, section 5.1.2).

    Only this module makes points, so each `Point` has been checked. `+` concatenates bytes, as
    always; `add` is the group's addition.
    """

    __slots__ = ()


IDENTITY = Point(b"\x01".ljust(POINT_BYTES, b"\0"))
GENERATOR = Point(b"\x58" + b"\x66" * 31)


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


def _reduced(data: bytes) -> int:
    return int.from_bytes(sodium.crypto_core_ed25519_scalar_reduce(data), "little")


def random_scalar(random: Random = os.urandom) -> int:
    """A uniform scalar, never zero: 64 random bytes modulo the order."""
    while True:
        scalar = _reduced(random(64))
        if scalar:
            return scalar


def hash_to_scalar(*parts: bytes) -> int:
    """SHA-512 over the parts, little-endian, modulo the order."""
    return _reduced(hashlib.sha512(b"".join(parts)).digest())


def multiply_add(a: int, b: int, c: int) -> int:
    """The scalar a * b + c."""
    product = sodium.crypto_core_ed25519_scalar_mul(scalar_to_bytes(a), scalar_to_bytes(b))
    total = sodium.crypto_core_ed25519_scalar_add(product, scalar_to_bytes(c))
    return int.from_bytes(total, "little")


def base(scalar: int) -> Point:
    """The generator times `scalar`."""
    scalar %= ORDER
    # libsodium rejects products that are the identity, here and in `multiply`.
    if scalar == 0:
        return IDENTITY
    return Point(sodium.crypto_scalarmult_ed25519_base_noclamp(scalar_to_bytes(scalar)))


def multiply(scalar: int, point: Point) -> Point:
    """`point` times `scalar`."""
    scalar %= ORDER
    if scalar == 0 or point == IDENTITY:
        return IDENTITY
    return Point(sodium.crypto_scalarmult_ed25519_noclamp(scalar_to_bytes(scalar), point))


def multiply_received(scalar: int, data: bytes) -> Point:
    """A received point times `scalar`, with the checks of `point_from_bytes`.

    libsodium makes the same checks before it multiplies, so they are made once only. Raises
    `Malformed`.
    """
    is_usual = len(data) == POINT_BYTES and data != IDENTITY and scalar % ORDER != 0
    if isinstance(data, Point) or not is_usual:
        return multiply(scalar, point_from_bytes(data))
    try:
        return multiply(scalar, Point(data))
    except SodiumError:
        raise Malformed(_NOT_A_POINT) from None


def add(points: Iterable[Point]) -> Point:
    """The sum of one or more `points`."""
    encoded: Iterable[bytes] = points
    return Point(reduce(sodium.crypto_core_ed25519_add, encoded))


def point_to_bytes(point: Point) -> Point:
    """Return the point if it may be sent. Raises `Malformed` for the identity."""
    if point == IDENTITY:
        raise Malformed("the identity must not be encoded")
    return point


def point_from_bytes(data: object) -> Point:
    """The element in 32 bytes (RFC 9591, section 6.1, DeserializeElement).

    Raises `Malformed` for a wrong size, a non-canonical encoding, a point off the curve, the
    identity, and any point outside the prime-order subgroup.
    """
    if isinstance(data, Point):
        return point_to_bytes(data)
    if not isinstance(data, bytes) or len(data) != POINT_BYTES:
        raise Malformed("a point has 32 bytes")
    # libsodium before 2025-12-30 accepts points of twice the prime order here (CVE-2025-69277).
    if not sodium.crypto_core_ed25519_is_valid_point(data):
        raise Malformed(_NOT_A_POINT)
    return Point(data)
