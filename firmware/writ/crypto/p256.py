"""P-256 in Python integers: ECDH by x coordinates (RFC 9528) and ES256 (RFC 9053, section 2.1).

Not constant-time: an attacker that can time this node's handshakes finely, or measure its power,
may learn about its private key. Slow links hide the variation; a native module instead of this one
removes it.

Points are Jacobian (X, Y, Z), x = X/Z**2, y = Y/Z**3; Z = 0 is the point at infinity.
"""

from ..compat import const, random_bytes, sha256
from ..errors import BadPoint, UsageError
from .hashes import hmac_sha256

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = const(0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B)
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    1,
)
_INFINITY = (1, 1, 0)


def _double(point):
    # dbl-2001-b, for a = -3; infinity stays infinity
    x, y, z = point
    p = _P
    delta = z * z % p
    gamma = y * y % p
    beta = x * gamma % p
    alpha = 3 * (x - delta) * (x + delta) % p
    x = (alpha * alpha - 8 * beta) % p
    return x, (alpha * (4 * beta - x) - 8 * gamma * gamma) % p, 2 * y * z % p


def _add(one, two):
    # add-1998-cmo-2, with the cases that it leaves out
    x1, y1, z1 = one
    x2, y2, z2 = two
    if z1 == 0:
        return two
    if z2 == 0:
        return one
    p = _P
    z1z1 = z1 * z1 % p
    z2z2 = z2 * z2 % p
    u = x1 * z2z2 % p
    s = y1 * z2 * z2z2 % p
    h = (x2 * z1z1 - u) % p
    r = (y2 * z1 * z1z1 - s) % p
    if h == 0:
        return _INFINITY if r else _double(one)
    hh = h * h % p
    hhh = h * hh % p
    u = u * hh % p
    x = (r * r - hhh - 2 * u) % p
    return x, (r * (u - x) - s * hhh) % p, z1 * z2 * h % p


def _digits(scalar):
    # signed odd digits -7..7, at most one in four not zero, the least significant first (w-NAF)
    digits = bytearray(257)
    count = 0
    while scalar:
        if scalar & 1:
            digit = scalar & 15
            scalar -= digit - 16 if digit > 8 else digit
            digits[count] = digit
        scalar >>= 1
        count += 1
    return digits


def _multiply(*pairs):
    # the sum of scalar * point over `pairs`: all doublings are shared (Straus)
    terms = []
    for scalar, point in pairs:
        twice = _double(point)
        table = [point]
        for _ in range(3):
            table.append(_add(table[-1], twice))
        terms.append((_digits(scalar), table))
    point = _INFINITY
    for i in range(256, -1, -1):
        point = _double(point)
        for digits, table in terms:
            digit = digits[i]
            if digit > 8:
                x, y, z = table[(15 - digit) >> 1]
                point = _add(point, (x, -y, z))
            elif digit:
                point = _add(point, table[digit >> 1])
    return point


def _affine(point):
    x, y, z = point
    z = pow(z, _P - 2, _P)
    return x * z * z % _P, y * z * z * z % _P


def _point(x, y_is_odd):
    # decompression (SEC 1, section 2.3.4); P is 3 mod 4, so a root is one power
    if len(x) != 32:
        raise BadPoint()
    x = int.from_bytes(x, "big")
    square = (x * x * x - 3 * x + _B) % _P
    y = pow(square, (_P + 1) // 4, _P)
    if x >= _P or y * y % _P != square:
        raise BadPoint()
    # y = 0 cannot be: the order of the curve is odd
    return x, y if y & 1 == bool(y_is_odd) else _P - y, 1


def _private(private):
    d = int.from_bytes(private, "big")
    if len(private) != 32 or not 0 < d < _N:
        raise UsageError("not a P-256 private key")
    return d


def p256_generate():
    """A new private key, 32 bytes: uniform in 1..n-1, by rejection (FIPS 186-5, A.2.2)."""
    while True:
        private = random_bytes(32)
        if 0 < int.from_bytes(private, "big") < _N:
            return private


def p256_public(private):
    """(x of 32 bytes, whether y is odd) of the public key; raises `UsageError`."""
    x, y = _affine(_multiply((_private(private), _G)))
    return x.to_bytes(32, "big"), y & 1 == 1


def p256_y(x, y_is_odd):
    """y (32 bytes) of the point with this `x` (32 bytes) and sign.

    Raises `BadPoint` if no point of the curve has this x (SEC 1, section 2.3.4).
    """
    return _point(x, y_is_odd)[1].to_bytes(32, "big")


def p256_ecdh(private, x):
    """The shared x coordinate, 32 bytes, with the peer's `x` (RFC 9528, section 3.4).

    The sign of y does not matter to it. Raises `BadPoint`, or `UsageError` for a bad `private`.
    """
    return _affine(_multiply((_private(private), _point(x, False))))[0].to_bytes(32, "big")


def _nonces(private, digest):
    # the candidates for k (RFC 6979, section 3.2); qlen is 256, so bits2int is plain
    digest = (int.from_bytes(digest, "big") % _N).to_bytes(32, "big")
    v = b"\x01" * 32
    k = bytes(32)
    for step in b"\x00\x01":
        k = hmac_sha256(k, v + bytes((step,)) + private + digest)
        v = hmac_sha256(k, v)
    while True:
        v = hmac_sha256(k, v)
        yield int.from_bytes(v, "big")
        k = hmac_sha256(k, v + b"\x00")
        v = hmac_sha256(k, v)


def es256_sign(private, message):
    """ECDSA with P-256 and SHA-256: r and s, 64 bytes; deterministic (RFC 6979).

    Raises `UsageError` for a bad `private`.
    """
    d = _private(private)
    digest = sha256(message)
    e = int.from_bytes(digest, "big")
    for k in _nonces(private, digest):
        if 0 < k < _N:
            r = _affine(_multiply((k, _G)))[0] % _N
            s = pow(k, _N - 2, _N) * (e + r * d) % _N
            if r and s:
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def es256_verify(x, y_is_odd, message, signature):
    """Whether `signature` (64 bytes) by the key (`x` of 32 bytes, sign of y) fits `message`.

    Never raises; both values of s are accepted, as RFC 9053 says (FIPS 186-5, section 6.4.2).
    """
    if len(signature) != 64:
        return False
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if not (0 < r < _N and 0 < s < _N):
        return False
    try:
        public = _point(x, y_is_odd)
    except BadPoint:
        return False
    s = pow(s, _N - 2, _N)
    e = int.from_bytes(sha256(message), "big")
    point = _multiply((e * s % _N, _G), (r * s % _N, public))
    # infinity gives x = 0, which is no valid r
    return _affine(point)[0] % _N == r
