"""Ed25519 verification in Python integers (RFC 8032, section 5.1.7). Holds no secrets.

It is not constant-time and need not be: keys, messages and signatures are public.

Strict: A and R are canonical encodings of points of the prime-order subgroup and not the neutral
point; S is below the group's order; [S]B - [k]A is encoded and must equal the bytes of R. A's order
is checked once for each key, at the cost of one more check; R's then follows. Under this rule the
cofactor makes no difference for the accepted signatures: every Ed25519 library accepts them. All
backends and hosts have this rule (tests/device/crypto/test_crypto_cctv.py).

The scalars are read through combs of four teeth, 64 columns each: 64 doublings and 128 additions.
The comb of the last key is kept (864 bytes), since a device always verifies with one group key.
"""

from ..compat import compute, const
from .hashes import sha512

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_MASK = 2**255 - 1
_D = const(0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3)
# a square root of -1
_I = const(0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0)
_BASE = b"\x58" + b"\x66" * 31


def _times(a, b):
    # a * b modulo P, lazily: 2**255 is 19. Below 2**255 + 2**32 if a and b are below 2**265
    # in size; it may be a little below zero too. More than twice as fast as `%` on MicroPython.
    a *= b
    a = (a & _MASK) + (a >> 255) * 19
    return (a & _MASK) + (a >> 255) * 19


def _double(point):
    # (X, Y, Z, T), extended coordinates, x = X/Z, y = Y/Z, T = XY/Z; dbl-2008-hwcd with the signs
    # of F, H and so of all four results turned. Sums of products are folded once.
    x, y, z, _ = point
    e = (x + x) * y
    e = (e & _MASK) + (e >> 255) * 19
    x *= x
    y *= y
    h = x + y
    h = (h & _MASK) + (h >> 255) * 19
    x = y - x
    g = (x & _MASK) + (x >> 255) * 19
    z *= z
    x = z + z - x
    f = (x & _MASK) + (x >> 255) * 19
    return _times(e, f), _times(g, h), _times(f, g), _times(e, h)


def _add(point, other, minus):
    # extended plus or minus affine (y - x, y + x, 2dxy); madd-2008-hwcd-3, complete on this curve
    x, y, z, t = point
    b, a, c = other
    if minus:
        a, b, c = b, a, -c
    b *= y - x
    a *= y + x
    e = a - b
    e = (e & _MASK) + (e >> 255) * 19
    h = a + b
    h = (h & _MASK) + (h >> 255) * 19
    c *= t
    c = (c & _MASK) + (c >> 255) * 19
    z += z
    f = z - c
    g = z + c
    return _times(e, f), _times(g, h), _times(f, g), _times(e, h)


def _pack(numbers):
    # three numbers in 96 bytes: as integers in tuples the two combs would hold 7 kB of heap
    return b"".join([(number % _P).to_bytes(32, "little") for number in numbers])


def _unpack(packed, index=0):
    # the three numbers of one entry
    at = 96 * index
    return (
        int.from_bytes(packed[at : at + 32], "little"),
        int.from_bytes(packed[at + 32 : at + 64], "little"),
        int.from_bytes(packed[at + 64 : at + 96], "little"),
    )


def _affine(points):
    # turns each packed (X, Y, Z) into affine (y - x, y + x, 2dxy), all with one inversion
    # (Montgomery's trick)
    product = 1
    before = []
    for point in points:
        before.append(product)
        product = product * _unpack(point)[2] % _P
    inverse = pow(product, _P - 2, _P)
    for i in range(len(points) - 1, -1, -1):
        x, y, z = _unpack(points[i])
        here = inverse * before.pop() % _P
        inverse = inverse * z % _P
        x = x * here % _P
        y = y * here % _P
        points[i] = _pack((y - x, y + x, 2 * x * y * _D))
    return points


def _decode(encoded):
    # RFC 8032, section 5.1.3; None if it is no point, if y is not below P, or if x is 0: those
    # two points are of small order
    y = int.from_bytes(encoded, "little")
    sign = y >> 255
    y &= _MASK
    u = (y * y - 1) % _P
    if y >= _P or u == 0:
        return None
    v = (y * y * _D + 1) % _P
    x = pow(u * pow(v, 7, _P) % _P, (_P - 5) // 8, _P) * u * pow(v, 3, _P) % _P
    vxx = v * x * x % _P
    if vxx != u:
        if vxx != _P - u:
            return None
        x = x * _I % _P
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _comb(encoded):
    """The comb (9 entries of 96 bytes) of the point with this encoding, or None if it is no point.

    Entry i of 8 is P3 + P2 + P1 + P0 with a minus before Pj where bit j of i is 0; Pj is
    2**(64 * j) times the point. The ninth entry is the point itself.
    """
    point = _decode(encoded)
    if point is None:
        return None
    teeth = []
    for _ in range(3):
        teeth.append(_pack(point[:3]))
        for _ in range(64):
            point = _double(point)
    _affine(teeth)
    # one after the other: eight points that are not packed would be the peak of the heap
    entries = []
    for i in range(8):
        entry = point
        for j in range(3):
            entry = _add(entry, _unpack(teeth[j]), not i >> j & 1)
        entries.append(_pack(entry[:3]))
    return b"".join(_affine(entries) + teeth[:1])


def _column(scalar, i):
    # (entry of the comb, whether to subtract it) for column i of the recoded scalar
    scalar >>= i
    index = scalar & 1 | (scalar >> 63) & 2 | (scalar >> 126) & 4
    if scalar >> 192 & 1:
        return index, False
    return index ^ 7, True


def _combine(s, base, k, other):
    # [s]base - [k]other, extended. With digits 1 and -1 only odd scalars can be written
    # (s = sum of (2 * bit - 1) * 2**i), so an even one is made odd and corrected at the end.
    # Adding the order instead would be wrong for points of mixed order.
    s_digits = (s >> 1) | 1 << 255
    k_digits = (k >> 1) | 1 << 255
    point = (0, 1, 1, 0)
    for i in range(63, -1, -1):
        point = _double(point)
        index, minus = _column(s_digits, i)
        point = _add(point, _unpack(base, index), minus)
        index, minus = _column(k_digits, i)
        point = _add(point, _unpack(other, index), not minus)
    if s & 1 == 0:
        point = _add(point, _unpack(base, 8), True)
    if k & 1 == 0:
        point = _add(point, _unpack(other, 8), False)
    return point


# The base point's comb, made at first use.
_base = None
# The last public key and its comb, which is None for a bad key.
_last = (None, None)


def ed25519_verify(public, message, signature):
    """Whether `signature` (64 bytes) by `public` (32 bytes) fits `message` (bytes).

    Never raises: a wrong size, a bad point or S out of range is False. RFC 8032, section 5.1.7,
    and the strict rule at the top of this file.
    """
    global _base, _last
    if len(public) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    # the neutral point as R; only its canonical encoding could pass below
    if s >= _L or int.from_bytes(signature[:32], "little") == 1:
        return False
    # one read and one write of the cache, so that threads cannot mix a key with another's comb
    known, comb = _last
    if public != known:
        # after a succession the room of the former key's comb is needed
        known = comb = None
        _last = (None, None)
        comb = compute(_comb, public)
        if comb:
            # y = 1 for the neutral point alone, so [L]A is another one if A's order is not L
            _, y, z, _ = compute(_combine, 0, comb, _L, comb)
            if (y - z) % _P:
                comb = None
        _last = (bytes(public), comb)
    if comb is None:
        return False
    if _base is None:
        _base = compute(_comb, _BASE)
    return compute(_r, s, public, message, signature, comb) == signature[:32]


def _r(s, public, message, signature, comb):
    # the encoding of the only R that fits
    k = int.from_bytes(sha512(signature[:32] + public + message), "little") % _L
    x, y, z, _ = _combine(s, _base, k, comb)
    z = pow(z % _P, _P - 2, _P)
    y = y * z % _P | (x * z % _P & 1) << 255
    return y.to_bytes(32, "little")
