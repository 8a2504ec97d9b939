"""Nodes of one scope on a network in memory, which may lose, repeat or alter datagrams."""

import signer
from fakeflash import MemoryFlash

from writ import crypto
from writ.authority import capsule
from writ.authority.store import Store
from writ.node.node import Node
from writ.wire import coap

# Roles of the test scope
GATEWAY = 2
SENSOR = 4
GUEST = 8

# The rules of the first policy: gateways read and set resources of sensors, all read "hello".
RULES = ([2, 4, "temp", 3], [2, 4, "big", 3], [1, 1, "hello", 1])
EXPIRES = signer.EXPIRES


def private(name):
    """The P-256 private key of the test node with this name."""
    return crypto.sha256(name.encode())


_raws = {}


def _certified(payload):
    # signing with plain integers is slow: sign each payload once
    if payload not in _raws:
        if len(_raws) > 12:
            _raws.clear()
        _raws[payload] = signer.certify(payload)
    return _raws[payload]


def member(name, number, roles, exp=EXPIRES, key=None):
    """A certified member capsule (bytes); number: its short address."""
    x, odd = crypto.p256_public(private(key or name))
    return _certified(signer.member_payload(x, name, number, roles, exp, odd=odd))


def policy(epoch=1, previous=None, rules=RULES, revoked=()):
    """A certified whole policy (bytes); previous: the raw policy before it."""
    head = signer.charter_head() if previous is None else head_of(previous)
    return _certified(signer.policy_payload(epoch, head, rules, revoked=revoked))


def amendment(epoch, previous, *ops):
    """A certified amendment (bytes); previous: the head before it."""
    return _certified(signer.amendment_payload(epoch, previous, *ops))


def head_of(raw):
    """The head of a capsule's payload."""
    return capsule.head(capsule.parse(raw).payload)


def node_id(name):
    """The node id of the test node with this name."""
    return capsule.node_id(crypto.p256_public(private(name))[0])


def start(name, flash):
    """A node started from the content of its flash."""
    return Node(Store(flash), private(name), name, signer.scope())


def make(name, number, roles, raw_policy=None, exp=EXPIRES, flash=None):
    """A provisioned node; raw_policy: bytes, the first policy by default, False for none."""
    node = start(name, flash or MemoryFlash())
    node.authority.receive(signer.charter(), 0)
    node.authority.receive(member(name, number, roles, exp), 0)
    if raw_policy is not False:
        node.authority.receive(raw_policy or policy(), 0)
    return node


class Net:
    """A network of nodes by address. A datagram takes 5 ms.

    change: function of (source, target, data) that returns the list of datagrams that arrive.
    log: every (source, target, data) that was sent; clear it if the heap is small.
    """

    def __init__(self, **nodes):
        self.nodes = nodes
        self.now_ms = 1000
        self.queue = []
        self.log = []
        self.change = None

    def send(self, source, datagrams):
        """Queue the datagrams that the node at `source` sends."""
        for target, data in datagrams:
            self.log.append((source, target, data))
            for changed in self.change(source, target, data) if self.change else (data,):
                self.queue.append((source, target, changed))

    def inject(self, source, target, data):
        """Deliver a datagram with a forged `source`; the datagrams that `target` sends."""
        out = self.nodes[target].receive(data, source, self.now_ms)
        self.send(target, out)
        return out

    def run(self, ms=0):
        """Deliver all datagrams, and run all timers that are due within `ms` milliseconds."""
        end_ms = self.now_ms + ms
        while True:
            while self.queue:
                source, target, data = self.queue.pop(0)
                self.now_ms += 5
                if target in self.nodes:
                    self.inject(source, target, data)
            wait_ms = None
            for address, node in self.nodes.items():
                self.send(address, node.tick(self.now_ms))
                due_ms = node.next_ms(self.now_ms)
                if due_ms is not None and (wait_ms is None or due_ms < wait_ms):
                    wait_ms = due_ms
            if self.queue or wait_ms == 0:
                continue
            if wait_ms is None or self.now_ms + wait_ms > end_ms:
                self.now_ms = max(self.now_ms, end_ms)
                return
            self.now_ms += wait_ms

    def call(self, source, target, path, method=coap.GET, payload=b"", **more):
        """Send a call without delivering it; the list to which its answers are added."""
        answers = []
        node = self.nodes[source]
        self.send(source, node.tick(self.now_ms))
        out = node.request(method, path, payload, address=target, on_answer=answers.append, **more)
        self.send(source, out)
        return answers

    def ask(self, source, target, path, method=coap.GET, payload=b"", ms=0, **more):
        """Make a call; its only answer."""
        answers = self.call(source, target, path, method, payload, **more)
        self.run(ms)
        assert len(answers) == 1, [answer.code for answer in answers]
        return answers[0]


def serve(node):
    """Give a node the resources of the test scope; the list to which their calls are added."""
    calls = []

    @node.resource("temp", methods=("GET", "POST"))
    def temp(request):
        calls.append((request.path, request.method, request.payload))
        return b"21.5"

    @node.resource("big", methods=("GET", "POST"))
    def big(request):
        calls.append((request.path, request.method, request.payload))
        return bytes(range(200)) * 4 if request.method == coap.GET else b"taken"

    @node.resource("hello")
    def hello(request):
        calls.append((request.path, request.method, request.payload))
        return request.peer.name

    return calls


def field(**more):
    """(net, calls): a gateway at "gw" and a sensor at "soil"; more: other nodes by address."""
    soil = make("soil", 2, SENSOR)
    calls = serve(soil)
    return Net(gw=make("gw", 1, GATEWAY), soil=soil, **more), calls


def code(answer):
    """The answer's code as text, or the name of the rejection that ended the call."""
    if answer.rejection:
        return type(answer.rejection).__name__
    return coap.code_text(answer.code)


def datagram(kind, code, raw, mid=0, token=b"\x01", options=()):
    """An unprotected datagram with these fields."""
    message = coap.Message(kind, code, mid, token, raw)
    for number, value in options:
        message.add(number, value)
    return message.encode()
