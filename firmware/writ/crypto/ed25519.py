"""Ed25519 verification in Python integers (RFC 8032, section 5.1.7). Holds no secrets.

It is not constant-time and need not be: keys, messages and signatures are public.

Strict: A and R are canonical encodings of points of the prime-order subgroup and not the neutral
point; S is below the group's order; [S]B - [k]A is encoded and must equal the bytes of R. A's order
is checked once for each key, at the cost of one more check; R's then follows. Under this rule the
cofactor makes no difference for the accepted signatures: every Ed25519 library accepts them. All
backends and hosts have this rule (tests/device/crypto/test_crypto_cctv.py).

The scalars are read through combs of four teeth, 64 columns each: 64 doublings and 128 additions.
The comb of the last key is kept (864 bytes), since a device always verifies with one group key.
This code is loaded for a check, and forgotten after it; that comb stays.
"""

from ..compat import compute, const

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_MASK = 2**255 - 1
_D = const(0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3)
# a square root of -1
_I = const(0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0)
# The comb of the base point, as `_comb` makes it
_BASE = (
    b"\xad\xd0\x88\xdb\x13\xa8\xe2\xe3\xc1\x4d\xb1\x5b\x3d\xb1\x40\x6f\xd2\x2b\x1e\x55"
    b"\x25\x54\x71\xc6\x6d\x39\x64\xc4\xae\xb7\x05\x40\x3e\x38\x73\x24\xc8\xa2\xb0\x4b"
    b"\x54\x48\x9a\xd3\x1c\xd9\x93\x8b\x51\x8b\x45\xaa\xee\xc2\x83\x64\x27\x68\x08\x48"
    b"\x46\x94\xce\x4b\x1c\x79\xec\x5b\x82\xe1\x80\xcc\x25\x76\x6d\xaf\xd0\xa9\xb4\xe0"
    b"\x98\x2e\xbb\x2f\x7d\x35\x4d\x61\xda\x43\xa6\x63\x76\xbb\x77\x1c\xb0\x34\x71\x9d"
    b"\x75\xd2\xde\xe9\x0d\x0a\x7b\x54\x93\xb5\xbc\xe7\xfb\x44\x73\x02\xf0\x65\xbc\x5e"
    b"\xa7\x80\xbc\x89\x8f\x35\x4f\x66\xe7\x68\x3e\xae\x59\xb5\xd2\x16\xbd\xac\x47\x58"
    b"\x73\x62\xc5\x6f\x75\x08\x29\x96\x54\x1f\x89\xb9\x66\x8a\xf3\x6f\xcf\xfd\xa8\x43"
    b"\xb4\xeb\x15\x67\x64\x39\xd4\x3d\xf1\xa3\xe4\x3b\xf1\x92\x4d\x11\x59\xc1\xd4\x57"
    b"\x67\x8b\x43\xe1\x85\x6c\xef\x7c\x9c\x7c\xb5\x51\xc9\xd5\x0d\x5a\x65\x1b\x33\x1f"
    b"\xd3\x2b\x86\xc9\x61\x5f\x54\x0b\x33\x78\x73\x15\xb3\x89\x97\x39\x5c\xd4\x43\x77"
    b"\x90\x73\x50\x13\x81\x47\x04\xac\x05\x3e\x14\x99\x52\x86\x72\xc6\xa6\xfd\x80\x55"
    b"\xd2\xbc\x15\x0c\xd9\x84\xf4\x3e\x57\x26\xce\x48\x1e\x9c\x9d\x1d\xab\x1e\xad\xf5"
    b"\x2f\x86\xe0\x13\x7a\xd1\x71\x90\xb9\x63\xfa\xfe\xeb\x8c\x82\xf3\x93\x66\x37\xd8"
    b"\x5a\x05\x5d\x4a\xb1\xe7\x56\x0a\x3e\x5b\x23\xbf\xf7\x46\x42\x12\xcb\x7d\xd8\x1e"
    b"\x54\x6e\x7e\xe8\x92\x55\x38\xc1\x34\xec\x52\x78\x13\x5f\x42\x65\x88\x5a\x18\x7c"
    b"\x9c\x8c\x5f\x25\x6a\xce\xcf\xad\xee\x88\x44\xc9\x41\x77\xd8\x8b\xfd\x5b\x44\x04"
    b"\xd4\x94\x3a\x09\x8a\x14\xe9\xfc\xf3\x11\x25\x7b\xef\xaf\xd9\x9e\x8e\x81\x4f\x97"
    b"\x19\x7c\x06\x6b\x01\x39\x33\x03\xa5\xf0\x65\xa1\xdd\x9a\x7c\x44\xb5\x57\x18\x14"
    b"\xa0\x04\x64\x59\x2d\x4a\x94\x84\x91\x8f\x63\x82\x04\x30\x82\x97\xad\xae\x54\x61"
    b"\xee\xac\xc0\x2f\xdf\x49\xa3\x78\xc0\x59\xe0\x47\xa4\xdd\xaa\x11\x8d\x0c\xbf\xd8"
    b"\x1f\x1b\x89\xf7\xc9\xae\x0b\x9f\x8b\x27\x52\xb3\x33\xe2\xcd\xac\x39\x17\x26\x08"
    b"\x5c\xc8\xd9\xf2\x54\x87\x68\x6e\xb9\xcf\x54\xf2\xd9\x33\x63\xa3\xda\xc3\xef\x0d"
    b"\x54\x3c\xf8\xbe\xa2\xca\x6f\xf5\xc3\xf8\x96\x8e\xbb\xad\x77\x4b\x23\xb2\xcc\x42"
    b"\xab\x71\x9a\x2f\xc4\x80\xf8\x63\x3a\x06\x02\x91\xb0\x91\x0b\x45\xd1\x1b\x29\xd4"
    b"\x82\x7c\xe9\x46\x6e\xfb\xa8\xf8\xb3\xfe\xd2\x43\x33\xd9\xfd\x77\x68\xfd\xd2\xcc"
    b"\x42\x9e\x75\x43\xfe\x6e\x77\x82\x74\xc3\x97\xe4\x9f\xf4\xc4\xde\x1a\x8c\x24\x48"
    b"\x57\x69\x44\x5e\xfe\x1f\x09\x97\x74\x16\xbd\x28\x08\xa7\x4b\x9d\xd0\x95\x29\x70"
    b"\x94\xed\x00\x5f\x1a\xd3\x37\xfb\xbc\x12\x14\x9f\xef\xfb\x4e\x15\x9d\x11\x1a\x27"
    b"\xb0\x74\x7e\x08\x42\x1f\x0e\x0b\x27\xe0\xc0\x67\x8f\x64\x2b\x0d\x9d\x83\xdc\xee"
    b"\x8b\x8a\x9c\xfb\x96\xa0\xe6\x6a\xa2\x53\x60\x15\xc8\x2e\x7b\x05\x29\x91\xfd\xf2"
    b"\x26\xb4\xac\x0d\xd5\xdd\x10\xbd\x20\x8d\x0d\xe3\x2e\xb3\x9b\x07\x9d\x96\xb7\x27"
    b"\x81\x82\x8d\x90\x5a\x3e\x24\xa7\xd1\x8c\x51\x8f\xda\x8c\xe1\x72\xac\xdc\x8d\x1f"
    b"\x3b\xe8\xe3\xf2\x3c\x7b\x8f\xbd\xba\x3d\xd1\x70\x3c\xf8\x7e\xdc\x4b\xcb\xa8\xa2"
    b"\x26\xc2\x93\x5f\xfa\xc6\xb5\x96\xa5\xe3\x64\x06\x1b\xeb\xeb\xd4\x2f\xcf\xc6\xe5"
    b"\xdc\x4a\x9b\x40\x42\xb8\xfb\x47\x67\xeb\x7e\x13\x8b\x1a\x81\x60\x75\x5c\xdf\x79"
    b"\x9a\xc8\xf8\x71\x6f\xa7\x2b\x5a\xc2\xff\xc8\x3b\x56\x2a\x95\x09\xc4\x50\x43\x83"
    b"\xb9\x3d\xd5\x44\xb4\x05\xf5\xa5\x05\x93\x29\x89\x2f\xff\x49\x59\xa2\xfa\x22\xfb"
    b"\x64\x7d\x65\x04\xa7\x68\xb9\x69\x3e\x91\x40\xd7\x05\x39\x10\x9d\xb3\xbe\x40\xd1"
    b"\x05\x9f\x39\xfd\x09\x8a\x8f\x68\x34\x84\xc1\xa5\x67\x12\xf8\x98\x92\x2f\xfd\x44"
    b"\x85\x3b\x8c\xf5\xc6\x93\xbc\x2f\x19\x0e\x8c\xfb\xc6\x2d\x93\xcf\xc2\x42\x3d\x64"
    b"\x98\x48\x0b\x27\x65\xba\xd4\x33\x3a\x9d\xcf\x07\x68\xaa\x7a\x87\x05\x12\xc9\xab"
    b"\x9e\xc4\xaa\xcc\x23\xe8\xd9\x26\x8c\x59\x43\xdd\xcb\x7d\x1b\x5a\xa8\x65\x0c\x9f"
    b"\x68\x7b\x11\x6f"
)


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


def _pack(packed, index, numbers):
    # three numbers as an entry of 96 bytes: as integers in tuples a comb would hold 3.5 kB of heap
    at = 96 * index
    for number in numbers:
        packed[at : at + 32] = (number % _P).to_bytes(32, "little")
        at += 32


def _unpack(packed, index):
    # the three numbers of one entry
    at = 96 * index
    return (
        int.from_bytes(packed[at : at + 32], "little"),
        int.from_bytes(packed[at + 32 : at + 64], "little"),
        int.from_bytes(packed[at + 64 : at + 96], "little"),
    )


def _affine(packed, count):
    # turns the first entries, (X, Y, Z), into affine (y - x, y + x, 2dxy), all with one inversion
    # (Montgomery's trick)
    product = 1
    before = []
    for i in range(count):
        before.append(product)
        product = product * _unpack(packed, i)[2] % _P
    inverse = pow(product, _P - 2, _P)
    for i in range(count - 1, -1, -1):
        x, y, z = _unpack(packed, i)
        here = inverse * before.pop() % _P
        inverse = inverse * z % _P
        x = x * here % _P
        y = y * here % _P
        _pack(packed, i, (y - x, y + x, 2 * x * y * _D))


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
    # first: the numbers leave no piece as large
    entries = bytearray(9 * 96)
    point = _decode(encoded)
    if point is None:
        return None
    teeth = bytearray(3 * 96)
    for i in range(3):
        _pack(teeth, i, point[:3])
        for _ in range(64):
            point = _double(point)
    _affine(teeth, 3)
    # one after the other: eight points that are not packed would be the peak of the heap
    for i in range(8):
        entry = point
        for j in range(3):
            entry = _add(entry, _unpack(teeth, j), not i >> j & 1)
        _pack(entries, i, entry[:3])
    _affine(entries, 8)
    entries[8 * 96 :] = teeth[:96]
    return entries


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


def ed25519_verify(public, digest, signature, last):
    """Whether `signature` (64 bytes) by `public` (32 bytes) fits a message.

    digest: SHA-512 of the first half of the signature, the key and the message; last: [(the last
    key, its comb)], changed here; the comb of a bad key is None. Never raises: a wrong size, a bad
    point or S out of range is False. RFC 8032, section 5.1.7, and the strict rule at the top of
    this file.
    """
    if len(public) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    # the neutral point as R; only its canonical encoding could pass below
    if s >= _L or int.from_bytes(signature[:32], "little") == 1:
        return False
    # one read and one write of the cache, so that threads cannot mix a key with another's comb
    known, comb = last[0]
    if public != known:
        # after a succession the room of the former key's comb is needed
        known = comb = None
        last[0] = (None, None)
        comb = compute(_comb, public)
        if comb:
            # y = 1 for the neutral point alone, so [L]A is another one if A's order is not L
            _, y, z, _ = compute(_combine, 0, comb, _L, comb)
            if (y - z) % _P:
                comb = None
        last[0] = (bytes(public), comb)
    if comb is None:
        return False
    k = int.from_bytes(digest, "little") % _L
    return compute(_r, s, k, comb) == signature[:32]


def _r(s, k, comb):
    # the encoding of the only R that fits
    x, y, z, _ = _combine(s, _BASE, k, comb)
    z = pow(z % _P, _P - 2, _P)
    y = y * z % _P | (x * z % _P & 1) << 255
    return y.to_bytes(32, "little")
