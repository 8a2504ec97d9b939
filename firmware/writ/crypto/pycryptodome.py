"""The primitives over pycryptodome and the standard library, for CPython; never on a device.

The interface and the strictness are those of the pure modules beside it, whose docstrings apply
here too. Where pycryptodome is laxer (cofactored EdDSA, aliases of a point), it is not used.
"""

import hashlib
import hmac
from functools import lru_cache

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.PublicKey.ECC import EccPoint
from Crypto.Signature import DSS, eddsa

from ..errors import BadPoint, DecryptionFailed, UsageError

_ED_ORDER = 2**252 + 27742317777372353535851937790883648493
_ED_BASE = EccPoint(
    0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A,
    0x6666666666666666666666666666666666666666666666666666666666666658,
    "Ed25519",
)
_ED_NEUTRAL = EccPoint(0, 1, "Ed25519")
# the canonical encoding of the neutral point: never R
_ED_NEUTRAL_BYTES = b"\x01" + bytes(31)

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def sha512(data):
    """SHA-512 of `data`, 64 bytes (FIPS 180-4)."""
    return hashlib.sha512(data).digest()


# each byte with those of ipad and of opad (RFC 2104, section 2)
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def hmac_sha256(key, data):
    """HMAC-SHA-256, 32 bytes (RFC 2104)."""
    return hmac.digest(key, data, "sha256")


# for link keys alone: those of sessions must not outlive them
@lru_cache(4)
def _link_key(key):
    key = key.ljust(64, b"\0")
    return hashlib.sha256(key.translate(_INNER)), hashlib.sha256(key.translate(_OUTER))


def link_mac(key, data):
    """As `hmac_sha256`, for link keys (16 bytes): half of the time is spent once for each key."""
    inner, outer = _link_key(key)
    inner = inner.copy()
    inner.update(data)
    outer = outer.copy()
    outer.update(inner.digest())
    return outer.digest()


def hkdf_extract(salt, ikm):
    """HKDF's pseudorandom key, 32 bytes (RFC 5869, section 2.2)."""
    return hmac_sha256(salt or bytes(32), ikm)


def hkdf_expand(prk, info, length):
    """`length` bytes of HKDF's output, at most 8160 (RFC 5869, section 2.3)."""
    # Written out: pycryptodome's HKDF has extraction built in.
    if length > 8160:
        raise UsageError("HKDF gives at most 8160 bytes")
    output = block = b""
    while len(output) < length:
        block = hmac_sha256(prk, block + info + bytes((len(output) // 32 + 1,)))
        output += block
    return output[:length]


def _ed_encode(point):
    x, y = point.xy
    return (int(y) | (int(x) & 1) << 255).to_bytes(32, "little")


@lru_cache(64)
def ed_point(public):
    # None for what is no canonical encoding of a point (pycryptodome checks it), for the neutral
    # point, and outside the prime-order subgroup; a scope has one group key, so this is done once
    try:
        a = eddsa.import_public_key(public).pointQ
    except ValueError:
        return None
    return a if a != _ED_NEUTRAL and a * _ED_ORDER == _ED_NEUTRAL else None


def ed25519_verify(public, message, signature):
    """Whether `signature` (64 bytes) by `public` (32 bytes) fits `message`; never raises."""
    if len(public) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= _ED_ORDER or signature[:32] == _ED_NEUTRAL_BYTES:
        return False
    a = ed_point(bytes(public))
    if a is None:
        return False
    k = int.from_bytes(sha512(signature[:32] + public + message), "little") % _ED_ORDER
    # Cofactorless, like the pure module: eddsa.verify would multiply by the cofactor.
    return _ed_encode(_ED_BASE * s + -a * k) == signature[:32]


def private_number(private):
    d = int.from_bytes(private, "big")
    if len(private) != 32 or not 0 < d < _N:
        raise UsageError("not a P-256 private key")
    return d


def _point(x, y_is_odd):
    if len(x) != 32 or int.from_bytes(x, "big") >= _P:
        raise BadPoint()
    try:
        sec1 = (b"\x03" if y_is_odd else b"\x02") + x
        return ECC.import_key(sec1, curve_name="P-256").pointQ
    except ValueError:
        raise BadPoint() from None


def p256_public(private):
    """(x of 32 bytes, whether y is odd) of the public key."""
    x, y = ECC.construct(curve="P-256", d=private_number(private)).pointQ.xy
    return int(x).to_bytes(32, "big"), int(y) & 1 == 1


def p256_y(x, y_is_odd):
    """y (32 bytes) of the point with this `x`; raises `BadPoint`."""
    return int(_point(x, y_is_odd).y).to_bytes(32, "big")


def p256_ecdh(private, x):
    """The shared x coordinate, 32 bytes; raises `BadPoint`."""
    return int((_point(x, False) * private_number(private)).x).to_bytes(32, "big")


def es256_sign(private, message):
    """ECDSA with P-256 and SHA-256, deterministic (RFC 6979): r and the lower s, 64 bytes."""
    key = ECC.construct(curve="P-256", d=private_number(private))
    signature = DSS.new(key, "deterministic-rfc6979").sign(SHA256.new(message))
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + min(s, _N - s).to_bytes(32, "big")


def es256_verify(x, y_is_odd, message, signature):
    """Whether `signature` (64 bytes) fits `message`; never raises."""
    if len(signature) != 64:
        return False
    try:
        point = _point(x, y_is_odd)
        key = ECC.construct(curve="P-256", point_x=int(point.x), point_y=int(point.y))
        DSS.new(key, "fips-186-3").verify(SHA256.new(message), signature)
    except (BadPoint, ValueError):
        return False
    return True


# AES-CCM as in aead.py: the library's own spends 57 us on a message in Python, this 24.


def _check(key, nonce):
    if len(key) != 16 or len(nonce) != 13:
        raise UsageError("AES-CCM takes 16 bytes of key, 13 of nonce")


def _mac(key, nonce, aad, plaintext):
    # RFC 3610, section 2.2
    blocks = bytes((0x59 if aad else 0x19,)) + nonce + len(plaintext).to_bytes(2, "big")
    if aad:
        size = len(aad)
        blocks += (
            size.to_bytes(2, "big") if size < 0xFF00 else b"\xff\xfe" + size.to_bytes(4, "big")
        )
        blocks += aad
        blocks += bytes(-len(blocks) % 16)
    blocks += plaintext
    blocks += bytes(-len(blocks) % 16)
    return AES.new(key, AES.MODE_CBC, iv=bytes(16)).encrypt(blocks)[-16:]


def _stream(key, nonce, data):
    # RFC 3610, section 2.3: the first block hides the tag
    return AES.new(key, AES.MODE_CTR, nonce=b"\x01" + nonce, initial_value=0).encrypt(data)


def aes_ccm_encrypt(key, nonce, aad, plaintext):
    """Ciphertext and 8 bytes of tag (AES-CCM-16-64-128)."""
    _check(key, nonce)
    if len(plaintext) > 65535:
        raise UsageError("AES-CCM-16 takes at most 65535 bytes")
    sealed = _stream(key, nonce, _mac(key, nonce, aad, plaintext) + plaintext)
    return sealed[16:] + sealed[:8]


def aes_ccm_decrypt(key, nonce, aad, ciphertext):
    """The plaintext of what `aes_ccm_encrypt` gave; raises `DecryptionFailed`."""
    _check(key, nonce)
    if not 8 <= len(ciphertext) <= 65543:
        raise DecryptionFailed()
    opened = _stream(key, nonce, ciphertext[-8:] + bytes(8) + ciphertext[:-8])
    plaintext = opened[16:]
    if not hmac.compare_digest(opened[:8], _mac(key, nonce, aad, plaintext)[:8]):
        raise DecryptionFailed()
    return plaintext
