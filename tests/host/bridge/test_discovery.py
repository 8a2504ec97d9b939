"""Discovery messages agree with Home Assistant's schema, and name their entities for good."""

import json

import pytest
from home_assistant import STATE_CLASSES, UNITS, check_message

from writ_host.bridge import discovery, mapping, topics
from writ_host.bridge.discovery import Device
from writ_host.bridge.mapping import Mapping
from writ_host.bridge.settings import Reading

SCOPE = bytes(range(8))
HUB = Device("hub", b"h" * 8, "Writ node of farm")
SOIL = Device("soil-1", b"s" * 8, "Writ node of farm", HUB.node_id)


def reading(resource: str, **more: str) -> Reading:
    """A reading of soil-1."""
    return Reading("soil-1", resource, 60, False, mapping.default(resource).changed(more))


def made(*readings: Reading) -> dict[str, object]:
    """The discovery message for these readings, which the schema allows."""
    found = discovery.config(SCOPE, SOIL, HUB.name, readings)
    check_message(SOIL.topic("homeassistant"), json.dumps(found).encode())
    return found


def test_a_device_message() -> None:
    found = made(reading("temp"), reading("door", platform="binary_sensor", device_class="door"))
    assert SOIL.topic("ha/x") == "ha/x/device/writ_7373737373737373/config"
    temp = {
        "platform": "sensor",
        "unique_id": "writ_7373737373737373_temp",
        "name": "temp",
        "state_topic": "writ/0001020304050607/soil-1/temp",
        "value_template": "{{ value_json.value }}",
        "json_attributes_topic": "writ/0001020304050607/soil-1/temp",
        "json_attributes_template": "{{ {'time': value_json.time} | tojson }}",
        "device_class": "temperature",
        "state_class": "measurement",
        "unit_of_measurement": "°C",
    }
    components = found["components"]
    assert isinstance(components, dict)
    assert components["temp"] == temp
    assert components["door"]["payload_on"] == "1"
    switch = made(reading("valve", platform="switch", on="open", off="shut"))["components"]
    assert isinstance(switch, dict)
    assert switch["valve"]["command_topic"] == "writ/0001020304050607/soil-1/valve/set"
    assert (switch["valve"]["payload_on"], switch["valve"]["payload_off"]) == ("open", "shut")
    assert found["availability"] == [
        {"topic": "writ/0001020304050607/hub/$state"},
        {"topic": "writ/0001020304050607/soil-1/$state"},
    ]
    assert found["availability_mode"] == "all"
    device = found["device"]
    assert isinstance(device, dict)
    assert device["via_device"] == HUB.identifier


def test_the_bridge_is_a_device_itself() -> None:
    found = discovery.bridge_config(SCOPE, HUB)
    check_message(HUB.topic("homeassistant"), json.dumps(found).encode())
    assert found["device"]["identifiers"] == ["writ_" + HUB.node_id.hex()]  # type: ignore[index]


def test_different_paths_have_different_ids() -> None:
    paths = ["a/b", "a_b", "a-b", "a.b", "ab", "a/_b", "a_/b", "a_2fb", "a~b", "A/b"]
    ids = {discovery.component_id(path) for path in paths}
    assert len(ids) == len(paths)
    assert all(one.replace("_", "").isalnum() and one.isascii() for one in ids)


@pytest.mark.parametrize("name", sorted(mapping._BY_NAME))
def test_a_default_is_what_home_assistant_accepts(name: str) -> None:
    found = mapping.default(f"level/{name}")
    assert found == mapping.default(name)
    assert found.state_class in STATE_CLASSES
    assert not found.device_class or found.unit in UNITS[found.device_class]
    made(reading(name))


def test_an_unknown_resource_is_a_plain_sensor() -> None:
    assert mapping.default("door/front") == Mapping()
    assert topics.is_resource("door/front")


def test_an_entity_that_is_gone_is_removed_by_its_platform_alone() -> None:
    before = json.dumps(made(reading("temp"), reading("humidity"))).encode()
    now = made(reading("temp"))
    reduced = discovery.without(before, now)
    assert reduced is not None
    check_message(SOIL.topic("homeassistant"), json.dumps(reduced).encode())
    components = reduced["components"]
    assert isinstance(components, dict)
    assert components["humidity"] == {"platform": "sensor"}
    assert len(components["temp"]) > 1
    assert discovery.without(json.dumps(now).encode(), now) is None
    # an entity of another platform is another entity
    other = made(
        reading("temp", platform="binary_sensor", unit="", device_class="", state_class="")
    )
    reduced = discovery.without(before, other)
    assert reduced is not None
    assert reduced["components"]["temp"] == {"platform": "sensor"}  # type: ignore[index]


@pytest.mark.parametrize("before", [b"", b"[]", b"null", b'{"components": 7}', b"\xff", b"[" * 99])
def test_a_record_that_is_no_message_removes_nothing(before: bytes) -> None:
    assert discovery.without(before, made(reading("temp"))) is None
