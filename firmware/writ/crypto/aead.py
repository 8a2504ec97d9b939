"""AES-CCM-16-64-128: 16 bytes of key, 13 of nonce, 8 of tag (RFC 3610, RFC 9053 section 4.2).

CBC with a zero IV is the MAC, ECB over counters is the key stream: what `cryptolib` offers.
"""

from ..compat import aes_cbc, aes_ecb, const
from ..errors import DecryptionFailed, UsageError

_TAG = const(8)
# The length field has two bytes.
_SIZE_MAX = const(65535)


def _check(key, nonce):
    if len(key) != 16 or len(nonce) != 13:
        raise UsageError("AES-CCM takes 16 bytes of key, 13 of nonce")


def _xor(a, b):
    # the first len(a) bytes, as one integer: no loop over bytes
    mixed = int.from_bytes(a, "big") ^ int.from_bytes(b[: len(a)], "big")
    return mixed.to_bytes(len(a), "big")


def _stream(key, nonce, size):
    # RFC 3610, section 2.3: S_0, which hides the tag, and `size` bytes or more after it
    head = b"\x01" + nonce
    count = (size + 15) // 16 + 1
    return aes_ecb(key).encrypt(b"".join([head + i.to_bytes(2, "big") for i in range(count)]))


def _tag(key, nonce, aad, plaintext):
    # RFC 3610, section 2.2: the flags say "8 bytes of tag, 2 of length" and whether aad follows
    blocks = bytes((0x59 if aad else 0x19,)) + nonce + len(plaintext).to_bytes(2, "big")
    if aad:
        size = len(aad)
        if size < 0xFF00:
            blocks += size.to_bytes(2, "big") + aad
        else:
            blocks += b"\xff\xfe" + size.to_bytes(4, "big") + aad
        blocks += bytes(-len(blocks) % 16)
    blocks += plaintext
    blocks += bytes(-len(blocks) % 16)
    return aes_cbc(key, bytes(16)).encrypt(blocks)[-16:][:_TAG]


def aes_ccm_encrypt(key, nonce, aad, plaintext):
    """Ciphertext and 8 bytes of tag; `key` is 16 bytes, `nonce` 13, `plaintext` up to 65535.

    Raises `UsageError` for other sizes. A nonce must never be used twice with one key.
    """
    _check(key, nonce)
    if len(plaintext) > _SIZE_MAX:
        raise UsageError("AES-CCM-16 takes at most 65535 bytes")
    stream = _stream(key, nonce, len(plaintext))
    tag = _xor(_tag(key, nonce, aad, plaintext), stream)
    return _xor(plaintext, stream[16:]) + tag


def aes_ccm_decrypt(key, nonce, aad, ciphertext):
    """The plaintext of what `aes_ccm_encrypt` gave.

    Raises `DecryptionFailed`, or `UsageError` for a wrong size of `key` or `nonce`.
    """
    _check(key, nonce)
    size = len(ciphertext) - _TAG
    if not 0 <= size <= _SIZE_MAX:
        raise DecryptionFailed()
    stream = _stream(key, nonce, size)
    plaintext = _xor(ciphertext[:size], stream[16:])
    if _xor(_tag(key, nonce, aad, plaintext), stream) != ciphertext[size:]:
        raise DecryptionFailed()
    return plaintext
