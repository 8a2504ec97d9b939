"""Fragments: one message to one neighbour, in tiles, over frames that may be lost or repeated.

Selective repeat with a bitmap, in the spirit of SCHC ACK-on-Error (RFC 8724, section 8.4.3). The
rules, with the numbers of limits.py:

1. A fragment is 2 bytes and a tile: message number (6 bits), index (5 bits), count - 1 (5 bits).
   All tiles but the last have one size.
2. The sender sends all tiles, in order: the first round. Then it waits for an acknowledgement.
3. The receiver acknowledges a tile if it misses none of a higher index, or if the tile is here
   already. So the last tile of a round asks for the acknowledgement, and so does its repetition.
4. An acknowledgement is the message number (1 byte) and a bitmap of the missing tiles, bit 0 of
   its first byte for tile 0, without the zero bytes at its end: none for a complete message.
5. The next round has the missing tiles. After a silence the sender repeats the last tile of the
   round; it waits longer for the answer each time, by a random part.
6. The sender gives up after FRAGMENT_TRIES_MAX silences without progress, after FRAGMENT_SENDS_MAX
   frames for each tile and each try, or after its time.
7. The receiver has one message under way of each source. A new number replaces it. A tile that
   contradicts the first ones is refused and changes nothing. The receiver remembers the last
   complete message of a source, delivers it once, and acknowledges it again FRAGMENT_TRIES_MAX
   times.

Frames are authentic before they come here; those of nodes without a link key have a table of their
own. Sans-IO: times are milliseconds that only grow.
"""

from ..compat import random_bytes
from ..errors import BadMessage, TableFull, UsageError
from ..limits import (
    FRAGMENT_COUNT_MAX,
    FRAGMENT_SENDS_MAX,
    FRAGMENT_TRIES_MAX,
    MESH_MESSAGE_BYTES_MAX,
    REASSEMBLIES_MAX,
)


class Sender:
    """One message on its way to one neighbour.

    number: 0..63, not that of the message before; message: 1 to MESH_MESSAGE_BYTES_MAX bytes;
    room: the bytes of a frame for head and tile; ack_ms: from the last frame of a round to its
    repetition, longer than that frame and an acknowledgement take on air; timeout_ms: from the
    first frame to the end. Raises `UsageError`, also for a message of too many tiles.
    """

    def __init__(self, number, message, room, ack_ms, timeout_ms):
        tile = room - 2
        if not 0 <= number < 64 or not 0 < len(message) <= MESH_MESSAGE_BYTES_MAX or tile < 1:
            raise UsageError("number, size or room of a fragmented message")
        count = (len(message) + tile - 1) // tile
        if count > FRAGMENT_COUNT_MAX:
            raise UsageError("a message of too many tiles")
        self.is_done = False  # the neighbour has all of it
        self.is_failed = False  # given up
        self.is_repeated = False  # the last frame was sent because no acknowledgement had come
        self._number = number
        self._message = message
        self._tile = tile
        self._count = count
        self._ack_ms = ack_ms
        self._timeout_ms = timeout_ms
        self._end_ms = 0  # 0: no frame was sent yet
        self._due_ms = 0  # of the next try, if the round is over
        # bitmaps: tiles that the neighbour misses as far as known, and those to send in this round
        self._missing = self._round = (1 << count) - 1
        self._tries = 0
        self._sends = FRAGMENT_SENDS_MAX * (count + FRAGMENT_TRIES_MAX)

    def next_frame(self, now_ms):
        """The fragment to send now (bytes), or None. Sets `is_failed` when it gives up.

        Call it when the link can send: the time for the acknowledgement begins here, and anew
        with `left`.
        """
        if self.is_done or self.is_failed:
            return None
        if not self._end_ms:
            self._end_ms = now_ms + self._timeout_ms
        if now_ms >= self._end_ms or not self._sends:
            self.is_failed = True
            return None
        index = 0
        self.is_repeated = not self._round
        if self._round:
            while not self._round >> index & 1:
                index += 1
            self._round ^= 1 << index
        else:
            if now_ms < self._due_ms:
                return None
            if self._tries >= FRAGMENT_TRIES_MAX:
                self.is_failed = True
                return None
            self._tries += 1
            while self._missing >> index > 1:
                index += 1
        self.left(now_ms)
        self._sends -= 1
        head = self._number << 10 | index << 5 | self._count - 1
        start = index * self._tile
        return head.to_bytes(2, "big") + self._message[start : start + self._tile]

    def left(self, now_ms):
        """Begin the time for the acknowledgement, if the last frame of a round has left."""
        if not self._round:
            # longer with each silence, by chance: two nodes that send each other fragments at one
            # time hear neither
            more_ms = self._ack_ms * self._tries
            self._due_ms = now_ms + self._ack_ms + (more_ms * random_bytes(1)[0] >> 8)

    def acknowledged(self, payload, now_ms):
        """Take an acknowledgement (bytes); one of another message or round changes nothing.

        Raises `BadMessage`.
        """
        size = len(payload)
        if not 0 < size < 6 or payload[0] > 63 or (size > 1 and not payload[-1]):
            raise BadMessage()
        missing = int.from_bytes(payload[1:], "little")
        if payload[0] != self._number or self.is_failed:
            return
        if missing >> self._count:
            raise BadMessage()
        if not missing:
            self.is_done = True
        elif not self._round and missing != self._missing:
            # fewer tiles are progress; others mean that the receiver has forgotten the message
            self._tries = self._tries + 1 if missing & ~self._missing else 0
            self._missing = self._round = missing

    def next_ms(self, now_ms):
        """Milliseconds until `next_frame` has something to do, or None after the end."""
        if self.is_done or self.is_failed:
            return None
        if self._round:
            return 0
        return max(0, min(self._due_ms, self._end_ms) - now_ms)


class Partial:
    """A message of `count` tiles (1..32) under way, or complete: then it holds no tiles.

    missing: bitmap of the tiles that are not here.
    """

    def __init__(self, number, count):
        self.number = number
        self.count = count
        self.missing = (1 << count) - 1
        self.acks = FRAGMENT_TRIES_MAX  # acknowledgements left until a new tile comes
        self.expires_ms = 0
        self._tile = 0  # bytes of each tile but the last; 0: none is here
        self._tiles = b""  # all of them but the last
        self._last = b""

    def put(self, index, piece):
        """Whether this tile is a new one. Raises `BadMessage`, and changes nothing then."""
        count = self.count
        size = len(piece)
        is_last = index == count - 1
        # as they would be with this tile; 0 for unknown
        tile = self._tile or (0 if is_last else size)
        last = size if is_last else len(self._last)
        if (
            (not is_last and size != tile)
            or (is_last and self._last and size != len(self._last))
            or (tile and last > tile)
            or (count - 1) * (tile or 1) + (last or 1) > MESH_MESSAGE_BYTES_MAX
        ):
            raise BadMessage()
        if not self.missing >> index & 1:
            return False
        if is_last:
            self._last = piece
        else:
            if not self._tile:
                self._tiles = bytearray((count - 1) * size)
                self._tile = size
            self._tiles[index * size : index * size + size] = piece
        self.missing ^= 1 << index
        return True

    def take(self):
        """The complete message as bytes, which are not held here any more."""
        whole = bytes(self._tiles) + self._last
        self._tiles = self._last = b""
        return whole

    def acknowledgement(self):
        """Bytes to send, or None where enough were sent since the last new tile."""
        if not self.acks:
            return None
        self.acks -= 1
        return bytes((self.number,)) + self.missing.to_bytes(4, "little").rstrip(b"\0")


def _idlest(table):
    return min(table, key=lambda source: table[source].expires_ms)


class Reassembly:
    """The messages that arrive: one under way of each source, `size` at most.

    timeout_ms: from the last new tile of a message until it is forgotten, and as long for a
    complete one; longer than a sender goes on. While the table is full, a source without a place
    in it evicts the message that had no new tile for the longest time, if that is a tenth of
    timeout_ms or more; else it gets `TableFull`.
    """

    def __init__(self, timeout_ms, size=REASSEMBLIES_MAX):
        self._timeout_ms = timeout_ms
        self._size = size
        # source -> Partial: one under way, and the last complete one
        self._messages = {}
        self._complete = {}

    def __len__(self):
        return len(self._messages)

    def receive(self, source, payload, now_ms):
        """(message or None, acknowledgement or None), both bytes, for a fragment.

        source: any hashable value. Raises `BadMessage` or `TableFull`, and changes nothing then.
        """
        if len(payload) < 3:
            raise BadMessage()
        head = payload[0] << 8 | payload[1]
        number = head >> 10
        index = head >> 5 & 31
        count = (head & 31) + 1
        if index >= count:
            raise BadMessage()
        self.expire(now_ms)
        complete = self._complete.get(source)
        if complete and complete.number == number and complete.count == count:
            return None, complete.acknowledgement()
        messages = self._messages
        message = messages.get(source)
        idle = source
        if message is None and len(messages) >= self._size:
            idle = _idlest(messages)
            # half messages of a liar would hold all places for the whole time
            if messages[idle].expires_ms - now_ms > self._timeout_ms * 9 // 10:
                raise TableFull()
        if message is None or message.number != number:
            message = Partial(number, count)
        elif message.count != count:
            raise BadMessage()
        is_new = message.put(index, payload[2:])
        messages.pop(idle, None)
        messages[source] = message
        if is_new:
            message.acks = FRAGMENT_TRIES_MAX
            message.expires_ms = now_ms + self._timeout_ms
            if message.missing >> index:
                return None, None
            if not message.missing:
                whole = message.take()
                del messages[source]
                self._remember(source, message)
                return whole, bytes((number,))
        return None, message.acknowledgement()

    def _remember(self, source, message):
        table = self._complete
        if source not in table and len(table) >= self._size:
            del table[_idlest(table)]
        table[source] = message

    def expire(self, now_ms):
        """Forget what has had no new tile for its time; `receive` does so too."""
        for table in (self._messages, self._complete):
            for source in list(table):
                if table[source].expires_ms <= now_ms:
                    del table[source]


def end_of(payload):
    """The acknowledgement (bytes) that ends the message of a fragment: nothing of it is missing."""
    return bytes((payload[0] >> 2,)) if payload else b""
