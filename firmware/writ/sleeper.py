"""The order in which a node of a mesh comes to rest, from its last message to its sleep.

A part of agent.py that is loaded while a member is about to sleep:

1. What the node sends is sent and acknowledged, and its requests have their answers.
2. POLL tells the parent (mesh/mailbox.py) that the node listens; the receipt says how many messages
   follow. A request among them may be followed by others: the node listens for its window.
3. A newer epoch in the header of a receipt is pulled, and a stale link key replaced, as ever.
4. The node sleeps after a receipt that says that no message follows, with nothing left to do.
"""

from .compat import const, random_bytes
from .errors import Rejection
from .limits import AWAKE_PLAIN_MAX
from .mesh.permit import GOVERNANCE, class_of
from .mesh.poll import poll

# A window has this length at least: a peer may compute for a second before its next message
_WINDOW_MS = const(2000)
# A POLL that could not be sent is tried again after so long
_AGAIN_MS = const(1000)


class Sleeper:
    """Decides when a node may sleep. frames: its `FrameLinks`; sleep_s: for how long, an int;
    end_ms: when it sleeps in any case.

    waiting: messages that the parent has announced and that have not come; None as long as the
    parent must be asked.
    """

    def __init__(self, frames, sleep_s, end_ms):
        self._frames = frames
        self._sleep_s = sleep_s
        self._end_ms = end_ms
        self._poll = None  # the `Poll` under way
        self._asked_ms = None  # when the last one ended, or the order began
        self._quiet_ms = 0  # until then a request may follow
        self._again_ms = 0
        self._plain = 0  # requests without protection that have come
        self._has_parent = False
        self.waiting = None

    def window_ms(self):
        """How long the node listens after each frame: a message of a gateway, and one more try."""
        return max(_WINDOW_MS, 2 * self._frames.mesh.patience_ms())

    def heard(self, datagram, now_ms):
        """Note a datagram that the mesh has brought."""
        self._take_receipt(now_ms)
        if self.waiting:
            self.waiting = self.waiting - 1 or None
        if 0 < datagram[1] < 32:
            if class_of(datagram) == GOVERNANCE:
                self._plain += 1
                if self._plain > AWAKE_PLAIN_MAX:
                    return
            self._quiet_ms = now_ms + self.window_ms()

    def _take_receipt(self, now_ms):
        if self._poll and self._poll.is_done:
            self.waiting = self._poll.waiting
            self._asked_ms = now_ms
            self._poll = None

    def _is_polling(self):
        transfers = self._frames.mesh.outbox.transfers
        return bool([one for one in transfers if one.parts is self._poll])

    def _is_idle(self, now_ms):
        frames = self._frames
        sending = [link for link in frames.links if link.is_sending(now_ms)]
        if sending or frames.mesh.outbox.next_ms(now_ms) is not None or frames.is_asking(now_ms):
            return False
        return frames.node.is_idle()

    def is_ready(self, now_ms):
        """Whether to sleep now: nothing is left to do, or its time is over."""
        if now_ms >= self._end_ms:
            return True
        return self.waiting == 0 and self._is_idle(now_ms)

    def tick(self, now_ms):
        """Poll the parent where that is due."""
        if self._asked_ms is None:
            self._asked_ms = now_ms
        self._take_receipt(now_ms)
        mesh = self._frames.mesh
        if self._poll and self._is_polling():
            return
        self._poll = None
        if not mesh.routing or not mesh.routing.parents:
            if self._has_parent:
                # its link key may be stale: this is found out before anything else
                self._has_parent = False
                self._frames.lose_way()
            return
        self._has_parent = True
        self._show_way(now_ms)
        is_idle = self._is_idle(now_ms)
        if self.waiting == 0:
            if is_idle:
                return
            # what the node sends opens its window at the parent again
            self.waiting = None
        heard_ms = max(self._asked_ms, mesh.routing.parents[0].heard_ms)
        if (self.waiting or not is_idle) and now_ms < heard_ms + self.window_ms():
            return
        if now_ms < max(self._quiet_ms, self._again_ms):
            return
        self.waiting = None
        self._again_ms = now_ms + _AGAIN_MS
        try:
            self._poll = poll(mesh, self.window_ms(), self._sleep_s)
        except Rejection as rejection:
            self._frames.node.count(rejection)

    def _show_way(self, now_ms):
        # requests must be at the present parent. A gateway learns the way back from any message of
        # class 0, such as an acknowledgement of nothing
        frames, routing = self._frames, self._frames.mesh.routing
        way = routing.gateway, routing.parents[0].address
        if way != frames.shown and not frames.mesh.join.is_joining():
            frames.shown = way
            nothing = b"\x60\0" + random_bytes(2)
            frames.mesh.send("mesh:%04x" % routing.gateway, nothing, now_ms)
