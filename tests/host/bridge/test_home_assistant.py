"""What Home Assistant sees at a real broker: discovery, availability, removal."""

import json
from pathlib import Path
from typing import Any

import pytest
from bridge_rig import NAME, BridgeProcess, bridge_folder, toml
from field_rig import Field
from home_assistant import PAYLOAD_AVAILABLE, PAYLOAD_NOT_AVAILABLE, check_message
from mosquitto_rig import Client, Mosquitto, needs_mosquitto, wait_for

from writ.authority.capsule import Member
from writ_host.bridge import settings
from writ_host.bridge.announce import Announcer
from writ_host.bridge.discovery import Device
from writ_host.bridge.spool import Spool

pytestmark = [pytest.mark.slow, needs_mosquitto]

TWO = '[[reading]]\nnode = "soil"\nresource = ["temp", "level/1"]\nevery_s = 1\n'
ONE = '[[reading]]\nnode = "soil"\nresource = "temp"\nevery_s = 1\n'


def configs(client: Client) -> dict[str, dict[str, Any]]:
    """{device name: message} of the last discovery messages, each checked."""
    found = {one.topic: one.payload for one in list(client.heard) if "/device/" in one.topic}
    checked = [check_message(topic, payload) for topic, payload in found.items() if payload]
    return {one["device"]["name"]: one for one in checked}


def test_discovery_is_stored_and_sent_again_when_home_assistant_starts(
    field: Field, broker: Mosquitto
) -> None:
    device = field.device("soil")
    bridge = BridgeProcess(bridge_folder(field, toml(broker.port, TWO), soil=device.address))
    bridge.start()
    try:
        with Client(broker.port) as client:
            wait_for(lambda: set(configs(client)) == {"soil", NAME})
            found = configs(client)["soil"]
            assert {one["name"] for one in found["components"].values()} == {"temp", "level/1"}
            for one in found["components"].values():
                reading = json.loads(client.wait(one["state_topic"]))
                assert "value" in reading
            for one in found["availability"]:
                assert client.wait(one["topic"]).decode() == PAYLOAD_AVAILABLE
            topics = {one.topic for one in client.heard if "/device/" in one.topic}
            counts = {topic: len(client.at(topic)) for topic in topics}
            client.publish("homeassistant/status", b"offline")
            client.publish("homeassistant/status", b"online")
            wait_for(lambda: all(len(client.at(topic)) > counts[topic] for topic in topics))
            # a client that repeats it causes no flood
            counts = {topic: len(client.at(topic)) for topic in topics}
            for _ in range(50):
                client.publish("homeassistant/status", b"online")
            state = f"writ/{field.scope.id.hex()}/{NAME}/$state"
            before = len(client.at(state))
            wait_for(lambda: len(client.at(state)) > before)
            assert all(len(client.at(topic)) <= counts[topic] + 2 for topic in topics)
            assert configs(client)["soil"] == found
        with Client(broker.port, "homeassistant/#") as late:
            wait_for(lambda: set(configs(late)) == {"soil", NAME})
    finally:
        bridge.kill()


def test_a_node_that_does_not_answer_is_unavailable(field: Field, broker: Mosquitto) -> None:
    more = ONE.replace("soil", "ghost")
    bridge = BridgeProcess(bridge_folder(field, toml(broker.port, more))).start()
    try:
        with Client(broker.port) as client:
            topic = f"writ/{field.scope.id.hex()}/ghost/$state"
            assert client.wait(topic).decode() == PAYLOAD_NOT_AVAILABLE
            # its node id is not known, so there is no device of it
            wait_for(lambda: set(configs(client)) == {NAME})
    finally:
        bridge.kill()


def test_states_are_published_when_they_change_and_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(toml(1, ONE + '[publish]\ndiscovery = ""\n'))
    spool = Spool(tmp_path / "spool.db", 1 << 20, 60)
    said: list[tuple[str, str]] = []
    me = Device(NAME, bytes(8), "test")
    announcer = Announcer(
        settings.read(file),
        bytes(8),
        me,
        spool,
        lambda topic, payload: said.append((topic.split("/")[2], payload.decode())),
    )
    soil: Any = Member.__new__(Member)
    soil.name, soil.node_id = "soil", b"s" * 8
    announcer.answered(soil)
    assert said == []
    announcer.connected()
    assert said == [(NAME, "online"), ("soil", "online")]
    announcer.answered(soil)
    announcer.silent("soil")
    announcer.silent("soil")
    announcer.answered(soil)
    assert said[2:] == [("soil", "offline"), ("soil", "online")]
    announcer.disconnected()
    announcer.silent("soil")
    announcer.stopping()
    assert len(said) == 4
    announcer.connected()
    announcer.stopping()
    assert said[4:] == [(NAME, "online"), ("soil", "offline"), (NAME, "offline")]
    spool.close()


def test_a_node_that_answers_first_is_announced_alone_and_a_new_key_replaces_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(toml(1, "".join(ONE.replace("soil", f"n{n}") for n in range(5))))
    spool = Spool(tmp_path / "spool.db", 1 << 20, 60)
    said: list[tuple[str, bytes]] = []
    announcer = Announcer(
        settings.read(file),
        bytes(8),
        Device(NAME, b"a bridge", "test"),
        spool,
        lambda *what: said.append(what),
    )
    announcer.connected()

    def answer(name: str, node_id: bytes) -> list[tuple[str, bytes]]:
        said.clear()
        member: Any = Member.__new__(Member)
        member.name, member.node_id = name, node_id
        announcer.answered(member)
        return [one for one in said if "/device/" in one[0]]

    for n in range(5):
        ((topic, payload),) = answer(f"n{n}", bytes([n]) * 8)
        assert check_message(topic, payload)["device"]["name"] == f"n{n}"
    assert answer("n1", bytes([1]) * 8) == []
    (_, new), (topic, gone) = answer("n1", b"replaced")
    assert (topic, gone) == (f"homeassistant/device/writ_{'01' * 8}/config", b"")
    assert json.loads(new)["device"]["serial_number"] == b"replaced".hex()
    spool.close()


def test_what_the_file_no_longer_names_is_removed(field: Field, broker: Mosquitto) -> None:
    soil, gone = field.device("soil"), field.device("gone")
    more = TWO + ONE.replace("soil", "gone")
    path = bridge_folder(field, toml(broker.port, more), soil=soil.address, gone=gone.address)
    bridge = BridgeProcess(path).start()
    try:
        with Client(broker.port) as client:
            wait_for(lambda: set(configs(client)) == {"soil", "gone", NAME})
            ids = {name: one["device"]["identifiers"][0] for name, one in configs(client).items()}
        assert bridge.stop() == 0
        (path / "bridge.toml").write_text(toml(broker.port, ONE))
        with Client(broker.port) as client:
            bridge.start()
            topic = f"homeassistant/device/{ids['gone']}/config"
            client.wait(topic, b"")
            soil_topic = f"homeassistant/device/{ids['soil']}/config"
            wait_for(lambda: len(client.at(soil_topic)) >= 3)
            reduced, last = [json.loads(one)["components"] for one in client.at(soil_topic)][-2:]
            assert reduced["level_2f1"] == {"platform": "sensor"}
            assert set(last) == {"temp"}
        assert bridge.stop() == 0
        # and it is removed once only
        with Client(broker.port) as client:
            bridge.start()
            wait_for(lambda: bridge.metric("published_total") > 0)
            assert client.at(topic) == []
    finally:
        bridge.kill()


def test_without_discovery_nothing_is_published_below_its_prefix(
    field: Field, broker: Mosquitto
) -> None:
    device = field.device("soil")
    text = toml(broker.port, ONE + '[publish]\ndiscovery = ""\n')
    bridge = BridgeProcess(bridge_folder(field, text, soil=device.address)).start()
    try:
        with Client(broker.port) as client:
            client.wait(f"writ/{field.scope.id.hex()}/soil/temp")
            assert all(one.topic.startswith("writ/") for one in client.heard)
    finally:
        bridge.kill()
