"""HMAC and HKDF over SHA-256, which devices have in their firmware."""

from ..compat import sha256
from ..errors import UsageError


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
