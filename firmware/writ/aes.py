"""AES-128 encryption, ECB and CBC, in plain Python (FIPS 197, SP 800-38A).

For CPython, and for a firmware that was built without `cryptolib`: it takes the sources then
(firmware/manifest.py). Table lookups by key and data: not constant-time. Imports nothing, since
`compat` imports it.
"""


def _double(byte):
    return byte << 1 ^ (0x11B if byte & 0x80 else 0)


def _make_sbox():
    # Walk the field by its generator 3 and, beside it, by the inverse of 3 (FIPS 197, 5.1.1).
    sbox = bytearray(256)
    p = q = 1
    while True:
        p ^= _double(p)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        wide = q * 0x101
        sbox[p] = (q ^ wide >> 7 ^ wide >> 6 ^ wide >> 5 ^ wide >> 4) & 0xFF ^ 0x63
        if p == 1:
            break
    sbox[0] = 0x63
    return bytes(sbox)


_SBOX = _make_sbox()
_DOUBLE = bytes(_double(byte) for byte in range(256))


def _xor(a, b):
    # 16 bytes or 4 at once
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def _expand(key):
    # 11 round keys of 16 bytes (FIPS 197, 5.2)
    words = [key[i : i + 4] for i in range(0, 16, 4)]
    constant = 1
    for i in range(4, 44):
        word = words[i - 1]
        if i % 4 == 0:
            word = bytes(_SBOX[word[j]] for j in (1, 2, 3, 0))
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = _double(constant)
        words.append(_xor(word, words[i - 4]))
    return b"".join(words)


def _encrypt_block(schedule, block):
    state = _xor(block, schedule[:16])
    for first in range(16, 176, 16):
        # SubBytes and ShiftRows in one step
        state = [_SBOX[state[(i * 5) % 16]] for i in range(16)]
        if first < 160:
            mixed = []
            for i in range(0, 16, 4):
                column = state[i : i + 4]
                total = column[0] ^ column[1] ^ column[2] ^ column[3]
                for j in range(4):
                    mixed.append(column[j] ^ total ^ _DOUBLE[column[j] ^ column[(j + 1) % 4]])
            state = mixed
        state = _xor(bytes(state), schedule[first : first + 16])
    return state


class _Cipher:
    def __init__(self, key, iv):
        if len(key) != 16 or (iv is not None and len(iv) != 16):
            raise ValueError("AES-128 takes 16 bytes of key and of IV")
        self._schedule = _expand(bytes(key))
        self._chain = iv

    def encrypt(self, blocks):
        """Encrypt `blocks`, a multiple of 16 bytes; CBC chains over calls."""
        if len(blocks) % 16:
            raise ValueError("not whole blocks")
        output = []
        for i in range(0, len(blocks), 16):
            block = bytes(blocks[i : i + 16])
            if self._chain is not None:
                block = _xor(block, self._chain)
            block = _encrypt_block(self._schedule, block)
            if self._chain is not None:
                self._chain = block
            output.append(block)
        return b"".join(output)


def aes_ecb(key):
    """An object whose `encrypt(blocks)` is AES-128-ECB; `key` is 16 bytes."""
    return _Cipher(key, None)


def aes_cbc(key, iv):
    """An object whose `encrypt(blocks)` is AES-128-CBC; `key` and `iv` are 16 bytes."""
    return _Cipher(key, iv)
