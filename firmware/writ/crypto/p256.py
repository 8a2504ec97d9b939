"""P-256 in Python integers: ECDH by x coordinates (RFC 9528) and ES256 (RFC 9053, section 2.1).

Each multiplication makes the same steps, whatever the scalar. But the time of a step in Python
integers depends on their values: an attacker that times this node's handshakes very finely, or
measures its power, may learn about its private key. Slow links hide the variation; a native module
instead of this one removes it. Verification is in p256_verify.py.

Points are Jacobian (X, Y, Z), x = X/Z**2, y = Y/Z**3; Z = 0 is the point at infinity.
"""

from ..compat import compute, const, sha256
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


def _double(point):
    # dbl-2001-b, for a = -3
    x, y, z = point
    p = _P
    delta = z * z % p
    gamma = y * y % p
    beta = x * gamma % p
    alpha = 3 * (x - delta) * (x + delta) % p
    x = (alpha * alpha - 8 * beta) % p
    return x, (alpha * (4 * beta - x) - 8 * gamma * gamma) % p, 2 * y * z % p


def _add(one, two):
    # add-1998-cmo-2, and where it fails: a sum that doubles. Opposite points give Z = 0
    x1, y1, z1 = one
    x2, y2, z2 = two
    p = _P
    z1z1 = z1 * z1 % p
    z2z2 = z2 * z2 % p
    u = x1 * z2z2 % p
    s = y1 * z2 * z2z2 % p
    h = (x2 * z1z1 - u) % p
    r = (y2 * z1 * z1z1 - s) % p
    if h == r == 0:
        return _double(one)
    hh = h * h % p
    hhh = h * hh % p
    u = u * hh % p
    x = (r * r - hhh - 2 * u) % p
    return x, (r * (u - x) - s * hhh) % p, z1 * z2 * h % p


def _multiply(scalar, point):
    # scalar * point, Jacobian; 0 <= scalar < 2**256; the scalar may be a secret
    return compute(_product, scalar, point)


def _product(scalar, point):
    """The steps of `_multiply`.

    The steps do not depend on the scalar: 64 windows of four doublings and one addition. For that
    it is made odd by adding the order, and written in odd digits -15..15 (Joye and Tunstall, 2009).
    A plain loop is as long as the scalar, and the length of an ES256 nonce gives the key away.
    """
    scalar += _N * (1 - (scalar & 1))
    twice = _double(point)
    # 1, 3, 5 ... 15 times the point, as bytes: as integers they would hold 2 kB more of the heap
    table = bytearray(8 * 96)
    entry = point
    for at in range(0, 8 * 96, 96):
        if at:
            entry = _add(entry, twice)
        for number in entry:
            table[at : at + 32] = number.to_bytes(32, "big")
            at += 32
    # the digits as 2 * nibble - 15; the uppermost one, above 2**256, is always 1
    scalar >>= 1
    for i in range(252, -4, -4):
        for _ in range(4):
            point = _double(point)
        digit = scalar >> i & 15
        at = 96 * ((digit if digit > 7 else ~digit) & 7)
        x = int.from_bytes(table[at : at + 32], "big")
        y = int.from_bytes(table[at + 32 : at + 64], "big")
        z = int.from_bytes(table[at + 64 : at + 96], "big")
        point = _add(point, (x, y if digit > 7 else _P - y, z))
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


def p256_public(private):
    """(x of 32 bytes, whether y is odd) of the public key; raises `UsageError`."""
    x, y = _affine(_multiply(_private(private), _G))
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
    return _affine(_multiply(_private(private), _point(x, False)))[0].to_bytes(32, "big")


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
    """ECDSA with P-256 and SHA-256: r and the lower s, 64 bytes; deterministic (RFC 6979).

    Raises `UsageError` for a bad `private`.
    """
    d = _private(private)
    digest = sha256(message)
    e = int.from_bytes(digest, "big")
    for k in _nonces(private, digest):
        if 0 < k < _N:
            r = _affine(_multiply(k, _G))[0] % _N
            s = pow(k, _N - 2, _N) * (e + r * d) % _N
            if r and s:
                # (r, N - s) is valid, too: governors accept the lower s only
                return r.to_bytes(32, "big") + min(s, _N - s).to_bytes(32, "big")
