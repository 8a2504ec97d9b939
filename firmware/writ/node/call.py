"""One request to another node, and its answer."""

from ..wire import coap
from ..wire.blockwise import Download, Upload
from .context import PREFIX


class Answer:
    """The result of a call. code: CoAP code, or 0 with `rejection` set where no answer came.

    payload: bytes; peer: `Member` who answered; observe: notification number or None.
    """

    def __init__(self, code, payload=b"", peer=None, observe=None, rejection=None):
        self.code = code
        self.payload = payload
        self.peer = peer
        self.observe = observe
        self.rejection = rejection

    def is_success(self):
        """Whether the answer's class is 2.xx."""
        return self.code >> 5 == 2


class Call:
    """One request under way. `on_answer(answer)` is called once, or for each notification."""

    def __init__(self, address, wanted, method, path, query, payload, observe, on_answer):
        self.address = address
        self.wanted = wanted  # node id that must answer, or None
        self.method = method
        self.path = path
        self.query = query
        self.observe = observe  # None, True while observing, False to deregister
        self.on_answer = on_answer
        self.payload = payload
        self.tries = 0
        self.echo = None  # the Echo value that the peer wants to see, or None
        self.by_value = False  # whether its session began with our capsule by value
        self.by_kid = True  # whether a known peer may identify itself by its kid
        # of an established observation: (address, token), and the newest notification's number
        self.observation = None
        self.number = None
        # when an observation that was refused is registered again, and the pause before the next
        # time (ms)
        self.ready_ms = self.pause_ms = 0
        self.begin()

    def begin(self):
        """Begin the transfer anew, in blocks or not."""
        self.upload = Upload(self.payload)
        self.download = Download()

    def may_repeat(self):
        """Whether the last message may be sent again in another session.

        An unprotected refusal may be forged, and the request may have been executed: a POST or
        PATCH is then repeated by the caller alone. A block that is not the last one has no effect
        yet; a capsule or a statement has the same effect twice as once.
        """
        block1, _ = self.upload.next()
        more = block1 is not None and block1[-1:] and block1[-1] & 8
        is_same = self.method not in (coap.POST, coap.PATCH, coap.IPATCH)
        return more or is_same or (self.path + "/").startswith(PREFIX + "/")
