"""Encrypted files: a governor's secrets on disk, protected by a passphrase or a key file.

    file    = [ "writ-keyfile", kind: tstr, kdf, nonce: bstr .size 12, ciphertext: bstr, check ]
    kdf     = [ 0, log2 N, r, p, salt ] (scrypt, RFC 7914)  /  [ 1, salt ] (key file, HKDF)
    check   = first 8 bytes of SHA-256 over the rest, to tell damage from a wrong passphrase;
              it authenticates nothing

The cipher is ChaCha20-Poly1305 (RFC 8439). Its additional data is all that precedes the ciphertext,
so kind and cost parameters are authenticated. Salt and nonce are fresh for each write.
"""

import hashlib
import hmac
import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from Crypto.Cipher import ChaCha20_Poly1305
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF, scrypt

from .. import codec, files
from ..errors import DamagedFile, Malformed, WeakPassphrase, WrongPassphrase

KEYFILE_BYTES_MAX = 262144
# 32 MiB and about a tenth of a second on a PC, half a second on a Raspberry Pi.
SCRYPT_LOG_N = 15
# Bounds for a file from elsewhere: opening it takes 256 MiB at most.
SCRYPT_LOG_N_RANGE = (10, 18)
SCRYPT_R_MAX = 8
SCRYPT_P_MAX = 4
# NIST SP 800-63B-3, section 5.1.1.2, for a secret that a person chooses.
PASSPHRASE_CHARACTERS_MIN = 8
SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
_TAG = "writ-keyfile"
_KEY_FILE = "Give the key file with --key-file FILE or WRIT_KEY_FILE."
_PASSPHRASE = "Use --passphrase-file, or leave out --key-file and WRIT_KEY_FILE to be prompted."


class Unlock(Protocol):
    """A passphrase or key file: derives the 32-byte key from the parameters in a file's header."""

    def fresh(self) -> list[object]:
        """New header parameters, with a new salt."""

    def key(self, parameters: list[object]) -> bytes:
        """Derive the key. Raises `WrongPassphrase` for a file of the other sort, or `Malformed`."""


@dataclass(frozen=True)
class Passphrase:
    """Unlocks with a passphrase through scrypt. Raises `WeakPassphrase` if it is empty."""

    text: str = field(repr=False)
    log_n: int = SCRYPT_LOG_N

    def __post_init__(self) -> None:
        if not self.text:
            raise WeakPassphrase("an empty passphrase protects nothing")

    def check_new(self) -> None:
        """Raise `WeakPassphrase` for a new passphrase that is too short; old ones still unlock."""
        count = len(unicodedata.normalize("NFC", self.text).strip())
        if count < PASSPHRASE_CHARACTERS_MIN:
            raise WeakPassphrase(
                f"the passphrase has {count} characters; a new one has at least"
                f" {PASSPHRASE_CHARACTERS_MIN} (NIST SP 800-63B)",
                "Take a longer one: several random words are good. A script can use a key file:"
                " --key-file FILE makes one.",
            )

    def fresh(self) -> list[object]:
        return [0, self.log_n, 8, 1, os.urandom(SALT_BYTES)]

    def key(self, parameters: list[object]) -> bytes:
        if parameters[0] != 0:
            raise WrongPassphrase("locked with a key file, not a passphrase", _KEY_FILE)
        _, log_n, r, p, salt = codec.a_list(parameters, 5)
        # NFC, because keyboards differ in how they compose an accent.
        text = unicodedata.normalize("NFC", self.text).encode()
        derived = scrypt(
            text,
            codec.some_bytes(salt, SALT_BYTES),
            32,
            N=1 << codec.an_int(log_n, *SCRYPT_LOG_N_RANGE),
            r=codec.an_int(r, 1, SCRYPT_R_MAX),
            p=codec.an_int(p, 1, SCRYPT_P_MAX),
        )
        assert isinstance(derived, bytes)
        return derived


@dataclass(frozen=True)
class KeyFile:
    """Unlocks with the content of a key file: 32 to 4,096 bytes, random ones."""

    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 32 <= len(self.content) <= 4096:
            raise WeakPassphrase("a key file holds 32 to 4,096 bytes")

    @classmethod
    def create(cls, path: Path) -> "KeyFile":
        """A new key file of 32 random bytes at `path`, mode 0600. Never overwrites one.

        Raises as `files.check_parent`, or `OSError`.
        """
        files.check_parent(path)
        content = os.urandom(32)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        files.sync_directory(path.parent)
        return cls(content)

    @classmethod
    def load(cls, path: Path) -> "KeyFile":
        """The key file at `path`. Raises as `files.open_secret` does."""
        with files.open_secret(path) as file:
            return cls(file.read(4097))

    def fresh(self) -> list[object]:
        return [1, os.urandom(SALT_BYTES)]

    def key(self, parameters: list[object]) -> bytes:
        if parameters[0] != 1:
            raise WrongPassphrase("locked with a passphrase, not a key file", _PASSPHRASE)
        salt = codec.some_bytes(codec.a_list(parameters, 2)[1], SALT_BYTES)
        derived = HKDF(self.content, 32, salt, SHA256, context=_TAG.encode())
        assert isinstance(derived, bytes)
        return derived


def _check(parts: list[object]) -> bytes:
    return hashlib.sha256(codec.dump(parts)).digest()[:8]


def lock(kind: str, plaintext: bytes, key: Unlock) -> bytes:
    """Encrypt `plaintext` to the bytes of a file of this `kind` (a short name)."""
    parameters, nonce = key.fresh(), os.urandom(NONCE_BYTES)
    header: list[object] = [_TAG, kind, parameters, nonce]
    cipher = ChaCha20_Poly1305.new(key=key.key(parameters), nonce=nonce)
    cipher.update(codec.dump(header))
    ciphertext, tag = cipher.encrypt_and_digest(plaintext)
    parts = [*header, ciphertext + tag]
    return codec.dump([*parts, _check(parts)])


def unlock(kind: str, data: bytes, key: Unlock) -> bytes:
    """Decrypt the bytes that `lock` returned.

    Raises `DamagedFile` for a file that is damaged or of another kind, `WrongPassphrase` for an
    intact file that does not decrypt.
    """
    try:
        items = codec.tagged(codec.load(data, KEYFILE_BYTES_MAX), _TAG, 6)
        parts, check = [_TAG, *items[:4]], items[4]
        if not hmac.compare_digest(codec.some_bytes(check, 8), _check(parts)):
            raise DamagedFile("the file's content has changed since it was written")
        if parts[1] != kind:
            raise DamagedFile(f"a {codec.a_text(parts[1], 32)} file, not a {kind} file")
        parameters = codec.a_list(parts[2])
        if not parameters:
            raise Malformed("no parameters")
        nonce, body = codec.some_bytes(parts[3], NONCE_BYTES), codec.some_bytes(parts[4])
        derived = key.key(parameters)
    except Malformed as error:
        raise DamagedFile(f"not an encrypted file of Writ: {error}") from None
    cipher = ChaCha20_Poly1305.new(key=derived, nonce=nonce)
    cipher.update(codec.dump(parts[:4]))
    try:
        return cipher.decrypt_and_verify(body[:-TAG_BYTES], body[-TAG_BYTES:])
    except ValueError:
        raise WrongPassphrase("the passphrase or key file does not decrypt the file") from None


def write(path: Path, kind: str, plaintext: bytes, key: Unlock) -> None:
    """Encrypt to `path`, atomically, mode 0600."""
    files.write_atomically(path, lock(kind, plaintext, key))


def read(path: Path, kind: str, key: Unlock) -> bytes:
    """Decrypt `path`. Raises as `unlock` and `files.open_secret` do."""
    try:
        data = files.read_bounded(path, KEYFILE_BYTES_MAX, is_secret=True)
    except Malformed as error:
        raise DamagedFile(str(error)) from None
    try:
        return unlock(kind, data, key)
    except (DamagedFile, WrongPassphrase) as error:
        raise type(error)(f"{path}: {error}", error.advice) from None
