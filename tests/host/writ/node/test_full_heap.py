"""A heap that is full at any step: nothing wrong is answered, and what is lost can be sent again.

In each scenario the heap is full once, at each call of a primitive (memory_rig.py). No nonce is
used twice, no epoch goes back, and at the end all has happened that should happen, and once.
"""

import pytest
import signer
from memory_rig import Full, Nonces, ScarceNet, at_each_failure
from node_rig import (
    GATEWAY,
    GUEST,
    RULES,
    SENSOR,
    amendment,
    head_of,
    make,
    member,
    node_id,
    policy,
    serve,
)

from writ import cbor, crypto
from writ.authority import capsule
from writ.authority.policy import QUORUM
from writ.node.sync import Sync
from writ.wire import coap

YEAR_S = 365 * 86400


def field(raw_policy=None, **nodes):
    """(net, calls): a gateway at "gw" and a sensor at "soil"."""
    soil = make("soil", 2, SENSOR, raw_policy)
    calls = serve(soil)
    return ScarceNet(gw=make("gw", 1, GATEWAY, raw_policy), soil=soil, **nodes), calls


def test_a_handshake_and_its_requests():
    def scenario(full: Full) -> None:
        net, calls = field()
        with Nonces(net), full:
            net.insist("gw", "soil", "temp")
            results = net.insist("gw", "soil", "temp", coap.POST, b"on")
            net.insist("soil", "gw", "writ/charter")
        # carried out once for each call, and once more if there was no room for the answer
        done = [body for _, method, body in calls if method == coap.POST]
        assert 1 <= len(done) <= len(results) + full.happened

    assert at_each_failure(scenario) > 60


def test_a_long_answer_and_a_long_request():
    def scenario(full: Full) -> None:
        net, calls = field()
        with Nonces(net), full:
            net.insist("gw", "soil", "big")
            net.insist("gw", "soil", "big", coap.POST, b"x" * 700)
        assert calls[-1] == ("big", coap.POST, b"x" * 700)

    assert at_each_failure(scenario) > 60


def test_a_policy_that_is_pulled():
    whole = policy(3, None, [*RULES, [8, 4, "temp", 1]])

    def scenario(full: Full) -> None:
        net, _ = field()
        net.nodes["gw"].authority.receive(whole, 0)
        with Nonces(net), full:
            net.insist("gw", "soil", "temp")
            net.run_for(40, lambda: net.nodes["soil"].authority.epoch == 3)
            net.insist("gw", "soil", "temp")
        assert net.nodes["soil"].authority.head == head_of(whole)

    assert at_each_failure(scenario) > 60


def test_a_revocation_that_is_pulled():
    revocation = amendment(2, head_of(policy()), node_id("guest"))

    def scenario(full: Full) -> None:
        net, calls = field(guest=make("guest", 3, GUEST))
        net.insist("guest", "soil", "hello")
        net.nodes["gw"].authority.receive(revocation, 0)
        with Nonces(net), full:
            net.insist("gw", "soil", "temp")
            net.run_for(40, lambda: net.nodes["soil"].authority.epoch == 2)
            count = len(calls)
            with pytest.raises(AssertionError, match=r"NotAllowed|Revoked|4\.03|PeerFailed"):
                net.insist("guest", "soil", "hello")
            assert len(calls) == count
        assert node_id("guest") in net.nodes["soil"].authority.policy.revoked

    assert at_each_failure(scenario) > 60


def test_notifications():
    def scenario(full: Full) -> None:
        net, _ = field()
        soil, gateway = net.nodes["soil"], net.nodes["gw"]
        count = [0]

        @soil.resource("temp", period_s=60)
        def temp(request):
            count[0] += 1
            return b"%d" % count[0]

        values: list[int] = []

        def arrived(answer):
            if answer.is_success():
                values.append(int(answer.payload))

        def observe():
            call = (coap.GET, "temp", b"", "soil", None, (), True, arrived)
            net.send("gw", gateway.request(*call))

        with Nonces(net), full:
            for _ in range(4):
                try:
                    observe()
                except MemoryError as error:
                    gateway.count(error)
                net.run_for(10)
                if values:
                    break
            before = len(values)
            assert before
            net.run_for(300)
        # one a minute, whenever the heap was full; each newer than the one before
        assert len(values) - before >= 4 and values == sorted(set(values)), values

    assert at_each_failure(scenario) > 60


def test_an_action():
    rules = [[2, 4, "temp", 1], [2, 4, "temp", 2, QUORUM]]
    law = policy(1, None, rules)
    body = [node_id("soil"), coap.POST, "temp", crypto.sha256(b"on"), b"nonce  1"]
    action = signer.certify(capsule.build(capsule.ACTION, body, exp=signer.FOUNDED + 600))

    def scenario(full: Full) -> None:
        net, calls = field(law)
        net.insist("gw", "soil", "temp")
        results: list[str] = []
        with Nonces(net), full:
            net.insist("gw", "soil", "writ", coap.POST, action)
            for _ in range(4):
                try:
                    answer = net.ask("gw", "soil", "temp", coap.POST, b"on", ms=300000)
                except MemoryError:
                    continue
                results.append(answer.payload)
                if answer.is_success():
                    break
        done = [one for one in calls if one[1] == coap.POST]
        assert done == [("temp", coap.POST, b"on")], (results, calls)

    assert at_each_failure(scenario) > 30


class HostPeer(Sync):
    """A host peer that certifies what members state."""

    def serve(self, request, now_ms):
        if request.path != "writ/propose" or request.peer is None:
            return super().serve(request, now_ms)
        claims = cbor.decode(cbor.decode(request.payload)[2])
        operation = claims[capsule.WRIT]
        if operation[0] == 16:
            return coap.CHANGED, member("soil", 2, SENSOR, signer.EXPIRES + YEAR_S)
        target, method, path, payload = operation[4:8]
        body = [target, method, path, crypto.sha256(payload), b"nonce  1"]
        return coap.CHANGED, _action(capsule.build(capsule.ACTION, body, exp=signer.EXPIRES))


_actions: dict[bytes, bytes] = {}


def _action(payload: bytes) -> bytes:
    if payload not in _actions:
        _actions[payload] = signer.certify(payload)
    return _actions[payload]


def test_a_delegation():
    beacon = signer.certify(signer.beacon_payload(1, head_of(policy()), signer.FOUNDED + 60))

    def scenario(full: Full) -> None:
        net, _ = field()
        soil, host = net.nodes["soil"], net.nodes["gw"]
        host.sync = HostPeer(host)
        soil.authority.receive(beacon, 0)
        delegate = net.delegate("soil", "gw")
        told: list[tuple[str, bool]] = []
        with Nonces(net), full:
            for _ in range(2):
                try:
                    delegate.renew(lambda answer: told.append(("renewed", answer.is_success())))
                    break
                except MemoryError:
                    pass
            net.run_for(400, lambda: told)
            for _ in range(2):
                try:
                    delegate.ask_action(
                        node_id("gw"), coap.POST, "t", b"on",
                        lambda answer: told.append(("action", answer.is_success())),
                    )  # fmt: skip
                    break
                except MemoryError:
                    pass
            net.run_for(400, lambda: len(told) > 1)
        assert told == [("renewed", True), ("action", True)], told
        assert soil.authority.me.expires == signer.EXPIRES + YEAR_S

    assert at_each_failure(scenario) > 60
