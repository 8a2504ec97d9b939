"""Frame links under attack: crashes, a flash that fails, and members that hand over false keys."""

import contextlib

import node_rig
import pytest
import signer
from airfield_rig import RELAY, AirField
from fakeflash import MemoryFlash

from writ import cbor
from writ.authority import capsule
from writ.authority.capsule import Member
from writ.errors import Expired, NotRouted
from writ.mesh.linkkey import stamp_of
from writ.node.call import Answer
from writ.wire import coap


def settled() -> AirField:
    """A gateway, a relay and a sensor; all are in the mesh."""
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("hill", 2, RELAY)
    field.node("soil", 3)
    assert field.run(
        lambda: all(frames.mesh.routing.rank < 3 for frames in field.frames.values()), 300
    )
    return field


def test_a_blank_gateway_becomes_a_member_over_the_air() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.nodes["gate"].authority.receive(node_rig.member("barn", 4, RELAY), 0)
    field.node("barn", 4, is_gateway=True, is_blank=True)
    barn = field.frames["barn"]
    assert field.run(lambda: barn.mesh.routing and barn.mesh.routing.rank == 0, 60)
    assert field.run(lambda: barn.keys.key, 60)


def test_a_member_that_has_lost_its_capsule_and_not_its_key_goes_on() -> None:
    flash = MemoryFlash()
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("soil", 3, flash=flash)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1, 300)
    for name in list(flash.files):
        if name.startswith("member"):
            del flash.files[name]
    field.node("soil", 3, is_blank=True, flash=flash)
    assert field.nodes["soil"].authority.me is None
    assert field.run(lambda: field.nodes["soil"].authority.me, 600)
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1, 600)


def test_a_gateway_whose_flash_fails_goes_on_and_makes_its_key_later() -> None:
    flash = MemoryFlash()
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True, flash=flash)
    write = flash.write
    writes = []

    def fail(name: str, data: bytes) -> None:
        writes.append(name)
        raise OSError(5)

    flash.write = fail  # type: ignore[method-assign]
    field.run(seconds=20)
    assert field.frames["gate"].keys.key is None
    assert field.nodes["gate"].counters["StoreFailed"] == len(writes)
    # not in each step
    assert writes.count("link.a") <= 11
    flash.write = write  # type: ignore[method-assign]
    assert field.run(lambda: field.frames["gate"].keys.key, 10)


@pytest.mark.parametrize("giver", ["soil", None])
def test_a_member_that_may_not_answer_newcomers_hands_over_no_key(giver: str | None) -> None:
    field = settled()
    frames = field.frames["hill"]
    authority = field.nodes["hill"].authority
    key = frames.keys.key
    body = cbor.encode([authority.epoch, b"\xff" * 16, stamp_of(authority.policy), 600, b""])
    peer = field.nodes[giver].authority.me if giver else None
    frames._got_key(Answer(coap.CONTENT, body, peer))
    assert frames.keys.key == key
    assert field.nodes["hill"].counters[NotRouted.__name__] == 1
    # a relay may: it is believed, as the key of another gateway would be
    frames._got_key(Answer(coap.CONTENT, body, field.nodes["gate"].authority.me))
    assert frames.keys.key == b"\xff" * 16


def test_a_giver_whose_capsule_has_ended_is_asked_in_a_new_session() -> None:
    # it may be renewed, and the session would show its old capsule for ever
    field = settled()
    frames = field.frames["hill"]
    sessions = field.nodes["hill"].sessions
    gate = node_rig.node_id("gate")
    assert sessions.by_peer(gate)
    body = frames.keys.payload(field.nodes["gate"].authority, field.now_ms)
    ended = Member(capsule.parse(node_rig.member("gate", 1, RELAY, signer.FOUNDED)))
    frames._got_key(Answer(coap.CONTENT, body, ended))
    assert field.nodes["hill"].counters[Expired.__name__] == 1
    assert sessions.by_peer(gate) is None


def test_a_closed_link_is_not_asked_without_pause() -> None:
    field = settled()
    frames = field.frames["gate"]
    assert field.run(lambda: any(one.address == 3 for one in frames.mesh.neighbours), 600)
    assert field.run(lambda: not len(frames.mesh.outbox.transfers))
    frames.links[0].send = lambda frame, now_ms: False
    field.send("gate", [("mesh:0003", b"\x40\x01\x00\x01")])
    field.step()
    assert frames.mesh.next_ms(field.now_ms) == 0
    assert frames.next_ms(field.now_ms) > 0


def full_heap(*arguments: object) -> None:
    raise MemoryError


def test_an_answer_that_a_full_heap_has_dropped_does_not_end_all_requests() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    assert field.run(lambda: field.frames["gate"].keys.key, 60)
    field.node("soil", 3)
    frames = field.frames["soil"]
    keys = frames.keys
    receive, keys.receive = keys.receive, full_heap  # type: ignore[method-assign]
    for _ in range(30):
        # what is put off is tried a few times
        with contextlib.suppress(MemoryError):
            field.run(seconds=4)
    keys.receive = receive  # type: ignore[method-assign]
    assert keys.key is None
    assert field.run(lambda: keys.key, 3600)
    assert keys.key == field.frames["gate"].keys.key


def test_a_capsule_that_a_full_heap_has_dropped_is_asked_for_again() -> None:
    field = settled()
    node, frames = field.nodes["soil"], field.frames["soil"]
    receive = node.authority.receive
    node.authority.receive = full_heap  # type: ignore[method-assign]
    frames.mesh.inbox.request_capsule(1, 2)
    with pytest.raises(MemoryError):
        field.run(seconds=60)
    node.authority.receive = receive  # type: ignore[method-assign]
    frames.mesh.inbox.request_capsule(1, 2)
    assert field.run(lambda: not frames.mesh.missing, 60)


def test_made_up_candidates_cost_seconds_each() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    assert field.run(lambda: field.frames["gate"].keys.key, 60)
    field.node("soil", 3)
    frames = field.frames["soil"]
    for address in (100, 101, 102):
        frames.mesh.join.candidates.append((0, address))
        frames.mesh.join._remember(address, 0, frames.mesh.join.handle)
    start_ms = field.now_ms
    assert field.run(lambda: frames.keys.key, 600)
    # each one costs four transmissions and a pause, not the time-outs of a CoAP request
    assert field.now_ms - start_ms < 200000


def test_a_defect_ends_no_agent_and_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    field = settled()
    frames = field.frames["gate"]
    mesh = frames.mesh
    receive, tick = mesh.inbox.receive, mesh._tick

    def fail(*arguments: object) -> None:
        raise IndexError("a bug")

    mesh.inbox.receive = fail  # type: ignore[method-assign]
    mesh._tick = fail  # type: ignore[method-assign]
    told = []
    for on_defect in (None, lambda *defect: told.append(defect)):
        frames._on_defect = on_defect
        for _ in range(3):
            frames.links[0].inbox.append((b"a frame", 5))
            assert frames.poll(field.now_ms) == []
            assert frames.tick(field.now_ms) == []
    assert capsys.readouterr().out == "bug in writ: IndexError('a bug'), link 0, 61206672616d65\n"
    assert [one[1:] for one in told] == [("link 0", b"a frame"), ("link 0", b"")] * 3
    assert field.nodes["gate"].counters["IndexError"] == 12
    mesh.inbox.receive, mesh._tick = receive, tick
    answer = field.ask("soil", "gate", "temp", 600)
    assert answer.code == coap.CONTENT


def test_a_gateway_that_has_restarted_is_reached_by_a_session_of_before() -> None:
    # it knows no way to the sensor, so its Echo for the old session is lost
    flash = MemoryFlash()
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True, flash=flash)
    field.node("hill", 2, RELAY)
    field.node("soil", 3)
    field.line("gate", "hill", "soil")
    soil = field.frames["soil"]
    assert field.run(lambda: soil._reports[4] == 1, 300)
    field.node("gate", 1, RELAY, is_gateway=True, is_blank=True, flash=flash)
    field.run(seconds=5)
    # the hour until its next report is over
    soil._reports[0] = before = field.now_ms
    assert field.run(lambda: soil._reports[0] > before, 600)
    assert 3 in field.frames["gate"].mesh.routes
