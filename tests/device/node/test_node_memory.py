"""A full heap costs one message: what is answered is right, and what is not can be repeated."""

import gc

import vectors_node
from harness import raises
from node_peer import Call, load

from writ import compat, crypto
from writ.wire import coap
from writ.wire.blockwise import block_encode

# Steps of a request that need heap, each with the primitive that it calls
PLACES = ("sha256", "aes_ccm_decrypt", "aes_ccm_encrypt")


class Full:
    """`with Full(name, at):` the heap is full at that call of a primitive, once."""

    def __init__(self, name, at):
        self.name = name
        self.left = at

    def __enter__(self):
        self.plain = getattr(crypto, self.name)
        setattr(crypto, self.name, self._call)
        return self

    def _call(self, *arguments):
        self.left -= 1
        if self.left == -1:
            raise MemoryError()
        return self.plain(*arguments)

    def __exit__(self, kind, error, trace):
        setattr(crypto, self.name, self.plain)


class Ballast:
    """`with Ballast(free):` the heap has about so many bytes left."""

    # made once: later the heap may have no piece that is so large
    blocks = [None] * 400

    def __init__(self, free):
        gc.collect()
        at = 0
        for size in (1024, 256, 64):
            try:
                while gc.mem_free() > free + size and at < 400:
                    self.blocks[at] = bytearray(size)
                    at += 1
            except MemoryError:
                # no hole of that size is left
                pass

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for i in range(len(self.blocks)):
            self.blocks[i] = None
        gc.collect()


class Peer(Call):
    """A member whose datagrams can be sent again, and the calls of the resource."""

    def __init__(self):
        Call.__init__(self, load({}), vectors_node.GATEWAY)
        self.bodies = []
        resource = self.node.server.resources["t"]

        def serve(request):
            self.bodies.append(request.payload)
            return b"21.5"

        resource.function = serve
        self.start()
        self.request(coap.GET)

    def make(self, method, payload=b"", block=None):
        """(datagram, binding) of a protected request."""
        message = coap.Message(coap.CON, method, payload=payload)
        message.add_path("t")
        if block is not None:
            message.add(coap.BLOCK1, block)
        message, binding = self.context.protect_request(message)
        self.mid += 1
        message.mid = self.mid
        return message.encode(), binding

    def deliver(self, data):
        """The datagrams with which the node answers."""
        return [reply for _, reply in self.node.receive(data, "g", 1000)]

    def code(self, replies, binding):
        """The code of the answer."""
        message, _ = self.context.unprotect_response(coap.decode(replies[0]), binding)
        return message.code


_made = []


def opened():
    """The one `Peer` of all tests: a heap that keeps an old one has no room for another."""
    if not _made:
        _made.append(Peer())
    return _made[0]


def repeated(peer, scarce, data, binding, code):
    """Whether the first delivery was answered; the answer is `code`, at once or when repeated."""
    try:
        with scarce:
            replies = peer.deliver(data)
        answered = True
    except MemoryError:
        replies = peer.deliver(data)
        answered = False
    assert peer.code(replies, binding) == code, (answered, code)
    # once it is answered, it is never carried out again
    assert peer.deliver(data) == replies
    return answered


def transfer(peer, scarcity):
    """One GET, one POST and an upload of three blocks, each with a heap that is full somewhere."""
    lost = 0
    peer.bodies.clear()
    for method, payload, block, code in (
        (coap.GET, b"", None, coap.CONTENT),
        (coap.POST, b"on", None, coap.CHANGED),
        (coap.POST, b"a" * 64, block_encode(0, True, 2), coap.CONTINUE),
        (coap.POST, b"b" * 64, block_encode(1, True, 2), coap.CONTINUE),
        (coap.POST, b"end", block_encode(2, False, 2), coap.CHANGED),
    ):
        data, binding = peer.make(method, payload, block)
        lost += not repeated(peer, scarcity(), data, binding, code)
    assert peer.bodies[-1] == b"a" * 64 + b"b" * 64 + b"end"
    assert "Replayed" not in peer.node.counters and "ResourceFailed" not in peer.node.counters
    return lost


def test_a_heap_that_is_full_at_any_step_costs_no_request():
    peer = opened()
    for name in PLACES:
        at = 0
        while transfer(peer, lambda place=name, number=at: Full(place, number)):
            at += 1
        assert at >= 1, name
    assert len(peer.node.sessions) == 1


def test_a_heap_that_gets_smaller_and_smaller_costs_no_request():
    if not compat.MICROPYTHON:
        # only there a heap has a size
        return
    peer = opened()
    lost = []
    for free in range(12000, 0, -500):
        lost.append(transfer(peer, lambda room=free: Ballast(room)))
    assert min(lost) < 3 and max(lost) >= 3, lost
    assert len(peer.node.sessions) == 1


def test_a_resource_without_memory_is_no_resource_that_failed():
    peer = opened()

    def hungry(request):
        raise MemoryError()

    plain = peer.node.server.resources["t"].function
    peer.node.server.resources["t"].function = hungry
    data, binding = peer.make(coap.GET)
    raises(MemoryError, peer.deliver, data)
    peer.node.server.resources["t"].function = plain
    assert peer.code(peer.deliver(data), binding) == coap.CONTENT
