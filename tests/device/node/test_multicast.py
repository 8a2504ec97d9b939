"""Requests to a group of nodes: when, how often and to what a node answers."""

from node_peer import load

from writ.authority.capsule import node_id
from writ.limits import GROUP_ANSWER_BURST, GROUP_ANSWERS_MAX
from writ.node.multicast import MulticastServer
from writ.wire import coap
from writ.wire.coap import Message

CORE = ".well-known/core"


class Link:
    """What a link knows of its last datagram."""

    def __init__(self, is_group):
        self.is_group = is_group


GROUP, DIRECT, UNKNOWN = Link(True), Link(False), None
FLOOD = "RateLimited"


def request(path=CORE, kind=coap.NON, method=coap.GET, query=(), token=b"abc"):
    """A request to a group (bytes)."""
    message = Message(kind, method, 7, token)
    message.add_path(path)
    for item in query:
        message.add(coap.URI_QUERY, item)
    return message.encode()


def made():
    """(a gateway, its server for groups)."""
    node = load({})
    return node, MulticastServer(node)


def answers(server, now_ms=6000):
    """The messages that are sent until `now_ms`: [(address, Message)]."""
    return [(address, coap.decode(data)) for address, data in server.tick(now_ms)]


def test_the_answer_names_the_scope_and_leaves_after_a_leisure():
    node, server = made()
    assert server.next_ms(0) is None
    assert server.receive(request(), "10.0.0.9:1", GROUP, 1000)
    assert 0 <= server.next_ms(1000) <= 5000
    ((address, message),) = answers(server)
    assert address == "10.0.0.9:1"
    assert (message.type, message.code, message.token) == (coap.NON, coap.CONTENT, b"abc")
    scope, own = node.authority.scope.hex(), node_id(node.authority.own_x).hex()
    link = '</writ>;rt="writ";scope="' + scope + '";ep="' + own + '"'
    assert link in message.payload.decode()
    assert server.next_ms(6000) is None and answers(server) == []


def test_the_leisure_is_random():
    server = made()[1]
    found = set()
    for number in range(8):
        server.receive(request(), "10.0.0.%d:1" % number, GROUP, 0)
        found.add(server.next_ms(0))
        answers(server)
    assert len(found) > 1


def test_a_filter_that_nothing_passes_and_every_error_is_passed_over_in_silence():
    node, server = made()
    unknown = Message(coap.NON, coap.GET, 7, b"a")
    unknown.add_path(CORE)
    unknown.add(9, b"")
    for wrong in (
        request(query=["scope=0102030405060708"]),
        request("temp"),
        request(method=coap.POST),
        request(kind=coap.CON),
        request(".well-known/edhoc", method=coap.POST),
        unknown.encode(),
        b"",
        b"\x50",
        b"\xff" * 20,
    ):
        assert server.receive(wrong, "10.0.0.9:1", GROUP, 0), wrong
    assert answers(server) == []
    for right in (["rt=writ"], ["scope=" + node.authority.scope.hex()], ["href=/writ*"]):
        assert server.receive(request(query=right), "10.0.0.9:1", GROUP, 0)
        assert len(answers(server)) == 1


def test_a_node_that_cannot_tell_a_group_keeps_confirmable_and_protected_requests():
    server = made()[1]
    protected = Message(coap.NON, coap.POST, 7, b"a")
    protected.add(coap.OSCORE, b"")
    answer = Message(coap.NON, coap.CONTENT, 7, b"a")
    for other in (request(kind=coap.CON), protected.encode(), answer.encode(), b"", b"\x00\x01"):
        assert not server.receive(other, "10.0.0.9:1", UNKNOWN, 0), other
        assert not server.receive(other, "10.0.0.9:1", DIRECT, 0), other
    assert not server.receive(request(), "10.0.0.9:1", DIRECT, 0)
    assert server.receive(request(), "10.0.0.9:1", UNKNOWN, 0)
    assert server.receive(request("temp"), "10.0.0.9:1", UNKNOWN, 0)
    assert len(answers(server)) == 1


def test_a_repeated_request_has_one_answer():
    server = made()[1]
    for _ in range(3):
        server.receive(request(), "10.0.0.9:1", GROUP, 0)
    assert len(answers(server)) == 1


def test_one_asker_gets_few_answers_whatever_port_it_claims():
    node, server = made()
    sent = 0
    for number in range(40):
        server.receive(request(), "10.0.0.9:%d" % (number + 1), GROUP, 0)
        sent += len(answers(server))
    assert sent == GROUP_ANSWER_BURST
    assert node.counters[FLOOD] == 40 - sent


def test_all_askers_together_get_few_answers_at_a_time():
    node, server = made()
    for number in range(2 * GROUP_ANSWERS_MAX):
        server.receive(request(), "10.0.%d.9:1" % number, GROUP, 0)
    assert len(answers(server)) == min(GROUP_ANSWERS_MAX, 4 * GROUP_ANSWER_BURST)
    assert node.counters[FLOOD]
    sent = 0
    for number in range(100):
        server.receive(request(), "10.1.%d.9:1" % number, GROUP, 0)
        sent += len(answers(server))
    assert sent <= 4 * GROUP_ANSWER_BURST


def test_an_answer_is_no_large_multiple_of_its_request():
    node, server = made()
    asked = request(query=["scope=" + node.authority.scope.hex()], token=bytes(8))
    server.receive(asked, "10.0.0.9:1", GROUP, 0)
    ((_, data),) = server.tick(6000)
    assert len(data) < 2 * len(asked), (len(data), len(asked))
