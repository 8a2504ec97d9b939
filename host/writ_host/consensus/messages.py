"""The messages of replicas, and their strict decoding.

    message = [ type: uint, * field ]       ; deterministic CBOR; each class lists its fields

The session that brings a message authenticates its sender. Proposals, prevotes
and shares also carry their author's signature, because they must convince third parties. The
signature covers the committee and the kind of message, so that no signature passes for another.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

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
SESSION_BYTES = 32
NO_ROUND = -1

S = TypeVar("S", bound="Signed")

# --- decoders: a CBOR item in, a checked value out; each raises `Malformed` -----------------------


def _height(item: object) -> int:
    return codec.an_int(item, 0, EPOCH_MAX)


def _round(item: object) -> int:
    return codec.an_int(item, 0, ROUND_MAX)


def _round_or_none(item: object) -> int:
    return codec.an_int(item, NO_ROUND, ROUND_MAX)


def _number(item: object) -> int:
    return codec.an_int(item, 1, GOVERNORS_MAX)


def _counter(item: object) -> int:
    return codec.an_int(item, 0, COUNTER_MAX)


def _bool(item: object) -> bool:
    if not isinstance(item, bool):
        raise Malformed("not true or false")
    return item


def _voter_mask(item: object) -> int:
    return codec.an_int(item, 0, (2 << GOVERNORS_MAX) - 1)


def _digest(item: object) -> bytes:
    return codec.some_bytes(item, DIGEST_BYTES)


def _digest_or_nil(item: object) -> bytes | None:
    return None if item is None else _digest(item)


def _token(item: object) -> bytes:
    return codec.some_bytes(item, TOKEN_BYTES)


def _session_id(item: object) -> bytes:
    return codec.some_bytes(item, SESSION_BYTES)


def _signature(item: object) -> bytes:
    return codec.some_bytes(item, SIGNATURE_BYTES)


def byte_strings(item: object, size: int, count_max: int) -> tuple[bytes, ...]:
    """A list of at most `count_max` byte strings of `size` bytes. Raises `Malformed`."""
    return tuple(codec.some_bytes(one, size) for one in codec.a_list(item, size_max=count_max))


def _commitments(item: object) -> tuple[bytes, ...]:
    return byte_strings(item, COMMITMENT_BYTES, PAYLOADS_MAX)


def _shares(item: object) -> tuple[bytes, ...]:
    return byte_strings(item, SHARE_BYTES, PAYLOADS_MAX)


def _signatures(item: object) -> tuple[bytes, ...]:
    return byte_strings(item, SIGNATURE_BYTES, PAYLOADS_MAX)


def decode_prevotes(item: object) -> tuple["Prevote", ...]:
    """A list of prevotes' fields. Raises `Malformed`."""
    listed = codec.a_list(item, size_max=GOVERNORS_MAX)
    return tuple(Prevote.from_fields(codec.a_list(one)) for one in listed)


def decode_offer(item: object) -> "Offer":
    """A prevote's or a share's fields, distinguished by their number. Raises `Malformed`."""
    items = codec.a_list(item)
    is_prevote = len(items) == len(Prevote.DECODERS)
    return Prevote.from_fields(items) if is_prevote else Share.from_fields(items)


def _offers(item: object) -> tuple["Offer", ...]:
    return tuple(map(decode_offer, codec.a_list(item, size_max=GOVERNORS_MAX)))


def _offer_or_none(item: object) -> "Offer | None":
    return None if item is None else decode_offer(item)


# --- classes --------------------------------------------------------------------------------------


class _Fields:
    """A message whose encoding is the list of its dataclass fields.

    TYPE: the first item of the message; DECODERS: what decodes each field, in their order.
    """

    TYPE: ClassVar[int]
    DECODERS: ClassVar[tuple[Callable[[object], object], ...]]
    __match_args__: ClassVar[tuple[str, ...]]

    def fields(self) -> list[object]:
        """All fields, as items for `codec.dump`."""
        values = [getattr(self, name) for name in self.__match_args__]
        return [value if type(value) in _PLAIN else _item(value) for value in values]

    @classmethod
    def from_fields(cls, items: list[object]) -> Self:
        """The message of these CBOR items. Raises `Malformed`."""
        if len(items) != len(cls.DECODERS):
            raise Malformed("not the expected list")
        make: Callable[..., Self] = cls
        return make(*[decode(item) for decode, item in zip(cls.DECODERS, items, strict=True)])


_PLAIN = {int, bytes, bool, type(None)}


def _item(value: object) -> object:
    if type(value) is tuple:
        return value if value and type(value[0]) is bytes else [_item(one) for one in value]
    if isinstance(value, Signed):
        return value.encoded
    return value.to_item() if isinstance(value, Value) else value


class Signed(_Fields):
    """A message that its author signs; `signature` (64 B) is empty until `sign` fills it."""

    KIND: ClassVar[str]
    sender: int
    signature: bytes

    def signed_fields(self) -> list[object]:
        """The fields that the signature covers: all others."""
        return self.fields()[:-1]

    @cached_property
    def encoded(self) -> codec.Encoded:
        """`fields` in CBOR, encoded once: sessions, proofs and hard states repeat them."""
        return codec.Encoded(codec.dump(self.fields()))

    def signing_input(self, scope: bytes) -> bytes:
        """The bytes that are signed. scope: the committee's, 32 bytes."""
        return codec.dump([f"writ-{self.KIND}", scope, *self.signed_fields()])


def sign(message: S, signer: Signer, scope: bytes) -> S:
    """The same message with its signature."""
    signature = signer.sign(message.signing_input(scope))
    copy: Any = replace
    found: S = copy(message, signature=signature)
    return found


@dataclass(frozen=True)
class Submit(_Fields):
    """A candidate for this height, for the proposers of its rounds."""

    TYPE: ClassVar = 0
    DECODERS: ClassVar = (Value.from_item,)
    value: Value

    @property
    def height(self) -> int:
        """The epoch that the value would be."""
        return self.value.epoch


@dataclass(frozen=True)
class Prevote(Signed):
    """A vote for a digest, or for nil (None).

    counter: of the author's hard state when it voted; commitments: nonce commitments (64 B), one
    for each payload, for the signing session.
    """

    TYPE: ClassVar = 2
    KIND: ClassVar = "prevote"
    DECODERS: ClassVar = (
        *(_number, _height, _round, _digest_or_nil),
        *(_counter, _commitments, _signature),
    )
    sender: int
    height: int
    round: int
    digest: bytes | None
    counter: int
    commitments: tuple[bytes, ...] = ()
    signature: bytes = b""


@dataclass(frozen=True)
class RoundProposal(Signed):
    """The value that a round's proposer proposes.

    valid_round: the round in which a quorum voted for it, as `proof` shows; NO_ROUND for none.
    """

    TYPE: ClassVar = 1
    KIND: ClassVar = "proposal"
    DECODERS: ClassVar = (
        *(_number, _height, _round, Value.from_item),
        *(_round_or_none, decode_prevotes, _signature),
    )
    sender: int
    height: int
    round: int
    value: Value
    valid_round: int = NO_ROUND
    proof: tuple[Prevote, ...] = ()
    signature: bytes = b""

    def signed_fields(self) -> list[object]:
        """The digest stands for the value; the proof is signed by those who voted."""
        return [self.sender, self.height, self.round, self.value.digest, self.valid_round]


@dataclass(frozen=True)
class Share(Signed):
    """A precommit: signature shares (32 B) for all payloads, in one session of one round.

    commitments: fresh ones, for another session if one is needed.
    """

    TYPE: ClassVar = 4
    KIND: ClassVar = "share"
    DECODERS: ClassVar = (
        *(_number, _height, _round, _digest, _counter),
        *(_session_id, _shares, _commitments, _signature),
    )
    sender: int
    height: int
    round: int
    digest: bytes
    counter: int
    session: bytes
    shares: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    signature: bytes = b""


# A signed message with commitments, by which its author takes part in a session.
Offer = Prevote | Share


def session_id(place: list[object], members: Mapping[int, tuple[bytes, ...]]) -> bytes:
    """32 bytes that name a session by its place, its signers and their commitments."""
    listed = [[number, list(members[number])] for number in sorted(members)]
    return hashlib.sha256(codec.dump(["writ-session", *place, listed])).digest()


@dataclass(frozen=True)
class SigningSession(_Fields):
    """The coordinator's choice of signers, each by its offer."""

    TYPE: ClassVar = 3
    DECODERS: ClassVar = (_height, _round, _digest, _offers)
    height: int
    round: int
    digest: bytes
    offers: tuple[Offer, ...]
    id: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        members = {offer.sender: offer.commitments for offer in self.offers}
        place: list[object] = [self.height, self.round, self.digest]
        object.__setattr__(self, "id", session_id(place, members))


@dataclass(frozen=True)
class Status(_Fields):
    """Where a replica stands, so that others send what it lacks.

    has_value: it knows this round's value; voter_mask: whose prevotes of this round it has (bit n
    for governor n); valid_round: of the value that it would propose.
    """

    TYPE: ClassVar = 5
    DECODERS: ClassVar = (_height, _round, _bool, _bool, _voter_mask, _round_or_none)
    height: int
    round: int
    is_awake: bool
    has_value: bool
    voter_mask: int
    valid_round: int


@dataclass(frozen=True)
class PrevoteQuorum(_Fields):
    """A value and a quorum's prevotes for it, for replicas that missed either."""

    TYPE: ClassVar = 6
    DECODERS: ClassVar = (_height, _round, Value.from_item, decode_prevotes)
    height: int
    round: int
    value: Value
    proof: tuple[Prevote, ...]


@dataclass(frozen=True)
class Decided(_Fields):
    """A decision, proven by the group's signatures (64 B), one for each payload."""

    TYPE: ClassVar = 7
    DECODERS: ClassVar = (Value.from_item, _signatures)
    value: Value
    signatures: tuple[bytes, ...]


@dataclass(frozen=True)
class Hello(_Fields):
    """A replica has started, and asks for the newest message that others have from it."""

    TYPE: ClassVar = 8
    DECODERS: ClassVar = (_token, _height)
    token: bytes
    height: int


@dataclass(frozen=True)
class Seen(_Fields):
    """The answer to `Hello`: the asker's own signed message with the highest counter, or None."""

    TYPE: ClassVar = 9
    DECODERS: ClassVar = (_token, _offer_or_none)
    token: bytes
    evidence: Offer | None


HeightMessage = Submit | RoundProposal | Prevote | SigningSession | Share | Status | PrevoteQuorum
Message = HeightMessage | Decided | Hello | Seen
_CLASSES: dict[int, type[Message]] = {
    cls.TYPE: cls
    for cls in (
        *(Submit, RoundProposal, Prevote, SigningSession, Share),
        *(Status, PrevoteQuorum, Decided, Hello, Seen),
    )
}
# Types from here on belong to cosign.py.
COSIGN_TYPE_MIN = 16


def encode(message: Message) -> bytes:
    """The message's bytes."""
    return codec.dump([message.TYPE, *message.fields()])


def decode(data: bytes) -> Message:
    """The message in `data`. Raises `Malformed`."""
    items = codec.a_list(codec.load(data, MESSAGE_BYTES_MAX))
    cls = _CLASSES.get(codec.an_int(items[0], 0, 255)) if items else None
    if cls is None:
        raise Malformed("unknown type of message")
    return cls.from_fields(items[1:])
