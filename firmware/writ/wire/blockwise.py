"""Bodies larger than a message, in blocks (RFC 7959), both ways; on decrypted messages.

Sans-IO. A server keeps nothing for Block2 and one `Assembler` for Block1; a client has one
`Download` or `Upload` for each transfer. Offsets and sizes are in bytes.
"""

from .. import crypto
from ..errors import BadMessage, BlockMismatch, TableFull, TooLarge
from ..limits import BLOCK_SZX, BODY_BYTES_MAX, TRANSFER_TIMEOUT_MS, TRANSFERS_MAX
from .coap import (
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    CONTINUE,
    ETAG,
    TOO_LARGE,
    Message,
    uint,
)


def block_decode(value):
    """(num, more, szx) of a Block option's bytes; a block has 2**(szx + 4) bytes.

    Raises `BadMessage` (4.00) for the reserved size (RFC 7959, section 2.2).
    """
    number = int.from_bytes(value, "big")
    if len(value) > 3 or number & 7 == 7:
        raise BadMessage()
    return number >> 4, number & 8 != 0, number & 7


def block_encode(num, more, szx):
    """The bytes of a Block option."""
    return uint(num << 4 | (8 if more else 0) | szx)


def _place(value, payload):
    # (offset, more, szx) of a received block whose payload has the right size
    num, more, szx = block_decode(value)
    size = 16 << szx
    if len(payload) > size or (more and len(payload) != size):
        raise BadMessage()
    return num * size, more, szx


def slice_response(body, block2, szx_default=BLOCK_SZX):
    """(payload, [(number, value)]): the part of `body` that a request asks for.

    block2: the request's Block2 value or None. If the whole body fits, there are no options to add.
    Else they are Block2 and an ETag, which shows the client that the body has changed.
    Raises `BadMessage` for a block beyond the end.
    """
    offset = 0
    szx = szx_default
    if block2 is not None:
        num, _, szx = block_decode(block2)
        offset = num << (szx + 4)
        szx = min(szx, szx_default)
    elif len(body) <= 16 << szx:
        return body, []
    if offset and offset >= len(body):
        raise BadMessage()
    end = offset + (16 << szx)
    value = block_encode(offset >> (szx + 4), end < len(body), szx)
    return body[offset:end], [(ETAG, crypto.sha256(body)[:4]), (BLOCK2, value)]


class Assembler:
    """Bodies that clients upload to this server in Block1 pieces (RFC 7959, section 2.5).

    gives_way: whether a new upload displaces the one that has had no block for longest, instead of
    `TableFull`. Strangers forge addresses, so that no first block may keep a place.
    """

    def __init__(self, gives_way=False):
        self._gives_way = gives_way
        # key: [bytearray, expires_ms]
        self.transfers = {}
        self._last = None  # (key, transfer) of the last block, for `restore`

    def receive(self, peer, request, now_ms):
        """(body, None) when the body of `request` is complete, else (None, 2.31 to send).

        peer: the uploader, any hashable value. A request without Block1 is complete at once. The
        final response must repeat the request's Block1 value. A block that is here already, such
        as one whose 2.31 was lost, changes nothing.

        Raises `BadMessage`, `BadOption`, `BlockMismatch` (4.08: the transfer must begin anew),
        `TooLarge` or `TableFull`.
        """
        value = request.option(BLOCK1)
        if value is None:
            return request.payload, None
        offset, more, _ = _place(value, request.payload)
        table = self.transfers
        for key in list(table):
            if table[key][1] <= now_ms:
                del table[key]
        # these are equal in all requests of one transfer
        query = "&".join(request.query())
        key = (peer, request.code, request.path(), query, request.option(CONTENT_FORMAT))
        known = table.pop(key, None)
        self._last = key, known
        body = known[0] if known else bytearray()
        if offset > len(body):
            raise BlockMismatch()
        end = offset + len(request.payload)
        if not more or body[offset:end] != request.payload:
            if offset < len(body):
                # an earlier block that is different: the upload has begun anew
                body = body[:offset]
            body += request.payload
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge()
        if not more:
            return bytes(body), None
        if len(table) >= TRANSFERS_MAX:
            if not self._gives_way:
                raise TableFull()
            del table[min(table, key=lambda other: table[other][1])]
        table[key] = [body, now_ms + TRANSFER_TIMEOUT_MS]
        response = Message(0, CONTINUE)
        response.add(BLOCK1, value)
        return None, response

    def forget(self):
        """The last block was answered: its upload cannot be restored any more."""
        self._last = None

    def restore(self):
        """The last block could not be handled: it is expected again."""
        if self._last and self._last[1]:
            self.transfers[self._last[0]] = self._last[1]


class Download:
    """The client's side of Block2: collects a body, block by block.

    `block2`: the Block2 value for the next request; None in the first, the server may choose.
    """

    def __init__(self, block2=None):
        self.block2 = block2
        self._body = bytearray()
        self._etag = None

    def feed(self, response):
        """The body when `response`, a 2.xx, completes it, else None: then ask on with `block2`.

        Raises `BlockMismatch` for a block that does not follow or when the body has changed
        (start again), `TooLarge`, or `BadMessage`.
        """
        value = response.option(BLOCK2)
        etag = response.option(ETAG)
        offset, more, szx = (0, False, 0) if value is None else _place(value, response.payload)
        body = self._body
        if offset != len(body) or (offset and etag != self._etag):
            raise BlockMismatch()
        if offset + len(response.payload) > BODY_BYTES_MAX:
            raise TooLarge()
        self._etag = etag
        body += response.payload
        if not more:
            return bytes(body)
        self.block2 = block_encode(len(body) >> (szx + 4), False, szx)
        return None


class Upload:
    """The client's side of Block1: cuts a body into blocks, smaller ones if the server asks."""

    def __init__(self, body, szx=BLOCK_SZX):
        self._body = body
        self._szx = szx
        self._offset = 0

    def next(self):
        """(Block1 value, payload) of the next request; the value is None for a body of one."""
        size = 16 << self._szx
        end = self._offset + size
        more = end < len(self._body)
        if not more and not self._offset:
            return None, self._body
        value = block_encode(self._offset // size, more, self._szx)
        return value, self._body[self._offset : end]

    def feed(self, response):
        """True when `response` is the final one, False when `next` has more to send.

        Raises `BlockMismatch` for an answer that does not fit the block sent, or `BadMessage`.
        """
        sent, payload = self.next()
        num, more, _ = block_decode(sent or b"")
        value = response.option(BLOCK1)
        answered, _, szx = block_decode(value or b"")
        if response.code == CONTINUE:
            if not more or value is None or answered != num or szx > self._szx:
                raise BlockMismatch()
            self._offset += len(payload)
            self._szx = szx
            return False
        if response.code == TOO_LARGE and value is not None and not num and szx < self._szx:
            self._szx = szx
            return False
        if more and response.code >> 5 == 2:
            raise BlockMismatch()
        return True
