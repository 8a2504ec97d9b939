"""Encryption to one governor: HPKE (RFC 9180), base mode.

DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. Base mode does not authenticate the
sender, so a sealed message always travels in a signed envelope (identity.py).
"""

from Crypto.Protocol import HPKE
from Crypto.Protocol.DH import import_x25519_public_key
from Crypto.PublicKey import ECC

from ..errors import HpkeOpenError, Malformed

PUBLIC_BYTES = 32
# The encapsulated key and the tag.
OVERHEAD_BYTES = 48


def public_key(seed: bytes) -> bytes:
    """The X25519 public key (32 B) of a private `seed` (32 B)."""
    raw: bytes = ECC.construct(curve="Curve25519", seed=seed).public_key().export_key(format="raw")
    return raw


def check_public(public: bytes) -> bytes:
    """Return the key if it is a valid X25519 key. Raises `Malformed`, also for small order."""
    try:
        import_x25519_public_key(public)
    except ValueError:
        raise Malformed("not an X25519 public key") from None
    return public


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Encrypt `plaintext` to the owner of `public` (32 B); `info` must be the same at `unseal`.

    The result is 48 bytes longer and differs at each call. Raises `Malformed` for an invalid key.
    """
    check_public(public)
    cipher = HPKE.new(
        receiver_key=import_x25519_public_key(public),
        aead_id=HPKE.AEAD.CHACHA20_POLY1305,
        info=info,
    )
    return cipher.enc + cipher.seal(plaintext)


def unseal(seed: bytes, info: bytes, sealed: bytes) -> bytes:
    """Decrypt a sealed message. Raises `HpkeOpenError` for another key, `info` or data."""
    try:
        cipher = HPKE.new(
            receiver_key=ECC.construct(curve="Curve25519", seed=seed),
            aead_id=HPKE.AEAD.CHACHA20_POLY1305,
            enc=sealed[:PUBLIC_BYTES],
            info=info,
        )
        return cipher.unseal(sealed[PUBLIC_BYTES:])
    except ValueError:
        raise HpkeOpenError("a sealed message cannot be decrypted") from None
