"""Textbook Ed25519 for the tests: affine points, no tricks, slow; RFC 8032 section 5.1.

It decides what the backends must decide, and makes the edge cases that honest signers never make.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def add(one: Point, two: Point) -> Point:
    """The complete addition law (RFC 8032, section 5.1.4)."""
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def multiply(scalar: int, point: Point) -> Point:
    """scalar * point; the scalar is not reduced."""
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def negate(point: Point) -> Point:
    """The inverse."""
    return -point[0] % P, point[1]


def encode(point: Point) -> bytes:
    """The canonical encoding."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point, or None; y >= P and x = 0 with a sign are no encodings."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    xx = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if x * x % P != xx:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != xx or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x), y


_BASE = decode(b"\x58" + b"\x66" * 31)
assert _BASE is not None
BASE = _BASE


def _of_order_8() -> Point:
    y = 2
    while True:
        point = decode(y.to_bytes(32, "little"))
        y += 1
        if point is not None and multiply(4 * L, point) != NEUTRAL:
            return multiply(L, point)


# All eight points of small order: TORSION[i] is i times a generator.
_GENERATOR = _of_order_8()
TORSION = [multiply(i, _GENERATOR) for i in range(8)]


def hash_scalar(r: bytes, public: bytes, message: bytes) -> int:
    """k of RFC 8032, section 5.1.7, reduced."""
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """The strict, cofactorless check that every backend must agree with.

    Neither point is the neutral one; the key, and so R, is in the prime-order subgroup.
    """
    s = int.from_bytes(signature[32:], "little")
    a = decode(public)
    if len(signature) != 64 or s >= L or a is None or a == NEUTRAL or multiply(L, a) != NEUTRAL:
        return False
    if signature[:32] == encode(NEUTRAL):
        return False
    k = hash_scalar(signature[:32], public, message)
    return encode(add(multiply(s, BASE), multiply(k, negate(a)))) == signature[:32]


def sign(secret: int, nonce: int, key_torsion: int, r_torsion: int, message: bytes) -> bytes:
    """public key + signature, 96 bytes, with points of small order added to both points."""
    public = encode(add(multiply(secret, BASE), TORSION[key_torsion]))
    r = encode(add(multiply(nonce, BASE), TORSION[r_torsion]))
    s = (nonce + hash_scalar(r, public, message) * secret) % L
    return public + r + s.to_bytes(32, "little")
