"""The primitives over OpenSSL (the package `cryptography`), for hosts; never put on a device.

pycryptodome provides the others. Both accept the same inputs: where OpenSSL is laxer (the order
of points, aliases of a point), pycryptodome checks first.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256

from ..errors import BadPoint, DecryptionFailed, UsageError
from .pycryptodome import ed_point, private_number

_CURVE = ec.SECP256R1()
_ECDSA = ec.ECDSA(SHA256())
# the canonical encoding of the neutral point: never R
_ED_NEUTRAL_BYTES = b"\x01" + bytes(31)
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1


@lru_cache(64)
def _ed_public(public):
    # OpenSSL takes what is no canonical encoding, and points outside the prime-order subgroup
    return None if ed_point(public) is None else Ed25519PublicKey.from_public_bytes(public)


def ed25519_verify(public, message, signature):
    """Whether `signature` (64 bytes) by `public` (32 bytes) fits `message`; never raises."""
    if len(public) != 32 or len(signature) != 64 or signature[:32] == _ED_NEUTRAL_BYTES:
        return False
    key = _ed_public(bytes(public))
    if key is None:
        return False
    try:
        # cofactorless, and s below the order, as in the pure module
        key.verify(bytes(signature), bytes(message))
    except InvalidSignature:
        return False
    return True


def _key(private):
    return ec.derive_private_key(private_number(private), _CURVE)


def _point(x, y_is_odd):
    if len(x) != 32 or int.from_bytes(x, "big") >= _P:
        raise BadPoint()
    try:
        sec1 = (b"\x03" if y_is_odd else b"\x02") + x
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, sec1)
    except ValueError:
        raise BadPoint() from None


def p256_public(private):
    """(x of 32 bytes, whether y is odd) of the public key."""
    numbers = _key(private).public_key().public_numbers()
    return numbers.x.to_bytes(32, "big"), numbers.y & 1 == 1


def p256_y(x, y_is_odd):
    """y (32 bytes) of the point with this `x`; raises `BadPoint`."""
    return _point(x, y_is_odd).public_numbers().y.to_bytes(32, "big")


def p256_ecdh(private, x):
    """The shared x coordinate, 32 bytes; raises `BadPoint`."""
    return _key(private).exchange(ec.ECDH(), _point(x, False))


def es256_verify(x, y_is_odd, message, signature):
    """Whether `signature` (64 bytes) fits `message`; never raises."""
    if len(signature) != 64:
        return False
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        _point(x, y_is_odd).verify(encode_dss_signature(r, s), bytes(message), _ECDSA)
    except (BadPoint, InvalidSignature):
        return False
    return True


@lru_cache(64)
def _ccm(key):
    return AESCCM(key, tag_length=8)


def _check(key, nonce):
    if len(key) != 16 or len(nonce) != 13:
        raise UsageError("AES-CCM takes 16 bytes of key, 13 of nonce")


def aes_ccm_encrypt(key, nonce, aad, plaintext):
    """Ciphertext and 8 bytes of tag (AES-CCM-16-64-128)."""
    _check(key, nonce)
    if len(plaintext) > 65535:
        raise UsageError("AES-CCM-16 takes at most 65535 bytes")
    return _ccm(bytes(key)).encrypt(nonce, plaintext, aad)


def aes_ccm_decrypt(key, nonce, aad, ciphertext):
    """The plaintext of what `aes_ccm_encrypt` gave; raises `DecryptionFailed`."""
    _check(key, nonce)
    if not 8 <= len(ciphertext) <= 65543:
        raise DecryptionFailed()
    try:
        return _ccm(bytes(key)).decrypt(nonce, ciphertext, aad)
    except InvalidTag:
        raise DecryptionFailed() from None
