"""Newer epochs: the capsule that many neighbours lack is broadcast once for all that hear it.

In the spirit of MPL (RFC 7731) and Deluge. A capsule proves itself by its signature. Its parts have
the MIC of the link key only, so a member can send wrong ones. The rules:

1. Every header carries an epoch. A node that hears a newer one broadcasts a WANT after a random
   time, unless another node asks for the same. The first WANT names the neighbour that is to
   answer. WANTs follow at growing intervals; from the `_PULL_AFTER`th on the capsule is also pulled
   from one neighbour, in a session (sync.py).
2. A node whose epoch has changed broadcasts the capsule in PARTs if neighbours need it for that
   (coverage.py). Who has more of them waits less, and a spreader, whom the gateway has chosen, does
   not wait for others. It tells the epoch in a HELLO, too, if it has a child that may lack it.
3. A node that hears a WANT or an older epoch broadcasts what follows that epoch, after a random
   time, without the parts that another node sends meanwhile.
4. The pause between rounds of parts on a link doubles until the own epoch changes, so a flood of
   WANTs costs little airtime.
5. One capsule is put together at a time. If it is refused, all that have sent parts of it are
   ignored until the epoch changes, and the capsule is pulled.
"""

from ..compat import const, random_bytes, sha256, unload
from ..errors import AlreadyKnown, BadFrame, RateLimited, Rejection, UnknownOrigin
from ..limits import (
    AMENDMENTS_MAX,
    FRAGMENT_COUNT_MAX,
    MESH_MESSAGE_BYTES_MAX,
    NEIGHBOURS_MAX,
    PART_SENDERS_MAX,
)
from .coverage import Coverage
from .fragment import Partial
from .frame import BROADCAST, CONTROL, HEADER_BYTES
from .outbox import patience_ms
from .permit import GOVERNANCE
from .routing import PART, WANT

# The bytes in front of the content of a control frame
_HEAD = const(3)
# In front of a part: the head of a fragment, and for one of several the start of the digest of all
_INDEX = const(2)
_TAG = const(2)
# The longest random wait, in times the patience for a receipt
_SPAN = const(12)
# Doublings of the pauses between WANTs, and between rounds of parts
_DOUBLINGS = const(6)
_PULL_AFTER = const(3)
# A HELLO tells children of the new epoch within Trickle's first interval, doubled so often
_ANNOUNCE = const(4)
# After so long without news no back-off is remembered
_IDLE_MS = const(3600000)
# With so many neighbours that need it a node sends a capsule first
_MANY = const(8)
# The SNR in dB of the best neighbour, and the range below it
_NEAR_DB = const(10)
_RANGE_DB = const(20)


def _share(span):
    # a random part of `span`
    return span * int.from_bytes(random_bytes(2), "big") >> 16


class Spread:
    """What one node lacks, and what it offers. mesh: the `Mesh`; epoch: the one that its neighbours
    were told of.

    A part of the mesh that is loaded when an epoch changes.
    """

    def __init__(self, mesh, epoch):
        self._mesh = mesh
        self._authority = mesh.authority
        self._links = mesh.links
        self._epoch = epoch
        self._idle_ms = None  # when this object is needed no more, if nothing happens
        # to send: the capsule that follows epoch `base`, for each link a bitmap of its parts
        self._base = 0
        self._capsule = b""
        self._owed = [0] * len(mesh.links)
        self._due_ms = [0] * len(mesh.links)
        self._quiet_ms = [0] * len(mesh.links)  # until then no round begins on the link
        self._rounds = [0] * len(mesh.links)
        self._asker = 0  # short address of the neighbour that lacks it; 0: it was not asked for
        self._coverage = Coverage(mesh)
        # to receive
        self._partial = None
        self._tag = b""
        self._part_ms = 0  # when the last new part came
        self._liars = []  # short addresses
        # to ask
        self._newest = 0  # low 8 bits of the newest epoch that was heard
        self._source = 0  # short address of a neighbour that has it
        self._link = 0
        self._want_ms = None
        self._wants = 0
        self._is_pull_due = False

    def _span_ms(self, link):
        return _SPAN * patience_ms(self._links[link])

    def heard(self, neighbour, frame, now_ms):
        """Take the epoch of an authentic frame, and what it says if it is a WANT or a PART.

        Raises a `Rejection` for a part or a capsule that is refused.
        """
        self._idle_ms = now_ms + _IDLE_MS
        kind = frame.payload[0] if frame.kind == CONTROL else 0
        content = frame.payload[_HEAD:]
        if kind == PART and self._epoch == self._authority.epoch:
            self._take_part(neighbour, content, now_ms)
        ahead = (frame.epoch - self._authority.epoch) & 255
        if 0 < ahead < 128:
            self._is_behind(neighbour, frame.epoch, ahead, now_ms)
        elif kind == WANT:
            self._take_want(neighbour, content, -ahead & 255, now_ms)
        elif ahead and kind != PART:
            self._answer(neighbour, b"", 256 - ahead, self._wait_ms(neighbour), now_ms)

    # --- to send ----------------------------------------------------------------------------------

    def _wait_ms(self, neighbour):
        # the better a neighbour is heard, the sooner it is answered
        span_ms = self._span_ms(neighbour.link) >> 2
        back_db = _NEAR_DB if neighbour.snr is None else _NEAR_DB - neighbour.snr
        return span_ms * min(max(back_db, 0), _RANGE_DB) // _RANGE_DB + _share(span_ms)

    def _take_want(self, neighbour, content, behind, now_ms):
        # content: who is to answer (2 bytes, 0 for all), then tag and bitmap of what is missing
        if len(content) not in (2, 5, 6, 7, 8):
            raise BadFrame()
        server = content[0] << 8 | content[1]
        missing = content[2:]
        if not behind:
            # one with the same epoch asks
            if self._want_ms is not None and self._covers(missing):
                self._asked(now_ms)
        elif server == self._authority.me.address:
            wait_ms = _share(patience_ms(self._links[neighbour.link]))
            self._answer(neighbour, missing, behind, wait_ms, now_ms)
        elif not server:
            self._answer(neighbour, missing, behind, self._wait_ms(neighbour), now_ms)

    def _answer(self, neighbour, missing, behind, wait_ms, now_ms):
        if behind > AMENDMENTS_MAX or behind >= self._epoch:
            return
        try:
            self._mesh.permit.roles(neighbour.address, now_ms)
        except UnknownOrigin:
            pass
        except Rejection:
            return
        self._asker = neighbour.address
        self._offer(neighbour.link, self._epoch - behind, missing, now_ms + wait_ms, now_ms)

    def _offer(self, link, base, missing, due_ms, now_ms):
        # send what follows epoch `base`: all of it, or what a WANT misses
        owed = self._owed
        if now_ms < self._quiet_ms[link] or (max(owed) and base != self._base):
            return
        if base != self._base or not self._capsule:
            from .brief import shorten

            self._base = base
            self._capsule = shorten(self._authority.capsule_for(base) or b"", base)
            unload("mesh.brief")
        count = self._count(link)
        size = len(self._capsule)
        if not 0 < size <= MESH_MESSAGE_BYTES_MAX or count > FRAGMENT_COUNT_MAX:
            # it is pulled on this link; another one may send it
            return
        if not owed[link]:
            self._due_ms[link] = due_ms
        parts = (1 << count) - 1
        if missing[:_TAG] == self._own_tag():
            parts &= int.from_bytes(missing[_TAG:], "little")
        owed[link] |= parts

    def _own_tag(self):
        return sha256(self._capsule)[:_TAG]

    def _tile(self, link):
        return self._links[link].mtu - HEADER_BYTES - _HEAD - _INDEX - _TAG

    def _count(self, link):
        return (len(self._capsule) + self._tile(link) - 1) // self._tile(link)

    def _count_needy(self, link):
        return self._coverage.count(link, self._epoch, self._asker)

    def _left_to(self, neighbour, index, now_ms):
        # another node sends this part of the capsule
        self._coverage.note(neighbour)
        link = neighbour.link
        if not self._owed[link]:
            return
        if self._asker:
            self._owed[link] &= ~(1 << index)
            wait_ms = patience_ms(self._links[link])
            wait_ms += _share(wait_ms)
            self._due_ms[link] = max(self._due_ms[link], now_ms + wait_ms)
        elif not self._count_needy(link):
            self._owed[link] = 0

    def _send_part(self, link, now_ms):
        missing = self._owed[link]
        if not self._count_needy(link):
            self._owed[link] = 0
            return
        index = 0
        while not missing >> index & 1:
            index += 1
        self._owed[link] = missing ^ 1 << index
        self._due_ms[link] = now_ms + patience_ms(self._links[link])
        if not self._owed[link]:
            self._rounds[link] = min(self._rounds[link] + 1, _DOUBLINGS)
        self._quiet_ms[link] = now_ms + (self._span_ms(link) << self._rounds[link])
        tile = self._tile(link)
        count = self._count(link)
        head = (self._base & 63) << 10 | index << 5 | count - 1
        content = head.to_bytes(_INDEX, "big") + (self._own_tag() if count > 1 else b"")
        content += self._capsule[index * tile : index * tile + tile]
        self._broadcast(link, PART, content, now_ms)

    def _broadcast(self, link, kind, content, now_ms):
        mesh = self._mesh
        route = mesh.permit.route(GOVERNANCE)
        mesh.permit.check_own(route, True, self._links[link].kind, now_ms)
        mesh.outbox.send_first(link, GOVERNANCE, CONTROL, BROADCAST, bytes((kind,)) + content)

    # --- to receive -------------------------------------------------------------------------------

    def _take_part(self, neighbour, content, now_ms):
        head = int.from_bytes(content[:_INDEX], "big")
        number = head >> 10
        index = head >> 5 & 31
        count = (head & 31) + 1
        tag = content[_INDEX : _INDEX + _TAG] if count > 1 else b""
        piece = content[_INDEX + len(tag) :]
        if not piece or index >= count:
            raise BadFrame()
        tag = tag or sha256(piece)[:_TAG]
        if self._capsule and number == self._base & 63 and tag == self._own_tag():
            self._left_to(neighbour, index, now_ms)
        if number != self._epoch & 63 or neighbour.address in self._liars:
            return
        span_ms = self._span_ms(neighbour.link)
        partial = self._partial
        if partial is None or tag != self._tag or count != partial.count:
            if partial:
                if now_ms - self._part_ms < span_ms:
                    return
                # it has stalled
                self._wants += 1
            partial = self._partial = Partial(number, count)
            self._tag = tag
            self._coverage.clear()
        if not partial.put(index, piece):
            return
        self._part_ms = now_ms
        self._coverage.note(neighbour)
        if partial.missing:
            if not self._wants:
                self._link = neighbour.link
                self._want_ms = now_ms + (span_ms >> 1) + _share(span_ms >> 1)
            return
        self._partial = None
        self._complete(partial.take(), neighbour.address, now_ms)

    def _complete(self, form, address, now_ms):
        from .brief import restore

        unload("mesh.brief")
        authority = self._authority
        try:
            raw = restore(form, self._epoch, authority.head)
            authority.receive(raw, now_ms, "mesh:%04x" % address)
        except (AlreadyKnown, RateLimited):
            raise
        except Rejection:
            # its sender is the last of them, unless there were too many
            self._liars = (self._coverage.senders[::-1] + self._liars)[:PART_SENDERS_MAX]
            if address not in self._liars:
                self._liars[0] = address
            self._wants = max(self._wants, _PULL_AFTER)
            self._pull()
            raise
        # what is known of its senders is kept
        self._base = self._epoch

    # --- to ask -----------------------------------------------------------------------------------

    def _is_behind(self, neighbour, epoch, ahead, now_ms):
        address = neighbour.address
        if address in self._liars:
            return
        newer = self._mesh.newer
        if self._is_pull_due or ahead > AMENDMENTS_MAX or self._mesh.routing.is_leaf:
            # no amendments reach so far, or it sleeps soon
            if address in newer or len(newer) < NEIGHBOURS_MAX:
                newer[address] = epoch
                self._is_pull_due = False
        if ahead <= AMENDMENTS_MAX:
            self._newest = epoch
            self._source = address
            self._link = neighbour.link
            if self._want_ms is None:
                span_ms = self._span_ms(neighbour.link)
                self._want_ms = now_ms + (span_ms >> 2) + _share(span_ms >> 1)

    def _covers(self, missing):
        # whether a WANT for this asks for all that this node misses
        if not missing:
            return True
        partial = self._partial
        asked = int.from_bytes(missing[_TAG:], "little")
        return partial and missing[:_TAG] == self._tag and not partial.missing & ~asked

    def _asked(self, now_ms):
        self._wants = min(self._wants + 1, _DOUBLINGS)
        wait_ms = self._span_ms(self._link) >> 1 << self._wants
        self._want_ms = now_ms + (wait_ms >> 1) + _share(wait_ms)
        if self._wants >= _PULL_AFTER:
            self._pull()

    def _pull(self):
        # from the neighbour that is known, or from the next one that has it
        self._is_pull_due = not self._source or self._source in self._liars
        if not self._is_pull_due:
            self._mesh.newer[self._source] = self._newest

    def _is_lacking(self):
        return 0 < (self._newest - self._epoch) & 255 <= AMENDMENTS_MAX

    def _want(self, now_ms):
        partial = self._partial
        if partial is None and not self._is_lacking():
            self._want_ms = None
            return
        server = 0 if self._wants else self._source
        self._asked(now_ms)
        content = server.to_bytes(2, "big")
        if partial:
            # the last part is missing more often than not, so zero bytes are left out at the end
            missing = partial.missing.to_bytes(4, "little").rstrip(b"\0")
            content += self._tag + missing
        self._broadcast(self._link, WANT, content, now_ms)

    # --- time -------------------------------------------------------------------------------------

    def _moved(self, now_ms):
        # the own epoch has changed
        self._idle_ms = now_ms + _IDLE_MS
        base, self._epoch = self._epoch, self._authority.epoch
        mesh = self._mesh
        mesh.newer.clear()
        if self._coverage.is_needed(self._epoch):
            mesh.routing.trickle.hasten(now_ms, _ANNOUNCE)
        if self._base != base:
            # it came by another way
            self._coverage.clear()
        self._capsule = b""
        for of_links in (self._owed, self._quiet_ms, self._rounds):
            for link in range(len(self._links)):
                of_links[link] = 0
        self._wants = self._asker = 0
        self._partial = None
        self._liars = []
        self._is_pull_due = False
        self._want_ms = None
        if self._is_lacking():
            self._want_ms = now_ms + _share(self._span_ms(self._link) >> 2)
        for link in range(len(self._links)):
            count = min(self._count_needy(link), _MANY)
            if count:
                if mesh.is_spreader:
                    count = _MANY
                span_ms = self._span_ms(link)
                wait_ms = span_ms * (_MANY - count) // _MANY + _share(span_ms >> 2)
                self._offer(link, base, b"", now_ms + wait_ms, now_ms)

    def is_idle(self, now_ms):
        """Whether all that this object remembers is of no use any more."""
        if self._epoch != self._authority.epoch or max(self._owed) or self._want_ms is not None:
            return False
        if not (max(self._rounds) or self._wants or self._liars):
            # no back-off, and no sender to ignore
            return self._partial is None
        return now_ms >= max(self._idle_ms or 0, max(self._quiet_ms))

    def tick(self, now_ms):
        """Send what is due. Raises a `Rejection` for a frame that the policy refuses."""
        if self._epoch != self._authority.epoch:
            self._moved(now_ms)
        for link in range(len(self._links)):
            if self._owed[link] and now_ms >= self._due_ms[link]:
                self._send_part(link, now_ms)
        if self._capsule and not max(self._owed):
            self._capsule = b""
        if self._want_ms is not None and now_ms >= self._want_ms:
            self._want(now_ms)

    def next_ms(self, now_ms):
        """Milliseconds until `tick` has something to do, or None for never."""
        times = [self._due_ms[link] for link in range(len(self._links)) if self._owed[link]]
        if self._want_ms is not None:
            times.append(self._want_ms)
        return max(0, min(times) - now_ms) if times else None
