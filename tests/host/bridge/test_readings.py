"""Readings of a real device, through a real broker, as other clients see them."""

import json
import time
from datetime import datetime

import pytest
from bridge_rig import NAME, READ_TEMP, BridgeProcess, bridge_folder, toml
from field_rig import Field
from mosquitto_rig import Client, Mosquitto, needs_mosquitto, wait_for

pytestmark = [pytest.mark.slow, needs_mosquitto]


def values(client: Client, topic: str) -> list[str]:
    """The values of the readings that a client has heard at a topic, as text."""
    return [str(json.loads(payload)["value"]) for payload in client.at(topic)]


def test_readings_arrive_with_their_time_and_are_stored(field: Field, broker: Mosquitto) -> None:
    device = field.device("soil")
    path = bridge_folder(field, toml(broker.port), soil=device.address)
    bridge = BridgeProcess(path).start()
    root = f"writ/{field.scope.id.hex()}"
    try:
        with Client(broker.port) as client:
            client.wait(f"{root}/soil/temp")
            assert client.wait(f"{root}/soil/$state") == b"online"
            assert client.wait(f"{root}/{NAME}/$state") == b"online"
            reading = json.loads(client.at(f"{root}/soil/temp")[-1])
            assert set(reading) == {"value", "time"}
            assert 21 < reading["value"] < 22
            age_s = time.time() - datetime.fromisoformat(reading["time"]).timestamp()
            assert -1 < age_s < 120
        # stored by the broker, for a client that comes later
        with Client(broker.port, f"{root}/soil/#") as late:
            wait_for(lambda: any(one.retain for one in late.heard))
            late.wait(f"{root}/soil/temp")
        assert bridge.stop() == 0
        with Client(broker.port, f"{root}/{NAME}/$state") as after:
            assert after.wait(f"{root}/{NAME}/$state") == b"offline"
        assert bridge.events[-1]["event"] == "stopped"
    finally:
        bridge.kill()


def test_a_killed_bridge_leaves_its_will_and_a_silent_node_is_offline(
    field: Field, broker: Mosquitto
) -> None:
    device = field.device("soil")
    text = toml(broker.port, broker="tls = false\nkeep_alive_s = 5\n")
    path = bridge_folder(field, text, soil=device.address)
    bridge = BridgeProcess(path).start()
    root = f"writ/{field.scope.id.hex()}"
    with Client(broker.port) as client:
        client.wait(f"{root}/soil/$state", b"online")
        bridge.kill()
        client.wait(f"{root}/{NAME}/$state", b"offline")


def test_a_refusal_is_logged_once_a_minute_and_counted(field: Field, broker: Mosquitto) -> None:
    device = field.device("soil")
    more = '[[reading]]\nnode = "soil"\nresource = ["secret", "temp"]\nevery_s = 1\n'
    path = bridge_folder(field, toml(broker.port, more), soil=device.address)
    bridge = BridgeProcess(path).start()
    try:
        event = bridge.wait_for("unread", reading="soil/secret")
        assert event["text"] == "soil/secret: refused: NotAllowed (40)"
        with Client(broker.port) as client:
            # it is online nevertheless, and its other resource is read
            client.wait(f"writ/{field.scope.id.hex()}/soil/temp")
            assert client.wait(f"writ/{field.scope.id.hex()}/soil/$state") == b"online"
        wait_for(lambda: bridge.metric("published_total") > 1)
        assert bridge.metric('read_problems_total{reason="NotAllowed"}') >= 1
        assert bridge.metric("connected") == bridge.metric("nodes_online") == 1
        assert bridge.metric("epoch") == 1
    finally:
        bridge.kill()


def test_an_observed_resource_arrives_without_polling(field: Field, broker: Mosquitto) -> None:
    device = field.device("soil")
    text = toml(broker.port, READ_TEMP.replace("every_s = 1", "every_s = 3600\nobserve = true"))
    bridge = BridgeProcess(bridge_folder(field, text, soil=device.address)).start()
    topic = f"writ/{field.scope.id.hex()}/soil/temp"
    try:
        with Client(broker.port) as client:
            wait_for(lambda: len(values(client, topic)) >= 3)
            times = [json.loads(payload)["time"] for payload in client.at(topic)]
            assert times == sorted(set(times))
            # 21.1 after one notification, and 21.10 after nine more, are one number
            assert len(set(values(client, topic))) > 1
    finally:
        bridge.kill()
