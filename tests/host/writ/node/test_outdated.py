"""Peers whose capsule known here is void or has expired: they are reached by their new capsule."""

import node_rig
import pytest
import signer
from node_rig import EXPIRES, GATEWAY, SENSOR, Net, code, node_id, private

from writ import crypto
from writ.authority.policy import PARAM_VOID_BEFORE
from writ.wire import coap

FACTS = {"gw": (1, GATEWAY), "soil": (2, SENSOR)}
# The end of the first memberships where they expire; the clocks pass it
SOON = signer.FOUNDED + 600
LATER_MS = 700000


def certified(name: str, exp: int, epoch: int = 0) -> bytes:
    number, roles = FACTS[name]
    x, odd = crypto.p256_public(private(name))
    payload = signer.member_payload(x, name, number, roles, exp, odd=odd, epoch=epoch)
    return signer.certify(payload)


class Field(Net):
    """Two nodes that know each other. Their first capsules are outdated: `how` is void or expiry.

    renewed: the names of those that have a new capsule. No node knows that of the other one.
    """

    def __init__(self, how: str, renewed: tuple[str, ...]) -> None:
        exp = EXPIRES if how == "void" else SOON
        nodes = {name: node_rig.make(name, *FACTS[name], exp=exp) for name in FACTS}
        super().__init__(**nodes)
        self.calls = {name: node_rig.serve(node) for name, node in nodes.items()}
        for source, target in (("gw", "soil"), ("soil", "gw")):
            assert self.ask(source, target, "hello", wanted=node_id(target)).is_success()
        head = nodes["gw"].authority.head
        params = {PARAM_VOID_BEFORE: 1}
        cleaning = signer.certify(signer.policy_payload(2, head, node_rig.RULES, params=params))
        for name, node in nodes.items():
            if name in renewed and how == "expiry":
                node.authority.receive(certified(name, EXPIRES), self.now_ms)
            if how == "void":
                node.authority.receive(cleaning, self.now_ms)
            if name in renewed and how == "void":
                node.authority.receive(certified(name, EXPIRES + 1, 1), self.now_ms)
        if how == "expiry":
            self.run(LATER_MS)
        for calls in self.calls.values():
            calls.clear()
        self.log.clear()

    def end_sessions(self, *names: str) -> None:
        """The sessions of these nodes are gone."""
        for name in names:
            for session in list(self.nodes[name].sessions):
                self.nodes[name].sessions.drop(session)


@pytest.mark.parametrize("sessionless", [(), ("gw",), ("soil",), ("gw", "soil")])
@pytest.mark.parametrize("renewed", [("gw",), ("soil",), ("gw", "soil")])
@pytest.mark.parametrize("how", ["void", "expiry"])
@pytest.mark.parametrize("source", ["gw", "soil"])
def test_who_is_renewed_is_reached_and_reaches_others(
    source: str, how: str, renewed: tuple[str, ...], sessionless: tuple[str, ...]
) -> None:
    target = "soil" if source == "gw" else "gw"
    net = Field(how, renewed)
    net.end_sessions(*sessionless)
    name = "Expired" if how == "expiry" else "NotMember"
    for _ in range(2):
        net.now_ms += 30000
        answer = net.ask(source, target, "hello", ms=200000, wanted=node_id(target))
        if target not in renewed:
            assert code(answer) == name
        elif source not in renewed:
            said = (answer.payload, getattr(answer.rejection, "text", b""))
            assert not answer.is_success() and any(
                name.encode() in str(one).encode() for one in said
            )
        else:
            assert code(answer) == "2.05"
    assert bool(net.calls[target]) == (renewed == ("gw", "soil"))


@pytest.mark.parametrize("how", ["void", "expiry"])
def test_a_post_to_a_renewed_peer_is_carried_out_once(how: str) -> None:
    for sessionless in ((), ("gw",)):
        net = Field(how, ("gw", "soil"))
        net.end_sessions(*sessionless)
        wanted = node_id("soil")
        answer = net.ask("gw", "soil", "temp", coap.POST, b"on", ms=200000, wanted=wanted)
        assert code(answer) == "2.04"
        assert net.calls["soil"] == [("temp", coap.POST, b"on")]


@pytest.mark.parametrize("how", ["void", "expiry"])
def test_the_new_capsule_is_asked_for_at_once(how: str) -> None:
    net = Field(how, ("gw", "soil"))
    net.end_sessions("gw")
    assert code(net.ask("gw", "soil", "hello", wanted=node_id("soil"))) == "2.05"
    # one handshake: message_1, message_2, message_3 with the request, and the answer
    assert len(net.log) == 4


@pytest.mark.parametrize("how", ["void", "expiry"])
def test_a_peer_that_stays_outdated_is_asked_a_few_times_only(how: str) -> None:
    net = Field(how, ("gw",))
    assert not net.ask("gw", "soil", "hello", ms=300000, wanted=node_id("soil")).is_success()
    assert len([1 for source, _, _ in net.log if source == "gw"]) <= 6


def test_a_peer_is_reached_whose_short_address_another_known_node_has() -> None:
    # as of a node with a new key, while the capsule of the key before ends later
    net, calls = node_rig.field()
    gw = net.nodes["gw"]
    for raw in (node_rig.member("soil", 2, SENSOR), node_rig.member("was", 2, SENSOR, EXPIRES + 9)):
        gw.authority.receive(raw, net.now_ms)
    answer = net.ask("gw", "soil", "temp", coap.POST, b"on", wanted=node_id("soil"))
    assert code(answer) == "2.04" and len(calls) == 1
