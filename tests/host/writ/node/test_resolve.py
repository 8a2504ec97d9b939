"""Names, credentials by kid and by value, and how long the messages are."""

import signer
from node_rig import EXPIRES, GATEWAY, SENSOR, Net, code, make, member, node_id, policy, serve

from writ import cbor, crypto
from writ.agent import Node as Agent
from writ.authority import capsule
from writ.node.resolve import resolve as resolve_at
from writ.wire import coap, edhoc


def sizes(net):
    """Lengths of all datagrams sent so far; forgets them."""
    found = [len(data) for _, _, data in net.log]
    del net.log[:]
    return found


def edhoc_bytes(net):
    """Lengths of the EDHOC messages in the log, without CoAP and OSCORE."""
    found = []
    for _, _, data in net.log:
        message = coap.decode(data)
        if message.option(coap.EDHOC) is not None:
            found.append(cbor.decode_item(message.payload)[1])
        elif message.option(coap.CONTENT_FORMAT) is not None:
            found.append(len(message.payload) - (message.payload[:1] == b"\xf5"))
    return found


def forget(node):
    """Drop a node's sessions."""
    for session in list(node.sessions):
        node.sessions.drop(session)


def named():
    """Nodes with names and addresses of an ordinary length."""
    soil = make("soil-north", 515, SENSOR)
    serve(soil)
    return Net(gw=make("gateway-1", 516, GATEWAY), soil=soil)


def test_first_contact_by_value_and_later_ones_by_kid_keep_to_their_sizes():
    net = named()
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    first = edhoc_bytes(net)
    assert len(first) == 3 and sum(first) <= 440, first
    forget(net.nodes["gw"])
    del net.log[:]
    wanted = node_id("soil-north")
    assert code(net.ask("gw", "soil", "temp", wanted=wanted)) == "2.05"
    later = edhoc_bytes(net)
    assert len(later) == 3 and sum(later) <= 140, later
    assert net.nodes["gw"].counters == net.nodes["soil"].counters == {}


def test_a_protected_get_with_the_epoch_option_is_small():
    net = named()
    net.ask("gw", "soil", "temp")
    sizes(net)
    net.ask("gw", "soil", "temp")
    request, answer = sizes(net)
    assert request <= 28, request
    assert answer <= 28, answer


def test_a_forgotten_kid_costs_one_more_handshake_by_value():
    net = named()
    gw, soil = net.nodes["gw"], net.nodes["soil"]
    wanted = node_id("soil-north")
    net.ask("gw", "soil", "temp")
    forget(gw)
    forget(soil)
    soil.authority.peers.clear()
    soil.authority._recent.clear()
    del net.log[:]
    assert code(net.ask("gw", "soil", "temp", wanted=wanted)) == "2.05"
    assert soil.counters["UnknownCredential"] == 1
    # three, the error, three, and an Echo where the node was busy already
    assert [size for size in edhoc_bytes(net) if size][3] < 10


def test_a_lost_session_costs_one_handshake_at_either_side():
    for loser in ("gw", "soil"):
        net = named()
        net.ask("gw", "soil", "temp")
        forget(net.nodes[loser])
        del net.log[:]
        assert code(net.ask("gw", "soil", "temp")) == "2.05"
        assert len(edhoc_bytes(net)) == 3


def test_a_session_whose_id_means_another_one_at_the_peer_costs_one_handshake():
    net = named()
    net.ask("gw", "soil", "temp")
    mine = next(iter(net.nodes["gw"].sessions))
    # soil lost its session and gave the id to another peer
    theirs = next(iter(net.nodes["soil"].sessions))
    theirs.context.__init__(b"other", b"", theirs.context.sender_id, theirs.context.recipient_id)
    theirs.context.limit = 64
    theirs.peer = capsule.Member(capsule.parse(member("other", 99, GATEWAY)))
    del net.log[:]
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    assert len(edhoc_bytes(net)) == 3
    assert mine not in list(net.nodes["gw"].sessions)


def test_a_peer_may_pick_our_connection_id():
    # all that one node picks as C_I is what the other one would pick as C_R, and the other way
    net = named()
    for node in net.nodes.values():
        inner = node.sessions.new_id

        def first(taken, inner=inner, node=node):
            for identity in (b"\x01", b"\x02", b"\x03"):
                if identity not in taken and node.sessions.by_kid(identity) is None:
                    return identity
            return inner(taken)

        node.sessions.new_id = first
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    context = next(iter(net.nodes["gw"].sessions)).context
    assert context.sender_id != context.recipient_id


def test_no_id_of_a_handshake_under_way_is_given_to_another():
    # gw calls soil and is called by valve meanwhile: three ids of its own, all different
    net = named()
    net.nodes["valve"] = make("valve", 7, SENSOR)
    gw = net.nodes["gw"]
    for node in net.nodes.values():

        def least(taken, node=node):
            # another one than gw's first, which it would avoid for being the peer's
            for number in range(5 * (node.name == "valve"), 24):
                identity = bytes((number,))
                if identity not in taken and node.sessions.by_kid(identity) is None:
                    return identity
            raise AssertionError

        node.sessions.new_id = least
    serve(gw)
    one = net.call("gw", "soil", "temp")
    two = net.call("valve", "gw", "hello")
    net.run()
    assert code(one[0]) == "2.05" and code(two[0]) == "2.05"
    ids = [session.context.recipient_id for session in gw.sessions]
    assert len(set(ids)) == 2


def test_used_up_sequence_numbers_lead_to_a_new_handshake():
    net = named()
    net.ask("gw", "soil", "temp")
    session = next(iter(net.nodes["gw"].sessions))
    session.context.sequence = session.context.limit = 8388607
    assert code(net.ask("gw", "soil", "temp")) == "2.05"
    assert net.nodes["gw"].counters == {"SequenceExhausted": 1}
    # and where the server runs out, in a notification
    answers = net.call("gw", "soil", "temp", observe=True)
    net.run()
    for session in net.nodes["soil"].sessions:
        session.context.sequence = session.context.limit = 8388607
    net.send("soil", net.nodes["soil"].notify("temp", net.now_ms))
    net.run()
    assert len(answers) == 1
    assert code(net.ask("gw", "soil", "temp")) == "2.05"


# --- names ----------------------------------------------------------------------------------------


def resolver():
    """A net in which "gw" can give "soil" the address of "valve"."""
    net = named()
    valve = make("valve", 7, SENSOR)
    serve(valve)
    net.nodes["valve"] = valve
    net.ask("valve", "gw", "hello")
    return net


def resolve(net, name):
    """The result of a lookup by "soil" at "gw": (member, address)."""
    found = []
    soil = net.nodes["soil"]
    soil.tick(net.now_ms)
    net.send("soil", resolve_at(soil, name, "gw", lambda *what: found.append(what)))
    net.run()
    assert len(found) == 1
    return found[0]


def test_names_are_resolved_through_a_gateway():
    net = resolver()
    found, address = resolve(net, "valve")
    assert (found.name, address) == ("valve", "valve")
    answer = net.ask("soil", address, "hello", wanted=found.node_id)
    assert code(answer) == "2.05" and answer.peer.name == "valve"
    assert resolve(net, "gateway-1")[1] == "gw"
    assert resolve(net, "stranger") == (None, None)


def liar_says(net, item):
    """Let "gw" answer each lookup with this."""
    gw = net.nodes["gw"]
    inner = gw.sync.serve

    def serve_lie(request, now_ms):
        if request.path == "writ/member":
            return coap.CONTENT, item if isinstance(item, bytes) else cbor.encode(item)
        return inner(request, now_ms)

    gw.sync.serve = serve_lie


def test_a_wrong_address_is_found_out_by_the_handshake():
    net = resolver()
    liar_says(net, [member("valve", 7, SENSOR), "gw"])
    found, address = resolve(net, "valve")
    assert address == "gw"
    assert code(net.ask("soil", address, "hello", wanted=found.node_id)) == "NotMember"


def test_a_liar_does_not_change_a_known_address():
    net = resolver()
    soil = net.nodes["soil"]
    net.ask("valve", "soil", "hello")
    liar_says(net, [member("valve", 7, SENSOR), "nowhere"])
    resolve(net, "valve")
    assert soil.address_of(node_id("valve")) == "valve"


def test_the_capsule_of_another_name_is_refused():
    net = resolver()
    liar_says(net, [member("gateway-1", 516, GATEWAY), "gw"])
    assert resolve(net, "valve") == (None, None)


def test_a_lying_resolver_changes_nothing_else():
    for item in (
        [signer.forge(member("valve", 7, SENSOR)), "valve"],
        [signer.certify(signer.member_payload(b"v" * 32, "valve"), signer.OTHER_SEED), "gw"],
        [None, "gw"],
        [member("valve", 7, SENSOR)],
        [[member("valve", 7, SENSOR)], "gw"],
        [policy(), "gw"],
        [b"", None],
        {},
        0,
        b"\xff",
        b"",
    ):
        net = resolver()
        liar_says(net, item)
        assert resolve(net, "valve") == (None, None), item


def test_an_invalid_address_is_not_kept():
    for address in (0, b"x", ["valve"], "x" * 1000, "", "a b"):
        net = resolver()
        liar_says(net, [member("valve", 7, SENSOR), address])
        assert resolve(net, "valve")[1] is None, address


def test_the_addresses_kept_are_those_of_open_sessions_first():
    net = named()
    soil = net.nodes["soil"]
    net.ask("gw", "soil", "temp")
    keep = node_id("gateway-1")
    session = soil.sessions.by_peer(keep)
    for number in range(40):
        soil.addresses[bytes((number,)) * 8] = f"x{number}"
        if len(soil.addresses) > 16:
            soil.addresses.pop(bytes((number,)) * 8)
    soil.mark_seen(session, "new")
    assert soil.address_of(keep) == "new" and len(soil.addresses) <= 16


class Wire:
    """The link of an agent, on a net."""

    def __init__(self, net, address):
        self.net = net
        self.address = address

    def send(self, target, data):
        self.net.send(self.address, [(target, data)])


def test_the_agent_asks_a_gateway_for_names_it_does_not_know():
    net = resolver()
    store = net.nodes["soil"].store
    store.save("key", net.nodes["soil"].private)
    agent = Agent(store, {"name": "soil-north", "gateways": ["gw"]})
    agent.link = Wire(net, "soil")
    net.nodes["soil"] = agent
    found = []
    for _ in range(2):
        del net.log[:]
        agent.tick(net.now_ms)
        agent.ask("valve", coap.GET, "hello", on_answer=found.append)
        net.run()
    assert [code(answer) for answer in found] == ["2.05", "2.05"]
    # the second time the address is known
    assert [target for _, target, _ in net.log] == ["valve", "soil"]
    agent.ask("stranger", coap.GET, "hello", on_answer=found.append)
    net.run()
    assert len(found) == 3


def test_a_lookup_before_the_membership_fails_once_at_whichever_number_of_gateways():
    # no handshake can begin: each gateway is given up within the call that asks it
    for count in range(1, 4):
        store = make("soil", 2, SENSOR).store
        store.save("key", crypto.sha256(b"soil"))
        agent = Agent(store, {"name": "soil", "gateways": [f"gw{n}" for n in range(count)]})
        agent.authority.me = None
        net = Net(soil=agent)
        agent.link = Wire(net, "soil")
        agent.tick(net.now_ms)
        found = []
        agent.ask("valve", coap.GET, "hello", on_answer=found.append)
        net.run()
        assert [code(answer) for answer in found] == ["NotMember"], count
        assert agent.counters == {"NoScope": count} and net.log == []


def test_a_replaced_device_is_reached_by_its_name_at_once():
    # the known holder of the name is revoked, or its capsule has ended; a gateway knows the new one
    for case in ("revoked", "expired"):
        exp = signer.FOUNDED + 600 if case == "expired" else EXPIRES
        old = make("old", 7, SENSOR)
        valve = make("new", 8, SENSOR)
        for node, raw in (
            (old, member("valve", 7, SENSOR, exp, key="old")),
            (valve, member("valve", 8, SENSOR, EXPIRES + 1, key="new")),
        ):
            node.store.reset("member")
            node.authority.me = None
            node.authority.receive(raw, 0)
            serve(node)
        store = make("soil", 2, SENSOR).store
        store.save("key", crypto.sha256(b"soil"))
        agent = Agent(store, {"name": "soil", "gateways": ["gw"]})
        net = Net(gw=make("gw", 1, GATEWAY), soil=agent, old=old, new=valve)
        agent.link = Wire(net, "soil")
        net.ask("soil", "old", "hello")
        assert agent.authority.peer_by(name="valve").node_id == node_id("old")
        net.run(700000)
        net.ask("new", "gw", "writ/beacon")
        if case == "revoked":
            second = policy(2, policy(), revoked=[node_id("old")])
            agent.authority.receive(second, net.now_ms)
            net.nodes["gw"].authority.receive(second, net.now_ms)
        found = []
        del net.log[:]
        agent.tick(net.now_ms)
        agent.ask("valve", coap.GET, "hello", on_answer=found.append)
        net.run(10000)
        assert [code(answer) for answer in found] == ["2.05"], case
        assert found[0].peer.node_id == node_id("new")
        assert "old" not in [target for _, target, _ in net.log]


def test_a_handshake_by_kid_without_ead_has_the_sizes_of_the_design():
    keys = [crypto.sha256(name) for name in (b"initiator", b"responder")]
    publics = [crypto.p256_public(key)[0] for key in keys]
    initiator = edhoc.Initiator(keys[0], b"\x01")
    responder = edhoc.Responder(keys[1], b"\x02")
    message_1 = initiator.message_1()
    responder.read_1(message_1)
    message_2 = responder.message_2(("kid", b"\x02\x03"), b"responder", [])
    initiator.read_2(message_2)
    initiator.verify_2(b"responder", publics[1])
    message_3 = initiator.message_3(("kid", b"\x02\x04"), b"initiator", [])
    assert (len(message_1), len(message_2), len(message_3)) == (37, 47, 21)
