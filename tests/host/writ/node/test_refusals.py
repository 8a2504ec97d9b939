"""Every refusal in a session has a name, a code and a counter; what 4.13, 4.01 and links say."""

import pytest
from node_rig import GATEWAY, GUEST, SENSOR, Net, code, datagram, field, make, policy, serve

from writ import errors
from writ.limits import BODY_BYTES_MAX, DATAGRAM_BYTES_MAX, TRANSFERS_MAX
from writ.wire import coap
from writ.wire.blockwise import block_encode
from writ.wire.coap import Message

BLOCK = bytes(256)


def raw_request(net, method, path, payload=b"", options=(), mid=7):
    """The node's answer to a protected request with these options."""
    session = net.nodes["gw"].sessions.by_address("soil")
    message = Message(coap.CON, method, mid, b"\x55", payload)
    message.add_path(path)
    for number, value in options:
        message.add(number, value)
    sealed, binding = session.context.protect_request(message)
    ((_, data),) = net.nodes["soil"].receive(sealed.encode(), "gw", net.now_ms)
    return session.context.unprotect_response(coap.decode(data), binding)[0]


def opened():
    net, _ = field()
    soil = net.nodes["soil"]

    @soil.resource("none")
    def fails(request):
        raise ValueError("sensor unplugged")

    assert net.ask("gw", "soil", "temp").is_success()
    return net, soil


def law(*rules):
    return policy(2, policy(), rules=rules)


CASES = [
    (coap.GET, "gone", b"", (), "4.04", "85 NotFound"),
    (coap.GET, "writ/capsule", b"", ((coap.URI_QUERY, b"d=00"),), "4.04", "85 NotFound"),
    (coap.PUT, "temp", b"", (), "4.05", "86 WrongMethod"),
    (coap.GET, "none", b"", (), "5.00", "87 ResourceFailed"),
    (coap.POST, "big", BLOCK, ((coap.BLOCK1, b"\x1c"),), "4.08", "82 BlockMismatch"),
    (coap.PUT, "nothing", b"", (), "4.03", "40 NotAllowed"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[5])
def test_each_refusal_has_a_name_and_a_counter(case):
    method, path, payload, options, kind, text = case
    net, soil = opened()
    paths = ("temp", "big", "gone", "none")
    soil.authority.receive(law(*[[2, 4, path, 7] for path in paths]), net.now_ms)
    answer = raw_request(net, method, path, payload, options)
    assert (coap.code_text(answer.code), answer.payload.decode()) == (kind, text)
    assert soil.counters[text.split()[1]] == 1


def test_an_upload_that_finds_no_room_is_told_so():
    net, soil = opened()
    for number in range(TRANSFERS_MAX):
        message = Message(coap.CON, coap.POST, 1, b"", BLOCK)
        message.add(coap.BLOCK1, block_encode(0, True, 4))
        soil.server.uploads.receive(number, message, net.now_ms)
    answer = raw_request(net, coap.POST, "big", BLOCK, [(coap.BLOCK1, b"\x0c")])
    assert (answer.code, answer.payload) == (coap.UNAVAILABLE, b"83 TableFull")
    assert soil.counters["TableFull"] == 1


def test_too_large_says_what_fits():
    # RFC 7959, section 2.9.3; RFC 7252, section 5.9.2.9
    net, soil = opened()
    data = datagram(coap.CON, coap.PUT, b"", 9, b"\x77") + b"\xff" + bytes(DATAGRAM_BYTES_MAX)
    ((_, reply),) = soil.receive(data, "stock", net.now_ms)
    plain = coap.decode(reply)
    assert (plain.code, plain.token, plain.mid) == (coap.TOO_LARGE, b"\x77", 9)
    # libcoap names any port but 5683, in front of all other options
    options = [(coap.URI_PORT, b"\x16\x34"), (coap.URI_PATH, b"writ")]
    data = datagram(coap.CON, coap.POST, b"", 11, b"\x79", options)
    ((_, reply),) = soil.receive(data + b"\xff" + bytes(DATAGRAM_BYTES_MAX), "stock", net.now_ms)
    other_port = coap.decode(reply)
    protected = datagram(coap.CON, coap.POST, b"", 10, b"\x78", [(coap.OSCORE, b"\x09\x00\x24")])
    ((_, reply),) = soil.receive(
        protected + b"\xff" + bytes(DATAGRAM_BYTES_MAX), "stock", net.now_ms
    )
    outer = coap.decode(reply)
    assert (outer.code, outer.payload, outer.options) == (coap.TOO_LARGE, b"10 TooLarge", [])
    for num in range(BODY_BYTES_MAX // 256):
        block = [(coap.BLOCK1, block_encode(num, True, 4))]
        assert raw_request(net, coap.POST, "big", BLOCK, block, num).code == coap.CONTINUE
    block = [(coap.BLOCK1, block_encode(BODY_BYTES_MAX // 256, False, 4))]
    inner = raw_request(net, coap.POST, "big", b"x", block, 50)
    assert (inner.code, inner.payload) == (coap.TOO_LARGE, b"10 TooLarge")
    for answer in (plain, other_port, inner):
        assert answer.option(coap.BLOCK1) == block_encode(0, False, 5)
        assert answer.option_uint(coap.SIZE1) == BODY_BYTES_MAX
    # a block of that size fits into a datagram, protected
    fits = raw_request(net, coap.POST, "big", bytes(512), [(coap.BLOCK1, b"\x0d")], 51)
    assert fits.code == coap.CONTINUE


def test_a_replay_is_unauthorized():
    # RFC 8613, section 8.2
    net, soil = opened()
    gw = net.nodes["gw"]
    net.call("gw", "soil", "temp")
    data = net.log[-1][2]
    net.run()
    ((_, reply),) = soil.receive(data[:2] + b"\x42\x42" + data[4:], "gw", net.now_ms)
    answer = coap.decode(reply)
    assert (answer.code, answer.payload) == (coap.UNAUTHORIZED, b"61 Replayed")
    assert len(list(gw.sessions)) == 1


def test_a_member_sees_the_links_that_some_rule_allows():
    soil = make("soil", 2, SENSOR)
    serve(soil)
    net = Net(gw=make("gw", 1, GATEWAY), guest=make("guest", 3, GUEST), soil=soil)
    rules = ([2, 4, "temp", 1, 1], [2, 4, "big", 2, 2], [8, 4, "hello", 4], [1, 1, "hello", 1])
    soil.authority.receive(policy(2, policy(), rules=rules), 0)
    # fresh or by action only: still a rule that allows it
    links = {
        name: net.ask(name, "soil", ".well-known/core").payload.decode() for name in ("gw", "guest")
    }
    assert links == {"gw": "</big>,</hello>,</temp>", "guest": "</hello>"}
    none = policy(3, policy(2, policy(), rules=rules), rules=([8, 4, "hello", 4],))
    soil.authority.receive(none, net.now_ms)
    # no rule for a method that the resource has
    assert net.ask("guest", "soil", ".well-known/core").payload == b""


def test_a_node_hands_out_its_own_capsule_by_its_id():
    net, _ = field()
    soil = net.nodes["soil"].authority.me
    query = ("i=" + soil.node_id.hex(),)
    assert net.ask("gw", "soil", "writ", query=query).payload == soil.raw
    query = ("i=" + bytes(8).hex(),)
    assert code(net.ask("gw", "soil", "writ", query=query)) == "4.04"
    assert net.nodes["soil"].counters == {errors.NotFound.__name__: 1}
