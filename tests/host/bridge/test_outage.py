"""A broker that is killed, and a bridge that is killed: what waits is published, once, in order."""

import json
import os
import random
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from bridge_rig import BridgeProcess, bridge_folder, toml
from field_rig import Field
from mosquitto_rig import (
    Client,
    Mosquitto,
    Recorder,
    needs_mosquitto,
    wait_for,
)

from writ_host.bridge.broker import IN_FLIGHT_MAX
from writ_host.bridge.spool import Spool

pytestmark = [pytest.mark.slow, needs_mosquitto]

READINGS = '[[reading]]\nnode = "soil"\nresource = ["temp", "note", "level/1"]\nevery_s = 1\n'


def bridge_of(field: Field, broker: Mosquitto) -> BridgeProcess:
    """A bridge that reads a device each second."""
    device = field.device("soil")
    path = bridge_folder(field, toml(broker.port, READINGS), soil=device.address)
    return BridgeProcess(path)


def spooled(path: Path) -> list[tuple[str, bytes]]:
    """The topics and payloads that wait in the folder of a bridge that does not run."""
    spool = Spool(path / "spool.db", 1 << 30, 1 << 30)
    try:
        return [(one.topic, one.payload) for one in spool.after(0, 1_000_000)]
    finally:
        spool.close()


def published(client: Client) -> list[tuple[str, bytes]]:
    """The readings that a client has heard when they were published, not those stored before."""
    found = [(one.topic, one.payload) for one in list(client.heard) if not one.retain]
    return [one for one in found if one[1].startswith(b'{"value"')]


def times(found: list[tuple[str, bytes]], end: str) -> list[str]:
    """The times of the readings at one topic, in their order, each once."""
    listed = [json.loads(payload)["time"] for topic, payload in found if topic.endswith(end)]
    return list(dict.fromkeys(listed))


def test_readings_of_an_outage_are_published_after_it(field: Field, broker: Mosquitto) -> None:
    bridge = bridge_of(field, broker).start()
    try:
        with Client(broker.port) as client:
            wait_for(lambda: len(published(client)) >= 3)
            broker.kill()
            before = published(client)
        bridge.wait_for("disconnected")
        wait_for(lambda: bridge.metric("spool_messages") >= 9)
        # the bridge must not come back before the client of this test does
        os.kill(bridge.pid, signal.SIGSTOP)
        broker.start()
        with Client(broker.port) as client:
            os.kill(bridge.pid, signal.SIGCONT)
            bridge.wait_for("connected", 2)
            wait_for(lambda: 0 <= bridge.metric("spool_messages") <= 3)
            after = published(client)
        # what was under way when the broker died may come twice
        assert len([one for one in after if one in before]) <= IN_FLIGHT_MAX
        assert len(after) == len(set(after))
        for end in ("/temp", "/note", "/level/1"):
            heard = times(before + after, end)
            assert heard == sorted(heard)
            assert len(heard) >= 4
        values = [
            json.loads(one[1])["value"]
            for one in dict.fromkeys(before + after)
            if one[0].endswith("/temp")
        ]
        # the device counts its readings: 21.1, 21.2, ...
        first = int(str(values[0]).partition(".")[2])
        assert values == [float(f"21.{first + n}") for n in range(len(values))]
        assert bridge.metric("dropped_total") == 0
    finally:
        bridge.kill()


def test_a_killed_bridge_publishes_what_it_had_spooled_exactly_once(
    field: Field, broker: Mosquitto
) -> None:
    bridge = bridge_of(field, broker)
    broker.kill()
    bridge.start()
    try:
        bridge.wait_for("disconnected")
        wait_for(lambda: bridge.metric("spool_messages") >= 8)
        bridge.kill()
        waiting = spooled(bridge.path)
        assert len(waiting) >= 8
        broker.start()
        with Client(broker.port) as client:
            bridge.start()
            wait_for(lambda: len(published(client)) > len(waiting))
            assert published(client)[: len(waiting)] == waiting
            assert not set(waiting) & set(published(client)[len(waiting) :])
        assert bridge.stop() == 0
        # each one was acknowledged, and is gone
        assert not set(waiting) & set(spooled(bridge.path))
    finally:
        bridge.kill()


def test_a_killed_bridge_has_what_was_not_acknowledged(field: Field) -> None:
    server = Recorder(first=1_000_000)
    device = field.device("soil")
    path = bridge_folder(field, toml(server.port, READINGS), soil=device.address)
    bridge = BridgeProcess(path).start()
    try:
        bridge.wait_for("connected")
        wait_for(lambda: bridge.metric("readings_total") >= 6)
        assert bridge.metric("published_total") == 0
        bridge.kill()
        assert len(spooled(path)) >= 6
    finally:
        bridge.kill()
        server.close()


def test_no_new_reading_overtakes_one_that_is_sent_again(field: Field) -> None:
    server = Recorder(first=5)
    device = field.device("soil")
    path = bridge_folder(field, toml(server.port, READINGS), soil=device.address)
    bridge = BridgeProcess(path).start()
    try:
        wait_for(lambda: len(server.heard) == 2)
        wait_for(lambda: len(readings_of(server.heard[1])) >= 12)
        first, second = (readings_of(heard) for heard in server.heard)
        assert second[: len(first)] == first
        for end in ("/temp", "/note", "/level/1"):
            assert all(a < b for a, b in pairwise(times(second, end)))
    finally:
        bridge.kill()
        server.close()


def readings_of(heard: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The readings among messages."""
    return [one for one in list(heard) if one[1].startswith(b'{"value"')]


def test_bridges_that_are_killed_again_and_again_lose_nothing(
    field: Field, broker: Mosquitto
) -> None:
    bridge = bridge_of(field, broker)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    kept: set[tuple[str, bytes]] = set()
    kills = 5
    try:
        with Client(broker.port) as client:
            for _ in range(kills):
                count = len(published(client)) + chance.randrange(1, 8)
                bridge.start()
                wait_for(lambda count=count: len(published(client)) >= count)  # type: ignore[misc]
                bridge.kill()
                kept |= set(spooled(bridge.path))
            bridge.start()
            wait_for(lambda: kept <= set(published(client)), why=f"seed {seed}: lost")
            wait_for(lambda: bridge.metric("spool_messages") == 0)
            heard = published(client)
        repeated = len(heard) - len(set(heard))
        # once for each kill what was not acknowledged, or whose acknowledgement was not noted
        assert repeated <= kills * IN_FLIGHT_MAX, seed
        for end in ("/temp", "/note", "/level/1"):
            assert all(a < b for a, b in pairwise(times(heard, end))), seed
    finally:
        bridge.kill()


def test_expired_readings_are_dropped_and_the_log_says_so(field: Field, broker: Mosquitto) -> None:
    device = field.device("soil")
    text = toml(broker.port, READINGS + "[spool]\nage_max_s = 60\n")
    path = bridge_folder(field, text, soil=device.address)
    spool = Spool(path / "spool.db", 1 << 30, 1 << 40)
    spool.add("writ/x", b"from long ago", False, 1)
    spool.commit(2)
    spool.close()
    broker.kill()
    bridge = BridgeProcess(path).start()
    try:
        event = bridge.wait_for("dropped")
        assert "dropped 1 readings" in event["text"]
        bridge.kill()
        assert all(payload != b"from long ago" for _, payload in spooled(path))
    finally:
        bridge.kill()
