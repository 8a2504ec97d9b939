"""What replicas say to each other while they decide, and how it is read: strictly, with limits.

    message = [ type: uint, * field ]       ; deterministic CBOR; each class lists its fields

Whoever sends is known from the session that brought a message. Three kinds are signed besides,
since third parties must be convinced: proposals, prevotes and shares. What is signed names the
scope and the kind of message, so that no signature passes for another.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, TypeVar

from writ.limits import GOVERNORS_MAX

from .. import codec
from ..errors import Malformed
from .signer import COMMITMENT_BYTES, SHARE_BYTES, SIGNATURE_BYTES, Signer
from .value import DIGEST_BYTES, EPOCH_MAX, PAYLOADS_MAX, Value

# The largest honest message: a proposal of four capsules with the prevotes of 13 governors.
MESSAGE_BYTES_MAX = 32768
ROUND_MAX = 0xFFFFFF
COUNTER_MAX = 0xFFFFFFFFFFFF
TOKEN_BYTES = 16
NO_ROUND = -1

S = TypeVar("S", bound="Signed")


def _height(item: object) -> int:
    return codec.an_int(item, 0, EPOCH_MAX)


def _round(item: object, least: int = 0) -> int:
    return codec.an_int(item, least, ROUND_MAX)


def _number(item: object) -> int:
    return codec.an_int(item, 1, GOVERNORS_MAX)


def _digest(item: object) -> bytes:
    return codec.some_bytes(item, DIGEST_BYTES)


def byte_strings(item: object, size: int, count_max: int) -> tuple[bytes, ...]:
    """A list of at most `count_max` byte strings of `size` bytes. Raises `Malformed`."""
    return tuple(codec.some_bytes(one, size) for one in codec.a_list(item, size_max=count_max))


def _prevotes(item: object) -> tuple["Prevote", ...]:
    listed = codec.a_list(item, size_max=GOVERNORS_MAX)
    return tuple(Prevote.from_fields(codec.a_list(one, Prevote.SIZE)) for one in listed)


@dataclass(frozen=True)
class Signed:
    """A message that its author signs; `signature` (64 B) is empty until `sealed`."""

    KIND: ClassVar[str]

    def signed_fields(self) -> list[object]:
        """What the signature covers besides scope and kind."""
        raise NotImplementedError

    def fields(self) -> list[object]:
        """All of it, as items."""
        raise NotImplementedError

    @cached_property
    def packed(self) -> codec.Encoded:
        """`fields`, encoded once: in sessions, proofs and promises it is told again and again."""
        return codec.Encoded(codec.dump(self.fields()))

    def text(self, scope: bytes) -> bytes:
        """The bytes that are signed."""
        return codec.dump([f"writ-{self.KIND}", scope, *self.signed_fields()])


def sealed(message: S, signer: Signer, scope: bytes) -> S:
    """The same message, signed."""
    signature = signer.sign(message.text(scope))
    return replace(message, signature=signature)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Submit:
    """Someone's candidate for this height, for whoever proposes next."""

    TYPE: ClassVar = 0
    SIZE: ClassVar = 1
    value: Value

    @property
    def height(self) -> int:
        """The epoch that it would be."""
        return self.value.epoch

    def fields(self) -> list[object]:
        return [self.value.to_item()]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Submit":
        return cls(Value.from_item(items[0]))


@dataclass(frozen=True)
class Prevote(Signed):
    """A vote for a digest, or for nothing; commitments (64 B): one a payload, for the session.

    counter: the author's promise counter when it was cast.
    """

    TYPE: ClassVar = 2
    SIZE: ClassVar = 7
    KIND: ClassVar = "prevote"
    sender: int
    height: int
    round: int
    digest: bytes | None
    counter: int
    commitments: tuple[bytes, ...] = ()
    signature: bytes = b""

    def signed_fields(self) -> list[object]:
        return self.fields()[:-1]

    def fields(self) -> list[object]:
        listed = list(self.commitments)
        place = [self.sender, self.height, self.round]
        return [*place, self.digest, self.counter, listed, self.signature]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Prevote":
        return cls(
            _number(items[0]),
            _height(items[1]),
            _round(items[2]),
            None if items[3] is None else _digest(items[3]),
            codec.an_int(items[4], 0, COUNTER_MAX),
            byte_strings(items[5], COMMITMENT_BYTES, PAYLOADS_MAX),
            codec.some_bytes(items[6], SIGNATURE_BYTES),
        )


@dataclass(frozen=True)
class Proposal(Signed):
    """The proposer's value of this round; with a valid round, the prevotes that prove it."""

    TYPE: ClassVar = 1
    SIZE: ClassVar = 7
    KIND: ClassVar = "proposal"
    sender: int
    height: int
    round: int
    value: Value
    valid_round: int = NO_ROUND
    proof: tuple[Prevote, ...] = ()
    signature: bytes = b""

    def signed_fields(self) -> list[object]:
        return [self.sender, self.height, self.round, self.value.digest, self.valid_round]

    def fields(self) -> list[object]:
        proof = [prevote.packed for prevote in self.proof]
        place = [self.sender, self.height, self.round]
        return [*place, self.value.to_item(), self.valid_round, proof, self.signature]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Proposal":
        return cls(
            _number(items[0]),
            _height(items[1]),
            _round(items[2]),
            Value.from_item(items[3]),
            _round(items[4], NO_ROUND),
            _prevotes(items[5]),
            codec.some_bytes(items[6], SIGNATURE_BYTES),
        )


def session_id(place: list[object], members: Mapping[int, tuple[bytes, ...]]) -> bytes:
    """32 bytes that name a session: where it belongs, and who signs with which commitments."""
    listed = [[number, list(members[number])] for number in sorted(members)]
    return hashlib.sha256(codec.dump(["writ-session", *place, listed])).digest()


@dataclass(frozen=True)
class Share(Signed):
    """A precommit: signature shares (32 B) for all payloads, in one session of one round.

    commitments: fresh ones, should another session be needed.
    """

    TYPE: ClassVar = 4
    SIZE: ClassVar = 9
    KIND: ClassVar = "share"
    sender: int
    height: int
    round: int
    digest: bytes
    counter: int
    session: bytes
    shares: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    signature: bytes = b""

    def signed_fields(self) -> list[object]:
        return self.fields()[:-1]

    def fields(self) -> list[object]:
        place = [self.sender, self.height, self.round, self.digest, self.counter, self.session]
        return [*place, list(self.shares), list(self.commitments), self.signature]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Share":
        return cls(
            _number(items[0]),
            _height(items[1]),
            _round(items[2]),
            _digest(items[3]),
            codec.an_int(items[4], 0, COUNTER_MAX),
            codec.some_bytes(items[5], 32),
            byte_strings(items[6], SHARE_BYTES, PAYLOADS_MAX),
            byte_strings(items[7], COMMITMENT_BYTES, PAYLOADS_MAX),
            codec.some_bytes(items[8], SIGNATURE_BYTES),
        )


Offer = Prevote | Share


def _offer(item: object) -> Offer:
    items = codec.a_list(item)
    if len(items) == Prevote.SIZE:
        return Prevote.from_fields(items)
    return Share.from_fields(codec.a_list(items, Share.SIZE))


@dataclass(frozen=True)
class Session:
    """The coordinator's choice of signers: for each the signed message with its commitments."""

    TYPE: ClassVar = 3
    SIZE: ClassVar = 4
    height: int
    round: int
    digest: bytes
    offers: tuple[Offer, ...]
    id: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        members = {offer.sender: offer.commitments for offer in self.offers}
        place: list[object] = [self.height, self.round, self.digest]
        object.__setattr__(self, "id", session_id(place, members))

    def fields(self) -> list[object]:
        return [self.height, self.round, self.digest, [offer.packed for offer in self.offers]]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Session":
        offers = codec.a_list(items[3], size_max=GOVERNORS_MAX)
        return cls(
            _height(items[0]), _round(items[1]), _digest(items[2]), tuple(map(_offer, offers))
        )


@dataclass(frozen=True)
class Status:
    """Where a replica stands, so that others send what it lacks.

    voters: those whose prevotes of this round it has (bit mask); has_value: it knows this round's
    proposal; valid_round: of the value that it would propose.
    """

    TYPE: ClassVar = 5
    SIZE: ClassVar = 6
    height: int
    round: int
    awake: bool
    has_value: bool
    voters: int
    valid_round: int

    def fields(self) -> list[object]:
        place: list[object] = [self.height, self.round]
        return [*place, self.awake, self.has_value, self.voters, self.valid_round]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Status":
        if not isinstance(items[2], bool) or not isinstance(items[3], bool):
            raise Malformed("not the truth value that it should be")
        return cls(
            _height(items[0]),
            _round(items[1]),
            items[2],
            items[3],
            codec.an_int(items[4], 0, (2 << GOVERNORS_MAX) - 1),
            _round(items[5], NO_ROUND),
        )


@dataclass(frozen=True)
class Lock:
    """A value and the prevote quorum that it had: for those who missed either."""

    TYPE: ClassVar = 6
    SIZE: ClassVar = 4
    height: int
    round: int
    value: Value
    proof: tuple[Prevote, ...]

    def fields(self) -> list[object]:
        proof = [prevote.packed for prevote in self.proof]
        return [self.height, self.round, self.value.to_item(), proof]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Lock":
        value = Value.from_item(items[2])
        return cls(_height(items[0]), _round(items[1]), value, _prevotes(items[3]))


@dataclass(frozen=True)
class Decided:
    """A decision, proven by the group's signatures (64 B, one a payload)."""

    TYPE: ClassVar = 7
    SIZE: ClassVar = 2
    value: Value
    signatures: tuple[bytes, ...]

    def fields(self) -> list[object]:
        return [self.value.to_item(), list(self.signatures)]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Decided":
        signatures = byte_strings(items[1], SIGNATURE_BYTES, PAYLOADS_MAX)
        return cls(Value.from_item(items[0]), signatures)


@dataclass(frozen=True)
class Hello:
    """I have (re)started: what was the last that you saw from me?"""

    TYPE: ClassVar = 8
    SIZE: ClassVar = 2
    token: bytes
    height: int

    def fields(self) -> list[object]:
        return [self.token, self.height]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Hello":
        return cls(codec.some_bytes(items[0], TOKEN_BYTES), _height(items[1]))


@dataclass(frozen=True)
class Seen:
    """The answer: the message of the asker with the highest counter, which the asker signed."""

    TYPE: ClassVar = 9
    SIZE: ClassVar = 2
    token: bytes
    evidence: Offer | None

    def fields(self) -> list[object]:
        return [self.token, None if self.evidence is None else self.evidence.packed]

    @classmethod
    def from_fields(cls, items: list[object]) -> "Seen":
        evidence = None if items[1] is None else _offer(items[1])
        return cls(codec.some_bytes(items[0], TOKEN_BYTES), evidence)


# Those that belong to a height.
Placed = Submit | Proposal | Prevote | Session | Share | Status | Lock
Message = Submit | Proposal | Prevote | Session | Share | Status | Lock | Decided | Hello | Seen
_CLASSES: dict[int, type[Message]] = {
    cls.TYPE: cls
    for cls in (Submit, Proposal, Prevote, Session, Share, Status, Lock, Decided, Hello, Seen)
}
# Types from here on belong to cosign.py.
CERTIFY_TYPE_MIN = 16


def encode(message: Message) -> bytes:
    """The message's bytes."""
    return codec.dump([message.TYPE, *message.fields()])


def decode(data: bytes) -> Message:
    """The message in `data`. Raises `Malformed`."""
    items = codec.a_list(codec.load(data, MESSAGE_BYTES_MAX))
    cls = _CLASSES.get(codec.an_int(items[0], 0, 255)) if items else None
    if cls is None or len(items) != 1 + cls.SIZE:
        raise Malformed("not a message that we know")
    return cls.from_fields(items[1:])
