"""SHA-512 in Python integers, and HMAC and HKDF over SHA-256.

Devices have SHA-256 in their firmware. SHA-512 is needed for Ed25519 alone.
"""

from ..compat import const, sha256
from ..errors import UsageError

_MASK = 0xFFFFFFFFFFFFFFFF
# x times this is x twice, one copy above the other: shifting it right rotates x.
_TWICE = const(0x10000000000000001)


def _fractions(count, degree):
    # The first 64 bits of the fractional parts of the roots of the first primes, by Newton's
    # method. Bytes, because 80 such integers would take six times the heap.
    output = b""
    primes = []
    prime = 2
    while len(primes) < count:
        if all([prime % smaller for smaller in primes]):
            primes.append(prime)
            scaled = prime << 64 * degree
            root = 1 << 68
            closer = root - 1
            while closer < root:
                root = closer
                closer = ((degree - 1) * root + scaled // root ** (degree - 1)) // degree
            output += (root & _MASK).to_bytes(8, "big")
        prime += 1
    return output


# FIPS 180-4, sections 4.2.3 and 5.3.5: cube roots of 80 primes, square roots of 8
_K = _fractions(80, 3)
_START = _fractions(8, 2)
# used twice and no more: its heap goes back
del _fractions


def _compress(state, block):
    # FIPS 180-4, section 6.4.2. Bits above 64 are garbage until `& mask` drops them.
    mask = _MASK
    twice = _TWICE
    constants = _K
    from_bytes = int.from_bytes
    w = [from_bytes(block[i : i + 8], "big") for i in range(0, 128, 8)]
    a, b, c, d, e, f, g, h = state
    b_c = b ^ c
    for i in range(80):
        j = i & 15
        if i > 15:
            x = w[(i + 1) & 15]
            y = x * twice
            u = w[(i + 14) & 15]
            v = u * twice
            w[j] = (
                w[j] + w[(i + 9) & 15] + (y >> 1 ^ y >> 8 ^ x >> 7) + (v >> 19 ^ v >> 61 ^ u >> 6)
            ) & mask
        x = e * twice
        h += (x >> 14 ^ x >> 18 ^ x >> 41) + (g ^ e & (f ^ g)) + w[j]
        h += from_bytes(constants[i * 8 : i * 8 + 8], "big")
        x = a * twice
        a_b = a ^ b
        next_a = (h + (x >> 28 ^ x >> 34 ^ x >> 39) + (b ^ a_b & b_c)) & mask
        b_c = a_b
        h, g, f, e, d, c, b, a = g, f, e, (d + h) & mask, c, b, a, next_a
    return [(x + y) & mask for x, y in zip(state, (a, b, c, d, e, f, g, h))]


def sha512(data):
    """SHA-512 of `data` (bytes), 64 bytes (FIPS 180-4)."""
    size = len(data)
    # only the last piece is copied: it takes 0x80, zeros, and the length in bits
    whole = size & -128
    tail = data[whole:] + b"\x80" + bytes((111 - size) % 128) + (size * 8).to_bytes(16, "big")
    state = [int.from_bytes(_START[i : i + 8], "big") for i in range(0, 64, 8)]
    for start in range(0, whole, 128):
        state = _compress(state, data[start : start + 128])
    for start in range(0, len(tail), 128):
        state = _compress(state, tail[start : start + 128])
    return b"".join([word.to_bytes(8, "big") for word in state])


def hmac_sha256(key, data):
    """HMAC-SHA-256 of `data` under `key` (bytes of any length), 32 bytes (RFC 2104)."""
    if len(key) > 64:
        key = sha256(key)
    # a list of 64 integers would be the largest piece of heap in a handshake
    pad = bytearray(64)
    pad[: len(key)] = key
    for i in range(64):
        pad[i] ^= 0x36
    inner = sha256(pad + data)
    for i in range(64):
        pad[i] ^= 0x36 ^ 0x5C
    return sha256(pad + inner)


# a host keeps what it has computed of a link key
link_mac = hmac_sha256


def hkdf_extract(salt, ikm):
    """HKDF's pseudorandom key, 32 bytes (RFC 5869, section 2.2)."""
    return hmac_sha256(salt, ikm)


def hkdf_expand(prk, info, length):
    """`length` bytes of HKDF's output, at most 8160 (RFC 5869, section 2.3)."""
    if length > 8160:
        raise UsageError("HKDF gives at most 8160 bytes")
    output = block = b""
    while len(output) < length:
        block = hmac_sha256(prk, block + info + bytes((len(output) // 32 + 1,)))
        output += block
    return output[:length]
