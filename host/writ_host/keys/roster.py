"""The roster lists a scope's governors; a seat is one governor's key share and public keys.

roster = [ "writ-roster", scope: tstr, threshold, nonce: bstr .size 16,
           [+ [name, Ed25519 key, X25519 key, P-256 key]] ]
identifier = place in the list, from 1
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import Malformed, UnknownGovernor
from .frost import KeyPackage, PublicKeyPackage
from .group import (
    Random,
    base,
    point_from_bytes,
    point_to_bytes,
    scalar_from_bytes,
    scalar_to_bytes,
)
from .identity import PublicIdentity, check_name

NONCE_BYTES = 16
SEAT_BYTES_MAX = 8192
COMMITTEE_DIGEST_BYTES = 8
# The state of an unfinished founding includes the messages that it has sent.
STORE_BYTES_MAX = 4 * codec.FILE_BYTES_MAX


@dataclass(frozen=True)
class Roster:
    """The governors of one scope in their order, and the threshold of their signatures.

    nonce: 16 random bytes, so that each founding is a different ceremony.
    """

    scope: str
    threshold: int
    nonce: bytes
    governors: tuple[PublicIdentity, ...]

    def __post_init__(self) -> None:
        check_name(self.scope)
        codec.some_bytes(self.nonce, NONCE_BYTES)
        count = len(self.governors)
        if not 1 <= count <= GOVERNORS_MAX:
            raise Malformed(f"a roster lists 1 to {GOVERNORS_MAX} governors")
        # Half of the governors or fewer could sign two policies for one epoch.
        if type(self.threshold) is not int or not count < 2 * self.threshold <= 2 * count:
            raise Malformed(
                "the threshold must be more than half of the governors, and at most all"
            )
        for keys in ("name", "verify_key", "seal_key"):
            if len({getattr(governor, keys) for governor in self.governors}) != count:
                raise Malformed(f"two governors with the same {keys}")
        # a node id is made of the x coordinate: a key and its negative have the same id
        if len({governor.node_key[1:] for governor in self.governors}) != count:
            raise Malformed("two governors with the same node_key")

    @classmethod
    def create(
        cls,
        scope: str,
        threshold: int,
        governors: Iterable[PublicIdentity],
        random: Random = os.urandom,
    ) -> "Roster":
        """A new roster with a fresh nonce. Raises `Malformed` for invalid fields."""
        return cls(scope, threshold, random(NONCE_BYTES), tuple(governors))

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the roster: the founding ceremony's id, which each of its messages names."""
        return hashlib.sha256(self.to_bytes()).digest()

    @cached_property
    def by_name(self) -> dict[str, PublicIdentity]:
        """The governors by name."""
        return {governor.name: governor for governor in self.governors}

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the identifiers."""
        return tuple(governor.name for governor in self.governors)

    def identifier(self, name: str) -> int:
        """A governor's number, from 1. Raises `UnknownGovernor`."""
        if name not in self.by_name:
            raise UnknownGovernor(f"{name} is not on the roster")
        return self.names.index(name) + 1

    def name(self, identifier: int) -> str:
        """The name of the governor with this number."""
        return self.names[identifier - 1]

    def to_item(self) -> list[object]:
        """As a CBOR item."""
        listed = [governor.to_item() for governor in self.governors]
        return ["writ-roster", self.scope, self.threshold, self.nonce, listed]

    @classmethod
    def from_item(cls, item: object) -> "Roster":
        """Raises `Malformed`."""
        scope, threshold, nonce, listed = codec.tagged(item, "writ-roster", 5)
        governors = codec.a_list(listed, size_max=GOVERNORS_MAX)
        return cls(
            check_name(scope),
            codec.an_int(threshold, 1, GOVERNORS_MAX),
            codec.some_bytes(nonce, NONCE_BYTES),
            tuple(PublicIdentity.from_item(governor) for governor in governors),
        )

    def to_bytes(self) -> bytes:
        """The roster file, the same for all governors."""
        return codec.dump(self.to_item())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Roster":
        """Raises `Malformed`."""
        return cls.from_item(codec.load(data))


@dataclass(frozen=True)
class Seat:
    """A governor's seat in a founded scope: the roster, its key share, and the public keys."""

    roster: Roster
    key: KeyPackage
    public: PublicKeyPackage

    @property
    def name(self) -> str:
        """The governor's name."""
        return self.roster.name(self.key.identifier)

    def to_bytes(self) -> bytes:
        """The whole seat with its key share. The caller must encrypt it."""
        return codec.dump(
            [
                "writ-seat",
                self.roster.to_item(),
                [self.key.identifier, scalar_to_bytes(self.key.signing_share)],
                self.public.group_key,
                [self.public.verifying_shares[i + 1] for i in range(len(self.roster.governors))],
            ]
        )

    @staticmethod
    def is_seat(data: bytes) -> bool:
        """True for bytes that `to_bytes` wrote, False for the state of an unfinished ceremony."""
        return codec.a_list(codec.load(data, STORE_BYTES_MAX))[:1] == ["writ-seat"]

    @classmethod
    def from_bytes(cls, data: bytes) -> "Seat":
        """The seat, after a check of the share against the public keys. Raises `Malformed`."""
        item = codec.load(data, SEAT_BYTES_MAX)
        roster_item, own, group_key, listed = codec.tagged(item, "writ-seat", 5)
        roster = Roster.from_item(roster_item)
        count = len(roster.governors)
        number, secret = codec.a_list(own, 2)
        identifier = codec.an_int(number, 1, count)
        share = scalar_from_bytes(secret)
        points = [codec.some_bytes(point, 32) for point in codec.a_list(listed, count)]
        for point in (group_key, *points):
            point_from_bytes(point)
        if point_to_bytes(base(share)) != points[identifier - 1]:
            raise Malformed("the share does not belong to its verifying share")
        group = codec.some_bytes(group_key, 32)
        shares = {i + 1: point for i, point in enumerate(points)}
        return cls(
            roster,
            KeyPackage(identifier, share, group, roster.threshold),
            PublicKeyPackage(group, shares, roster.threshold),
        )


def committee_scope(seat: Seat) -> bytes:
    """SHA-256 (32 B) over the roster, the group key and all verifying shares.

    Each message that governors sign for each other includes it. So no message signed under old
    shares counts under new ones.
    """
    public = seat.public
    shares = [public.verifying_shares[number] for number in sorted(public.verifying_shares)]
    described = ["writ-committee", seat.roster.to_item(), public.group_key, shares]
    return hashlib.sha256(codec.dump(described)).digest()


def committee_digest(seat: Seat) -> bytes:
    """The committee's name in a policy: the first 8 bytes of `committee_scope`."""
    return committee_scope(seat)[:COMMITTEE_DIGEST_BYTES]
