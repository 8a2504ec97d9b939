"""The format of datagrams between governors: CoAP NON POST under OSCORE, without answers.

The inner message of a datagram is one of:
    POST, payload = (* bstr), a CBOR sequence of whole messages; an empty one is a keepalive
    POST, Q-Block1 (RFC 9177, section 4.1), Request-Tag (RFC 9175, section 3), payload = a fragment
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from writ.errors import BadMessage, BadOption, BlockMismatch, TooLarge
from writ.wire import coap, edhoc_codec
from writ.wire.blockwise import block_decode, block_encode
from writ.wire.coap import NON, POST, Message
from writ.wire.oscore import Context

from ... import codec

# Holds a catch-up answer, a proposal of 32 capsules, and the largest file of a ceremony.
MESSAGE_BYTES_MAX = 65536
# Below 1,280 bytes with OSCORE, CoAP, UDP and IP headers: no IPv6 path fragments it.
PAYLOAD_BYTES_MAX = 1200
# The largest payload plus 24 bytes of OSCORE and CoAP; a handshake is smaller.
DATAGRAM_BYTES_MAX = 1280
# Block sizes of RFC 7959 are powers of two: this is 1,024 bytes.
_SZX = 6
FRAGMENT_BYTES = 1024
_FRAGMENTS_MAX = MESSAGE_BYTES_MAX // FRAGMENT_BYTES
# Incomplete messages of one peer: 512 kB at most. A lost fragment leaves one behind.
ASSEMBLIES_MAX = 8

Q_BLOCK1 = 19
REQUEST_TAG = 292
TAG_BYTES = 4

Options = list[tuple[int, bytes]]
# An inner message: options and payload.
Part = tuple[Options, bytes]
KEEPALIVE: Part = ([], b"")


def check(condition: bool) -> None:
    """Raise `BadMessage` unless `condition` holds."""
    if not condition:
        raise BadMessage()


def encode(mid: int, code: int, token: bytes, options: Options, body: bytes) -> bytes:
    """A NON message of up to `DATAGRAM_BYTES_MAX`, more than `Message.encode` allows."""
    head = bytes((0x40 | NON << 4 | len(token), code, mid >> 8, mid & 255))
    data: bytes = head + token + coap.encode_options(options)
    return data + b"\xff" + body if body else data


def parse(datagram: bytes) -> Message:
    """The NON message in `datagram`. Raises `TooLarge` or `BadMessage`."""
    if len(datagram) > DATAGRAM_BYTES_MAX:
        raise TooLarge()
    check(len(datagram) >= 4 and 0x50 <= datagram[0] <= 0x58)
    start = 4 + (datagram[0] & 15)
    check(start <= len(datagram))
    mid = datagram[2] << 8 | datagram[3]
    message = Message(NON, datagram[1], mid, datagram[4:start])
    message.options, message.payload = coap.decode_options(datagram, start)
    return message


def seal(context: Context, mid: int, part: Part) -> bytes:
    """Protect `part` as a datagram. Raises `SequenceExhausted`."""
    inner = Message(NON, POST, mid)
    inner.options, inner.payload = part
    sealed, _ = context.protect_request(inner)
    return encode(mid, POST, b"", sealed.options, sealed.payload)


def pack(messages: Iterable[bytes], tags: Iterator[int]) -> list[Part]:
    """Pack `messages`, in their order, into few parts; `tags` numbers the fragmented ones."""
    parts: list[Part] = []
    shared = b""
    for message in messages:
        item = codec.dump(message)
        if shared and len(shared) + len(item) > PAYLOAD_BYTES_MAX:
            parts.append(([], shared))
            shared = b""
        if len(item) <= PAYLOAD_BYTES_MAX:
            shared += item
        else:
            parts += _fragment(message, next(tags).to_bytes(TAG_BYTES, "big"))
    if shared:
        parts.append(([], shared))
    return parts


def _fragment(message: bytes, tag: bytes) -> list[Part]:
    parts: list[Part] = []
    for start in range(0, len(message), FRAGMENT_BYTES):
        end = start + FRAGMENT_BYTES
        block = block_encode(start // FRAGMENT_BYTES, end < len(message), _SZX)
        parts.append(([(Q_BLOCK1, block), (REQUEST_TAG, tag)], message[start:end]))
    return parts


@dataclass
class _Assembly:
    fragments: dict[int, bytes] = field(default_factory=dict)
    count: int | None = None  # of fragments; known once the last one has arrived

    def add(self, number: int, more: bool, fragment: bytes) -> bytes | None:
        if not more:
            if self.count not in (None, number + 1):
                raise BlockMismatch()
            self.count = number + 1
        if self.fragments.setdefault(number, fragment) != fragment:
            raise BlockMismatch()
        if self.count is None:
            return None
        if max(self.fragments) >= self.count:
            raise BlockMismatch()
        if len(self.fragments) < self.count:
            return None
        return b"".join(self.fragments[i] for i in range(self.count))


class Reassembly:
    """The incomplete messages of one peer; a new one replaces the oldest if there are too many."""

    def __init__(self) -> None:
        self._assemblies: dict[bytes, _Assembly] = {}

    def __len__(self) -> int:
        return len(self._assemblies)

    def unpack(self, inner: Message) -> list[bytes]:
        """The messages that `inner` contains or completes. Raises a `Rejection`."""
        check(inner.code == POST)
        if not inner.options:
            return _split(inner.payload)
        if [number for number, _ in inner.options] != [Q_BLOCK1, REQUEST_TAG]:
            raise BadOption()
        block, tag = (value for _, value in inner.options)
        number, more, szx = block_decode(block)
        size = len(inner.payload)
        if szx != _SZX or len(tag) != TAG_BYTES or block != block_encode(number, more, szx):
            raise BadOption()
        if number >= _FRAGMENTS_MAX:
            raise TooLarge()
        # a message that fits one fragment is never fragmented
        check(size == FRAGMENT_BYTES if more else 0 < size <= FRAGMENT_BYTES and number > 0)
        return self._feed(tag, number, more, inner.payload)

    def _feed(self, tag: bytes, number: int, more: bool, fragment: bytes) -> list[bytes]:
        if tag not in self._assemblies and len(self._assemblies) >= ASSEMBLIES_MAX:
            del self._assemblies[next(iter(self._assemblies))]
        assembly = self._assemblies.setdefault(tag, _Assembly())
        try:
            message = assembly.add(number, more, fragment)
        except BlockMismatch:
            del self._assemblies[tag]
            raise
        if message is None:
            return []
        del self._assemblies[tag]
        return [message]


def _split(payload: bytes) -> list[bytes]:
    messages: list[bytes] = []
    start = 0
    while start < len(payload):
        message, start = edhoc_codec.read_item(payload, start, edhoc_codec.BYTES)
        check(len(message) > 0)
        messages.append(message)
    return messages
