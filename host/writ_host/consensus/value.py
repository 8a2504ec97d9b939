"""A value: the payloads that together make one policy state, of one epoch.

An amendment and the whole policy that follows from it are one value: two capsules, one state. The
caller judges whether the policy follows and whether operators approve the change. This module says
which kinds are ordered, because an ordered kind that was signed without agreement (cosign.py) would
fork the scope.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from writ import cbor
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    MEMBER,
    POLICY,
    RELEASE,
    SUCCESSION,
    WRIT,
)
from writ.errors import Rejection
from writ.limits import CAPSULE_BYTES_MAX

from .. import codec
from ..errors import Malformed

ORDERED = (POLICY, AMENDMENT, SUCCESSION, RELEASE)
UNORDERED = (MEMBER, BEACON, ACTION)
# An amendment, the policy, and room for what a release may add.
PAYLOADS_MAX = 4
# Renewals come in bursts: up to so many share one session.
BATCH_MAX = 32
EPOCH_MAX = 0xFFFFFFFF
DIGEST_BYTES = 32
# Each step of a decision looks into the same payloads.
BODIES_KEPT = 256


def body_of(payload: bytes) -> list[object]:
    """The body of a capsule's payload; its first item is the kind. Raises `Malformed`."""
    return list(_body_of(bytes(payload)))


@lru_cache(BODIES_KEPT)
def _body_of(payload: bytes) -> tuple[object, ...]:
    try:
        claims = cbor.decode(payload)
    except Rejection as error:
        raise Malformed(f"not deterministic CBOR ({type(error).__name__})") from None
    body = claims.get(WRIT) if isinstance(claims, dict) else None
    if not isinstance(body, list) or not body or type(body[0]) is not int:
        raise Malformed("not the payload of a capsule")
    return tuple(body)


def check_unordered(payloads: Sequence[bytes]) -> None:
    """Raises `Malformed` unless each payload is of a kind that needs no order."""
    if not 1 <= len(payloads) <= BATCH_MAX:
        raise Malformed(f"1 to {BATCH_MAX} payloads are signed together")
    for payload in payloads:
        if len(payload) > CAPSULE_BYTES_MAX or body_of(payload)[0] not in UNORDERED:
            raise Malformed("only members, beacons and actions are signed without agreement")


@dataclass(frozen=True)
class Value:
    """1 to PAYLOADS_MAX payloads of ordered kinds, all for the same epoch. Raises `Malformed`."""

    payloads: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.payloads) <= PAYLOADS_MAX:
            raise Malformed(f"a value has 1 to {PAYLOADS_MAX} payloads")
        if len(set(self.payloads)) != len(self.payloads):
            raise Malformed("a value has the same payload twice")
        self.epoch  # noqa: B018  (computing it is the check)

    @cached_property
    def epoch(self) -> int:
        """The height at which this value can be decided."""
        epochs = set()
        for payload in self.payloads:
            body = body_of(codec.some_bytes(payload, size_max=CAPSULE_BYTES_MAX))
            if body[0] not in ORDERED or len(body) < 2:
                raise Malformed("not a kind that is ordered by epochs")
            epochs.add(codec.an_int(body[1], 0, EPOCH_MAX))
        if len(epochs) != 1:
            raise Malformed("payloads of different epochs are not one state")
        return epochs.pop()

    @cached_property
    def digest(self) -> bytes:
        """The digest by which governors vote: SHA-256 over the list of payloads, 32 bytes."""
        return hashlib.sha256(codec.dump(["writ-value", list(self.payloads)])).digest()

    @classmethod
    def from_item(cls, item: object) -> "Value":
        """Raises `Malformed`."""
        listed = codec.a_list(item, size_max=PAYLOADS_MAX)
        return cls(tuple(codec.some_bytes(p, size_max=CAPSULE_BYTES_MAX) for p in listed))

    def to_item(self) -> list[object]:
        """The list of payloads, as a CBOR item."""
        return list(self.payloads)
