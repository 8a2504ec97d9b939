"""Who a governor is: an Ed25519 key that signs its messages and an X25519 key that seals to it.

The public record goes into the roster; the private one stays in an encrypted file. Every message
of a ceremony travels in an envelope that says who wrote it, for which ceremony and which step:

    envelope = [ "writ-envelope", ceremony: bstr .size 32, sender: tstr, step: tstr, body: bstr,
                 signature: bstr .size 64 ]      ; Ed25519 over the same list without signature
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from writ.errors import UsageError
from writ.limits import NAME_BYTES_MAX

from . import sealed, wire
from .errors import BadEnvelope, Malformed, UnknownGovernor, WrongCeremony
from .group import Random, point_from_bytes

CEREMONY_BYTES = 32
STEP_BYTES_MAX = 24
_TAG = "writ-envelope"
# Lower case only, as names become file names, and some systems do not tell the cases apart.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)


def check_name(name: object) -> str:
    """A name for a governor or scope: a-z, 0-9 and inner hyphens, 1 to 24. Else `Malformed`."""
    text = wire.a_text(name, NAME_BYTES_MAX)
    if not _NAME.fullmatch(text):
        raise Malformed("names have lower-case letters, digits and inner hyphens only")
    return text


@dataclass(frozen=True)
class Governor:
    """A governor's public record: its name and two keys of 32 bytes."""

    name: str
    verify_key: bytes
    seal_key: bytes

    def to_item(self) -> list[object]:
        """As a CBOR item: [name, Ed25519 key, X25519 key]."""
        return [self.name, self.verify_key, self.seal_key]

    @classmethod
    def from_item(cls, item: object) -> "Governor":
        """Raises `Malformed`, also for keys that no honest governor has."""
        name, verify_key, seal_key = wire.a_list(item, 3)
        point_from_bytes(verify_key)
        checked = sealed.check_public(wire.some_bytes(seal_key, sealed.PUBLIC_BYTES))
        return cls(check_name(name), wire.some_bytes(verify_key, 32), checked)

    def to_bytes(self) -> bytes:
        """The file that a governor gives to whoever writes the roster."""
        return wire.dump(["writ-governor", *self.to_item()])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Governor":
        """Raises `Malformed`."""
        return cls.from_item(wire.tagged(wire.load(data, 256), "writ-governor", 4))

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """True when this governor signed `message`."""
        try:
            eddsa.new(eddsa.import_public_key(self.verify_key), "rfc8032").verify(
                message, signature
            )
        except ValueError:
            return False
        return True


@dataclass(frozen=True)
class Identity:
    """A governor's private keys: two seeds of 32 bytes, never shown."""

    name: str
    sign_seed: bytes = field(repr=False)
    seal_seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str, random: Random = os.urandom) -> "Identity":
        """A new identity. Raises `Malformed` for a name that cannot be one."""
        return cls(check_name(name), random(32), random(32))

    @property
    def public(self) -> Governor:
        """What the others may know."""
        key = ECC.construct(curve="Ed25519", seed=self.sign_seed).public_key()
        return Governor(self.name, key.export_key(format="raw"), sealed.public_key(self.seal_seed))

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes; deterministic (RFC 8032)."""
        key = ECC.construct(curve="Ed25519", seed=self.sign_seed)
        return eddsa.new(key, "rfc8032").sign(message)

    def unseal(self, info: bytes, data: bytes) -> bytes:
        """What somebody sealed to us. Raises `Unsealable`."""
        return sealed.unseal(self.seal_seed, info, data)

    def to_bytes(self) -> bytes:
        """The private record: to be encrypted by the caller."""
        return wire.dump(["writ-identity", self.name, self.sign_seed, self.seal_seed])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Identity":
        """Raises `Malformed`."""
        name, sign_seed, seal_seed = wire.tagged(wire.load(data, 256), "writ-identity", 4)
        return cls(check_name(name), wire.some_bytes(sign_seed, 32), wire.some_bytes(seal_seed, 32))


def envelope(identity: Identity, ceremony: bytes, step: str, body: bytes) -> bytes:
    """`body` signed by `identity` for one `step` of one `ceremony` (32 B)."""
    if len(ceremony) != CEREMONY_BYTES or not 1 <= len(step.encode()) <= STEP_BYTES_MAX:
        raise UsageError("a ceremony id has 32 bytes, a step 1 to 24")
    parts: list[object] = [_TAG, ceremony, identity.name, step, body]
    return wire.dump([*parts, identity.sign(wire.dump(parts))])


def open_envelope(
    data: bytes, governors: Mapping[str, Governor], ceremony: bytes, sender: str | None, step: str
) -> tuple[str, bytes]:
    """(sender, body), when that governor signed it for this step of this ceremony.

    With `sender` None any governor may have written it. Raises `Malformed`, `UnknownGovernor`,
    `WrongCeremony` (also for another step or sender than asked for) or `BadEnvelope`.
    """
    items = wire.tagged(wire.load(data), _TAG, 6)
    parts, signature = [_TAG, *items[:4]], items[4]
    body = wire.some_bytes(parts[4])
    name = check_name(parts[2])
    if name not in governors:
        raise UnknownGovernor(f"{name} is not on the roster")
    if (parts[1], name, parts[3]) != (ceremony, sender or name, step):
        raise WrongCeremony(f"a message of another ceremony, step or sender than wanted ({step})")
    if not governors[name].verifies(wire.dump(parts), wire.some_bytes(signature, 64)):
        raise BadEnvelope(f"{name} did not sign this {step} message")
    return name, body
