"""The search for gateways: rounds, hints, what strangers can do, and gateways that move."""

from node_peer import load

from writ.authority.capsule import node_id
from writ.limits import GATEWAYS_FOUND_MAX
from writ.node.finder import FOUND, GROUPS, Finder
from writ.wire import coap
from writ.wire.coap import Message

ROUND_MS = 300000


class Agent:
    """What a `Finder` knows of its agent. proven: addresses of gateways with a session."""

    def __init__(self, *proven):
        self._node = load({})
        self.proven = list(proven)
        self.sessions = self
        self.is_proven = True

    def __getattr__(self, name):
        return getattr(self._node, name)

    def by_address(self, address):
        """As `Sessions.by_address`."""
        return self if address in self.proven else None


def found(*proven, named=()):
    """(agent, its gateways, its finder, the token of its first round)."""
    agent, gateways = Agent(*proven), list(named)
    finder = Finder(agent, gateways)
    return agent, gateways, finder, begin(finder, 0)


def begin(finder, now_ms):
    """Begin a round; its token."""
    sent = finder.tick(now_ms)
    assert [address for address, _ in sent] == list(GROUPS)
    return coap.decode(sent[0][1]).token


def answer(token, payload=b'</writ>;rt="writ"', code=coap.CONTENT, kind=coap.NON):
    """An answer (bytes) to a round."""
    return Message(kind, code, 9, token, payload).encode()


def test_a_round_asks_every_group_for_the_own_scope():
    agent, _, finder, _ = found()
    finder = Finder(agent, [])
    ids = set()
    for group, data in finder.tick(0):
        message = coap.decode(data)
        assert (message.type, message.code) == (coap.NON, coap.GET), group
        assert message.path() == ".well-known/core"
        assert message.query() == ["scope=" + agent.authority.scope.hex()]
        assert len(message.token) == 8
        ids.add(message.mid)
    assert len(ids) == 3
    assert finder.tick(1) == []


def test_an_address_that_answers_becomes_a_gateway_at_once():
    _, gateways, finder, token = found(named=["10.0.0.1:5683"])
    assert finder.receive(answer(token), "10.0.0.7:5683", None, 10) == FOUND
    assert finder.receive(answer(token), "10.0.0.7:5683", None, 11) is True
    assert finder.receive(answer(token), "10.0.0.1:5683", None, 12) is True
    assert gateways == ["10.0.0.1:5683", "10.0.0.7:5683"]


def test_what_answers_no_round_is_left_to_the_node():
    _, gateways, finder, token = found()
    stranger = bytes(8)
    for other in (
        answer(stranger),
        answer(b""),
        answer(token, kind=coap.CON),
        Message(coap.NON, coap.GET, 9, b"x").encode(),
        b"",
        b"\x58",
    ):
        assert not finder.receive(other, "10.0.0.7:5683", None, 10), other
    # of this round, and no gateway
    for other in (answer(token, b""), answer(token, b"</temp>"), answer(token, code=0x84)):
        assert finder.receive(other, "10.0.0.7:5683", None, 10), other
    assert finder.receive(answer(token)[:12] + b"\xf0", "10.0.0.7:5683", None, 10)
    assert gateways == []


def test_an_address_without_a_session_is_forgotten_in_the_next_round():
    _, gateways, finder, token = found("10.0.0.8:5683", named=["10.0.0.1:5683"])
    for last in (7, 8):
        finder.receive(answer(token), "10.0.0.%d:5683" % last, None, 10)
    begin(finder, finder.next_ms(0))
    assert gateways == ["10.0.0.1:5683", "10.0.0.8:5683"]


def test_a_gateway_that_falls_silent_is_forgotten_and_one_that_moved_is_found():
    agent, gateways, finder, token = found("10.0.0.8:5683")
    finder.receive(answer(token), "10.0.0.8:5683", None, 10)
    now_ms = 0
    for _ in range(3):
        now_ms += finder.next_ms(now_ms)
        token = begin(finder, now_ms)
        assert gateways == ["10.0.0.8:5683"]
    finder.receive(answer(token), "10.0.0.9:5683", None, now_ms)
    agent.proven.append("10.0.0.9:5683")
    begin(finder, now_ms + finder.next_ms(now_ms))
    assert gateways == ["10.0.0.9:5683"]


def test_a_node_with_several_addresses_is_greeted_at_one():
    _, gateways, finder, token = found("10.0.0.8:5683")
    same = answer(token, b'</writ>;rt="writ";scope="00";ep="0102030405060708"')
    finder.receive(same, "10.0.0.8:5683", None, 10)
    for _ in range(30):
        finder.receive(same, "[fe80::8%2]:5683", None, 10)
    assert gateways == ["10.0.0.8:5683"]
    # it answers at the other address only: after a whole round it has moved
    now_ms = 0
    for expected in (["10.0.0.8:5683"], ["[fe80::8%2]:5683"]):
        now_ms += finder.next_ms(now_ms)
        token = begin(finder, now_ms)
        same = answer(token, b'</writ>;rt="writ";scope="00";ep="0102030405060708"')
        for _ in range(30):
            finder.receive(same, "[fe80::8%2]:5683", None, now_ms)
        assert gateways == expected


def test_a_node_does_not_find_itself():
    agent, gateways, finder, token = found()
    own = node_id(agent.authority.own_x).hex().encode()
    assert finder.receive(
        answer(token, b'</writ>;rt="writ";ep="' + own + b'"'), "10.1.1.1:1", None, 9
    )
    assert gateways == []


def test_a_claimed_node_id_keeps_the_true_node_out_by_chance_only():
    _, gateways, finder, token = found()
    same = answer(token, b'</writ>;rt="writ";ep="0102030405060708"')
    seen = []
    for _ in range(40):
        for address in ("10.9.9.9:1", "10.0.0.8:5683"):
            finder.receive(same, address, None, 10)
            assert len(gateways) == 1
            seen.append(gateways[0])
    assert len(set(seen)) == 2


def test_a_search_in_vain_becomes_rare_and_one_with_success_too():
    _, _, finder, _ = found()
    now_ms, pauses = 0, []
    for _ in range(7):
        pauses.append(finder.next_ms(now_ms))
        now_ms += pauses[-1]
        begin(finder, now_ms)
    assert pauses == [15000, 30000, 60000, 120000, 240000, ROUND_MS, ROUND_MS]


def test_no_stranger_displaces_a_proven_gateway_or_keeps_one_out_for_good():
    good = ["10.0.0.%d:5683" % last for last in range(GATEWAYS_FOUND_MAX - 1)]
    agent, gateways, finder, token = found(*good)
    for address in good:
        finder.receive(answer(token), address, None, 10)
    for last in range(60):
        finder.receive(answer(token), "10.9.9.%d:1" % last, None, 10)
        assert len(gateways) == GATEWAYS_FOUND_MAX
    for address in good:
        assert address in gateways
    for _ in range(60):
        finder.receive(answer(token), "10.0.0.99:5683", None, 10)
    assert "10.0.0.99:5683" in gateways
    # no proven one is displaced
    agent.proven.append("10.0.0.99:5683")
    for last in range(60):
        finder.receive(answer(token), "10.9.9.%d:1" % last, None, 10)
    assert "10.0.0.99:5683" in gateways
