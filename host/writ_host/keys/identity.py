"""A governor's identity: three keys, and the signed envelopes of its ceremony messages.

An Ed25519 key signs messages, an X25519 key receives sealed ones (hpke.py), and a P-256 key
authenticates sessions between governors (EDHOC). The public record goes into the roster; the
private one stays in an encrypted file. Each message of a ceremony travels in an envelope that names
its sender, its ceremony and its step:

    envelope = [ "writ-envelope", ceremony: bstr .size 32, sender: tstr, step: tstr, body: bstr,
                 signature: bstr .size 64 ]      ; Ed25519 over the same list without signature
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nacl import bindings

from writ import crypto
from writ.errors import BadPoint, UsageError
from writ.limits import NAME_BYTES_MAX

from .. import codec
from ..errors import BadEnvelope, Malformed, UnknownGovernor, WrongCeremony
from . import hpke
from .group import Random, point_from_bytes

CEREMONY_BYTES = 32
NODE_KEY_BYTES = 33
STEP_BYTES_MAX = 24
_TAG = "writ-envelope"
# FIPS 186-5: the order of P-256's group
P256_ORDER = 2**256 - 2**224 + 2**192 - 0x4319055258E8617B0C46353D039CDAAF
# Lower case only: names become file names, and some file systems ignore case.
NAME_RULE = "it begins with a letter and has 1 to 24 of a-z, 0-9 and inner hyphens"
_NAME = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)


def check_name(name: object) -> str:
    """Return a governor's or scope's name, as NAME_RULE says. Raises `Malformed`."""
    text = codec.a_text(name, NAME_BYTES_MAX)
    if not _NAME.fullmatch(text):
        raise Malformed(f"{text[:40]!r} is not a valid name: {NAME_RULE}")
    return text


def check_node_key(item: object) -> bytes:
    """Return a compressed P-256 public key, 33 bytes (SEC 1, section 2.3.3). Or `Malformed`."""
    key = codec.some_bytes(item, NODE_KEY_BYTES)
    try:
        crypto.p256_y(key[1:], key[0] == 3)
    except BadPoint:
        raise Malformed("not a P-256 public key") from None
    if key[0] not in (2, 3):
        raise Malformed("a P-256 key begins with 2 or 3")
    return key


def node_key(private: bytes) -> bytes:
    """The compressed public key (33 B) of a P-256 private key (32 B)."""
    x, y_is_odd = crypto.p256_public(private)
    return bytes((3 if y_is_odd else 2,)) + x


def _node_private(random: Random) -> bytes:
    # one random number in 2**32 is not a private key
    while True:
        private = random(32)
        if _is_node_private(private):
            return private


def _is_node_private(private: bytes) -> bool:
    return 0 < int.from_bytes(private, "big") < P256_ORDER


@dataclass(frozen=True)
class PublicIdentity:
    """A governor's public record: its name, two keys of 32 bytes, and its node's key of 33."""

    name: str
    verify_key: bytes
    seal_key: bytes
    node_key: bytes

    def to_item(self) -> list[object]:
        """As a CBOR item: [name, Ed25519 key, X25519 key, P-256 key]."""
        return [self.name, self.verify_key, self.seal_key, self.node_key]

    @classmethod
    def from_item(cls, item: object) -> "PublicIdentity":
        """Raises `Malformed`, also for invalid keys."""
        name, verify_key, seal_key, node_key = codec.a_list(item, 4)
        point_from_bytes(verify_key)
        return cls(
            check_name(name),
            codec.some_bytes(verify_key, 32),
            hpke.check_public(codec.some_bytes(seal_key, hpke.PUBLIC_BYTES)),
            check_node_key(node_key),
        )

    def to_bytes(self) -> bytes:
        """The file that a governor gives to the author of the roster."""
        return codec.dump(["writ-governor", *self.to_item()])

    @classmethod
    def from_bytes(cls, data: bytes) -> "PublicIdentity":
        """Raises `Malformed`."""
        return cls.from_item(codec.tagged(codec.load(data, 256), "writ-governor", 5))

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """True when this governor signed `message`, by the devices' rule; never raises."""
        return bool(crypto.ed25519_verify(self.verify_key, message, signature))


@dataclass(frozen=True)
class Identity:
    """A governor's private keys: two seeds and a P-256 key of 32 bytes, never shown."""

    name: str
    sign_seed: bytes = field(repr=False)
    seal_seed: bytes = field(repr=False)
    node_private: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str, random: Random = os.urandom) -> "Identity":
        """A new identity. Raises `Malformed` for a name that cannot be one."""
        return cls(check_name(name), random(32), random(32), _node_private(random))

    @cached_property
    def _sign_keys(self) -> tuple[bytes, bytes]:
        # (public, and private as libsodium wants it: seed and public key)
        return bindings.crypto_sign_seed_keypair(self.sign_seed)

    @cached_property
    def public(self) -> PublicIdentity:
        """The public record."""
        return PublicIdentity(
            self.name,
            self._sign_keys[0],
            hpke.public_key(self.seal_seed),
            node_key(self.node_private),
        )

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes; deterministic (RFC 8032)."""
        return bindings.crypto_sign(message, self._sign_keys[1])[:64]

    def unseal(self, info: bytes, data: bytes) -> bytes:
        """Decrypt data that was sealed to this governor. Raises `HpkeOpenError`."""
        return hpke.unseal(self.seal_seed, info, data)

    def to_bytes(self) -> bytes:
        """The private record. The caller must encrypt it."""
        return codec.dump(
            ["writ-identity", self.name, self.sign_seed, self.seal_seed, self.node_private]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Identity":
        """Raises `Malformed`."""
        name, *seeds = codec.tagged(codec.load(data, 256), "writ-identity", 5)
        sign_seed, seal_seed, node_private = [codec.some_bytes(seed, 32) for seed in seeds]
        if not _is_node_private(node_private):
            raise Malformed("not a P-256 private key")
        return cls(check_name(name), sign_seed, seal_seed, node_private)


def envelope(identity: Identity, ceremony: bytes, step: str, body: bytes) -> bytes:
    """`body` signed by `identity` for one `step` of one `ceremony` (32 B)."""
    if len(ceremony) != CEREMONY_BYTES or not 1 <= len(step.encode()) <= STEP_BYTES_MAX:
        raise UsageError("a ceremony id has 32 bytes, a step 1 to 24")
    parts: list[object] = [_TAG, ceremony, identity.name, step, body]
    return codec.dump([*parts, identity.sign(codec.dump(parts))])


def open_envelope(
    data: bytes,
    governors: Mapping[str, PublicIdentity],
    ceremony: bytes,
    sender: str | None,
    step: str,
) -> tuple[str, bytes]:
    """Return (sender, body) of an envelope for this step of this ceremony.

    sender: the expected one, None for any of `governors`. Raises `Malformed`, `UnknownGovernor`,
    `WrongCeremony` (also for an unexpected step or sender) or `BadEnvelope`.
    """
    items = codec.tagged(codec.load(data), _TAG, 6)
    parts, signature = [_TAG, *items[:4]], items[4]
    body = codec.some_bytes(parts[4])
    name = check_name(parts[2])
    if name not in governors:
        raise UnknownGovernor(f"{name} is not on the roster")
    if (parts[1], name, parts[3]) != (ceremony, sender or name, step):
        raise WrongCeremony(f"a message of another ceremony, step or sender than expected ({step})")
    if not governors[name].verifies(codec.dump(parts), codec.some_bytes(signature, 64)):
        raise BadEnvelope(f"{name} did not sign this {step} message")
    return name, body
