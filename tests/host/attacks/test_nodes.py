"""Attacks with a node's keys, and on the path between two nodes: rows of docs/security.md."""

import contextlib
import random
import shutil
from pathlib import Path

import pytest
from attack_rig import (
    FOUNDED,
    AttackedField,
    Member,
    flipped,
    node_id,
    own_member,
    post,
    send,
    wait,
)
from attack_wire import Wire, later
from field_rig import GET, OPERATOR, POST, PUT, SENSOR

from writ import crypto
from writ.authority import capsule
from writ.errors import EpochGap
from writ.wire import coap

# --- stolen keys ----------------------------------------------------------------------------------


def test_a_stolen_device_keeps_its_rights_until_it_is_revoked(field: AttackedField) -> None:
    device, scope, operator = field.device("soil"), field.scope, field.operator
    panel = field.member("panel")
    assert panel.say(device.address, "temp").startswith("21.")
    panel.close()
    # a thief with its flash contents continues the open session, with the member's rights
    thief = field.keep(Member.at(panel.path, "panel"))
    there = {"wanted": node_id(device.path)}
    assert thief.say(device.address, "temp", **there).startswith("21.")
    assert len(thief.sessions) == 1
    assert thief.say(device.address, "note", coap.PUT, b"mine") == ""
    # it can do nothing that needs an action or that no rule allows
    assert thief.say(device.address, "note", coap.POST, b"dose") == "NeedsAction"
    assert thief.say(device.address, "level/1") == "NotAllowed"
    # neither its records nor a membership that it writes itself certify anything
    assert set(post(device.address, thief.store.load("s0")[:600])) == {"BadShape"}
    body, key = [9, OPERATOR | SENSOR], crypto.p256_public(thief.private)
    payload = capsule.build(capsule.MEMBER, body, sub="panel", exp=FOUNDED + 9**9, key=key)
    assert post(device.address, capsule.assemble(payload, bytes(64))) == ["BadSignature"]
    # once revoked, its next request is refused, in the old session and in a new one
    kept = scope.member(thief.private, "panel", 9, OPERATOR, days=300)
    assert post(device.address, scope.amend(thief.node_id)) == ["taken"]
    assert thief.say(device.address, "temp") == "Revoked"
    for session in list(thief.sessions):
        thief.sessions.drop(session)
    assert thief.say(device.address, "temp") == "Revoked"
    assert post(device.address, kept, scope.policies[0]) == ["Revoked", "RolledBack"]
    assert operator.say(device.address, "note") == "mine"
    # a member that knows the revocation of a sensor refuses its answers
    assert post(device.address, scope.amend(node_id(device.path))) == ["taken"]
    operator.authority.receive(scope.policies[-1], 0)
    assert operator.say(device.address, "temp") == "Revoked"


def test_a_clone_is_revoked_with_its_original(field: AttackedField, tmp_path: Path) -> None:
    device, scope = field.device("soil"), field.scope
    panel = field.member("panel")
    for _ in range(3):
        assert panel.say(device.address, "temp").startswith("21.")
    shutil.copytree(panel.path, tmp_path / "copy")
    clone = field.keep(Member.at(tmp_path / "copy", "panel"))
    there = {"wanted": node_id(device.path)}
    assert clone.say(device.address, "temp", **there).startswith("21.")
    # of two nodes in one session the one that is behind is refused, and the device counts it
    (session,) = panel.sessions
    assert panel.say(device.address, "temp").startswith("21.")
    assert field.refused(device)["Replayed"] == 1
    # with a session of its own, the clone cannot be told from the original
    assert session not in list(panel.sessions)
    for one in (panel, clone, panel):
        assert one.say(device.address, "temp").startswith("21.")
        assert one.say(device.address, "level/1") == "NotAllowed"
    # both have one node id, so one revocation revokes both
    assert post(device.address, scope.amend(panel.node_id)) == ["taken"]
    assert [one.say(device.address, "temp") for one in (panel, clone)] == ["Revoked", "Revoked"]


# --- on the wire ----------------------------------------------------------------------------------


def test_a_malicious_relay_alters_and_suppresses_nothing_for_good(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    rules = [
        [OPERATOR, SENSOR, "note", GET | POST | PUT],
        [OPERATOR, SENSOR, "writ/status", GET],
    ]
    assert post(device.address, scope.enact(rules)) == ["taken"]
    # its session is open before the rate limit of handshakes is reached
    assert field.operator.say(device.address, "note") == ""
    chance = random.Random(7)

    def torment(_: bool, data: bytes) -> list[tuple[int, bytes]]:
        # drop, delay, repeat or alter a datagram
        copies = chance.choice((0, 1, 1, 1, 1, 1, 1, 2, 2, 3))
        found = [(chance.choice((0, 0, 0, 50, 300)), data) for _ in range(copies)]
        if chance.random() < 0.2:
            found.append((0, flipped(data, chance.randrange(len(data)))))
        return found

    sender = field.member("sender")
    with Wire(device.address, torment) as wire:
        words = [b"%d;" % number for number in range(10)]
        answers = [sender.call(wire.address, "note", coap.POST, word) for word in words]
        wire.change = lambda _, data: [(0, data)]
        # a delayed copy may still be carried out
        wait(lambda: wire.is_idle)
        # each request was executed at most once, in order, and at least once if it was answered
        read = field.operator.call(device.address, "note")
        assert read.is_success(), (read.code, read.rejection)
        note = read.payload
        done = [word for word in words if word in note]
        assert note == b"".join(done)
        for word, answer in zip(words, answers, strict=True):
            assert word in done or not answer.is_success()
        # the handshakes that were spoilt count: the device may ask for some seconds of patience
        wait(lambda: sender.call(wire.address, "note", coap.POST, b"end").is_success(), every_s=2)
        # in an open session, without a handshake in front
        assert sender.call(wire.address, "note", coap.POST, b"!").is_success()
        # the last request again: unchanged, with another message id, with a later sequence number
        last = [data for from_device, data in wire.heard if not from_device][-1]
        before = field.refused(device)
        for data in (last, flipped(last, 2), later(last)):
            wire.inject(data)
        wait(lambda: _more(field.refused(device), before, "DecryptionFailed"))
        assert _more(field.refused(device), before, "Replayed")
        assert field.operator.call(device.address, "note").payload == note + b"end!"
    # no altered capsule is taken, and the valid one is as soon as it arrives
    raw = scope.amend(bytes(8))
    with Wire(
        device.address, lambda back, data: [(0, data if back else flipped(data, -40))]
    ) as wire:
        assert post(wire.address, raw)[0] not in ("taken", "known")
        assert field.status(device)["epoch"] == 2
        wire.change = lambda _, data: [(0, data)]
        assert post(wire.address, raw) == ["taken"]


def _more(counted: dict[str, int], before: dict[str, int], name: str) -> bool:
    return counted.get(name, 0) > before.get(name, 0)


def test_datagrams_from_before_a_reboot_are_not_executed_after_it(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    action = scope.action(node_id(device.path), b"dose")
    sender = field.member("sender")
    with Wire(device.address) as wire:
        assert sender.say(wire.address, "note", coap.PUT, b"open") == ""
        assert post(device.address, action) == ["taken"]
        assert sender.say(wire.address, "note", coap.POST, b"dose") == ""
        assert field.operator.say(device.address, "note") == "opendose"
        heard = [data for from_device, data in wire.heard if not from_device]
        device.kill()
        device.start()
        # replay all datagrams, from the original address and from new ones
        for data in heard:
            wire.inject(data)
            send(device.address, data)
        counted = field.refused(device)
        assert counted["EchoRequired"] >= 2 and counted["OutOfOrder"] >= 1
        assert field.operator.say(device.address, "note") == ""
        assert post(device.address, action) == ["ActionSpent"]
        # the real peer answers the Echo in its old session, and continues
        before = len(wire.heard)
        assert sender.say(wire.address, "note", coap.PUT, b"shut") == ""
        assert all(coap.decode(data).option(coap.EDHOC) is None for _, data in wire.heard[before:])
        for number, data in enumerate(heard):
            wire.inject(data[:2] + number.to_bytes(2, "big") + data[4:])
        wait(lambda: field.refused(device).get("Replayed", 0) >= 2)
        assert field.operator.say(device.address, "note") == "shut"


# --- actions --------------------------------------------------------------------------------------


def test_an_action_allows_one_command_once(field: AttackedField) -> None:
    device, other, scope = field.device("soil"), field.device("tank"), field.scope
    operator, me = field.operator, node_id(device.path)
    assert operator.say(device.address, "note", coap.POST, b"dose") == "NeedsAction"
    action = scope.action(me, b"dose")
    assert post(device.address, flipped(action, -1)) == ["BadSignature"]
    assert post(other.address, action) == ["WrongTarget"]
    assert post(device.address, action) == ["taken"]
    # an action is for one method, one path and one payload
    assert operator.say(device.address, "note", coap.POST, b"dose ") == "NeedsAction"
    # with nothing in a query, which no operator has seen
    more = {"query": ("angle=90",)}
    assert operator.say(device.address, "note", coap.POST, b"dose", **more) == "NeedsAction"
    # and only for a node that a rule allows
    guest = field.member("guest", SENSOR)
    assert guest.say(device.address, "note", coap.POST, b"dose") == "NotAllowed"
    assert operator.say(device.address, "note", coap.POST, b"dose") == ""
    assert operator.say(device.address, "note", coap.POST, b"dose") == "NeedsAction"
    # it is executed once, also if it is posted again, and not after its time
    twice = scope.action(me, b"dose", exp=FOUNDED + 2 * 86400)
    late = scope.action(me, b"late", nonce=2, exp=FOUNDED + 60)
    assert post(device.address, scope.beacon(time_s=FOUNDED + 60)) == ["taken"]
    assert post(device.address, action, twice, late) == ["ActionSpent", "ActionSpent", "Expired"]
    assert operator.say(device.address, "note") == "dose"


# --- host peers -----------------------------------------------------------------------------------


def test_a_malicious_host_peer_gains_nothing_from_a_delegation(
    field: AttackedField, monkeypatch: pytest.MonkeyPatch
) -> None:
    # five sessions and a delegation: 160 kB are just too little (docs/memory.md)
    field.heap = "192k"
    scope = field.scope
    until = FOUNDED + 400 * 86400
    peers = {name: field.member(name, 0) for name in ("stale", "forger", "fool", "honest")}
    statements = []
    scope.amend(bytes(8))
    beacon = scope.beacon()
    for name in ("forger", "fool", "honest"):
        for raw in (scope.policies[1], beacon):
            peers[name].authority.receive(raw, 0)

    def renewal(member: capsule.Member, exp: int, **changes: object) -> bytes:
        facts = {"roles": member.roles, "x": member.x, "odd": member.y_is_odd, **changes}
        key = (facts["x"], facts["odd"])
        body = [member.address, facts["roles"]]
        return capsule.build(capsule.MEMBER, body, sub=member.name, exp=exp, key=key)

    def answer(name: str, request: object) -> tuple[int, bytes] | None:
        if request.path != "writ/propose":
            return None
        statements.append((name, request.payload))
        if name == "stale":
            return coap.FORBIDDEN, b"no renewal"
        if name == "forger":
            return coap.CHANGED, capsule.assemble(renewal(request.peer, until), bytes(64))
        if name == "fool":
            # certified, with more roles than the device asked for
            return coap.CHANGED, scope.certify(
                renewal(request.peer, until, roles=SENSOR | OPERATOR)
            )
        return coap.CHANGED, scope.certify(renewal(request.peer, until))

    receive = peers["stale"].authority.receive

    def receive_no_policy(raw: bytes, *others: object) -> object:
        if raw == scope.policies[1]:
            raise EpochGap()
        return receive(raw, *others)

    # it hears of the newer epoch, and would follow before the device asks it
    monkeypatch.setattr(peers["stale"].authority, "receive", receive_no_policy)
    for name, peer in peers.items():
        peer.lie(lambda request, name=name: answer(name, request))
    with contextlib.ExitStack() as running:
        for peer in peers.values():
            running.enter_context(peer.background())
        where = [peer.address for peer in peers.values()]
        device = field.device("soil", governors=where)
        wait(lambda: own_member(device.path).expires == until)
    assert own_member(device.path).roles == SENSOR
    assert {name for name, _ in statements} == {"forger", "fool", "honest"}
    counted = field.refused(device)
    assert all(counted[name] >= 1 for name in ("StalePeer", "BadSignature", "WrongAnswer"))
    # all peers received the same statement, which is no capsule
    (said,) = {raw for _, raw in statements}
    assert post(device.address, said) == ["UnknownKind"]
    assert field.status(device)["epoch"] == 2


def test_a_host_peer_cannot_turn_one_action_into_another(field: AttackedField) -> None:
    device, scope = field.device("soil"), field.scope
    me, answers = node_id(device.path), []
    wrong = {
        "target": scope.action(bytes(8), b"dose"),
        "payload": scope.action(me, b"overdose"),
        "path": scope.action(me, b"dose", path="temp"),
        "late": scope.action(me, b"dose", exp=FOUNDED),
        "forged": flipped(scope.action(me, b"dose"), -1),
        "right": scope.action(me, b"dose"),
    }
    peers = [field.member(name, 0) for name in wrong]
    for peer, raw in zip(peers, wrong.values(), strict=True):
        peer.lie(lambda request, raw=raw: request.path == "writ/propose" and (coap.CHANGED, raw))
    panel = field.member("panel", governors=[peer.address for peer in peers], renew_days=0)
    panel.authority.receive(scope.beacon(), 0)
    panel.delegate.ask_action(me, coap.POST, "note", b"dose", answers.append)

    def turn() -> list[object]:
        for one in (panel, *peers):
            one.step(2)
        return answers

    wait(turn, every_s=0)
    assert answers[0].payload == wrong["right"]
    assert panel.counters == {"WrongAnswer": 4, "BadSignature": 1}
    assert post(device.address, answers[0].payload) == ["taken"]
    assert panel.say(device.address, "note", coap.POST, b"dose") == ""
