"""The facts of Home Assistant's MQTT discovery that a device's message must agree with.

Source: Home Assistant 2026.11.0 (PyPI `homeassistant`), homeassistant/components/mqtt: schemas.py
(DEVICE_DISCOVERY_SCHEMA, MQTT_DEVICE_INFO_SCHEMA, MQTT_ORIGIN_INFO_SCHEMA, the availability list,
MQTT_ENTITY_COMMON_SCHEMA), config.py (MQTT_RO_SCHEMA, MQTT_RW_SCHEMA), sensor.py, binary_sensor.py,
switch.py, discovery.py (TOPIC_MATCHER), util.py (valid_topic), abbreviations.py; and
homeassistant/components/sensor/const.py (DEVICE_CLASS_UNITS, SensorStateClass), binary_sensor.
"""

import json
import re
from typing import Any

TOPIC = re.compile(r"(\w+)/(?:([a-zA-Z0-9_-]+)/)?([a-zA-Z0-9_-]+)/config")
# key: whether it is required
DEVICE_MESSAGE = {
    "device": True,
    "origin": True,
    "components": True,
    "availability": False,
    "availability_mode": False,
    "state_topic": False,
    "command_topic": False,
    "qos": False,
    "encoding": False,
}
DEVICE = """identifiers connections manufacturer model model_id name hw_version serial_number
    sw_version via_device suggested_area configuration_url""".split()  # noqa: SIM905
ORIGIN = {"name": True, "sw_version": False, "support_url": False}
AVAILABILITY = {
    "topic": True,
    "payload_available": False,
    "payload_not_available": False,
    "value_template": False,
}
AVAILABILITY_MODES = ("all", "any", "latest")
PAYLOAD_AVAILABLE, PAYLOAD_NOT_AVAILABLE = "online", "offline"
COMMON = """platform unique_id name device_class entity_category icon enabled_by_default
    json_attributes_topic json_attributes_template default_entity_id value_template
    state_topic qos encoding""".split()  # noqa: SIM905
# platform: (required keys, further keys)
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {
    "sensor": (
        {"state_topic"},
        {"unit_of_measurement", "state_class", "expire_after", "force_update", "options"},
    ),
    "binary_sensor": (
        {"state_topic"},
        {"payload_on", "payload_off", "off_delay", "expire_after", "force_update"},
    ),
    "switch": (
        {"command_topic"},
        {"payload_on", "payload_off", "state_on", "state_off", "optimistic", "retain"},
    ),
}
STATE_CLASSES = {"measurement", "measurement_angle", "total", "total_increasing"}
ENTITY_CATEGORIES = {"config", "diagnostic"}
# A part of DEVICE_CLASS_UNITS: the classes that defaults of a bridge use.
UNITS = {
    "temperature": {"°C", "°F", "K"},
    "humidity": {"%"},
    "moisture": {"%"},
    "battery": {"%"},
    "pressure": {"Pa", "hPa", "kPa", "bar", "cbar", "mbar", "mmHg", "inHg", "psi"},
    "voltage": {"μV", "mV", "V", "kV", "MV"},
    "current": {"μA", "mA", "A"},
    "power": {"mW", "W", "kW", "MW", "GW", "TW"},
    "energy": {"J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "TWh"},
    "illuminance": {"lx"},
    "carbon_dioxide": {"ppm"},
    "signal_strength": {"dB", "dBm"},
    "duration": {"d", "h", "min", "s", "ms", "μs"},
}
BINARY_CLASSES = {"connectivity", "door", "moisture", "motion", "problem", "running", "window"}


def check_message(topic: str, payload: bytes, prefix: str = "homeassistant") -> dict[str, Any]:
    """The message of a device, checked as Home Assistant does, with its full key names."""
    found = TOPIC.fullmatch(topic.removeprefix(f"{prefix}/"))
    assert found and found[1] == "device", topic
    message: dict[str, Any] = json.loads(payload)
    _check_keys(message, DEVICE_MESSAGE)
    assert set(message["device"]) <= set(DEVICE)
    assert message["device"]["identifiers"]
    _check_keys(message["origin"], ORIGIN)
    assert message.get("availability_mode", "latest") in AVAILABILITY_MODES
    for one in message.get("availability", []):
        _check_keys(one, AVAILABILITY)
        check_topic(one["topic"])
    assert message.get("qos", 0) in (0, 1, 2)
    unique = [one["unique_id"] for one in message["components"].values() if len(one) > 1]
    assert len(unique) == len(set(unique))
    for key, one in message["components"].items():
        # the id becomes a part of a discovery id, which is split at spaces
        assert key and " " not in key
        check_component(one)
    return message


def check_component(one: dict[str, Any]) -> None:
    """Check one entity; a platform alone removes the entity."""
    required, more = PLATFORMS[one["platform"]]
    if len(one) == 1:
        return
    assert required | {"unique_id"} <= set(one) <= required | more | set(COMMON), one
    assert all(isinstance(value, str) and value for value in one.values())
    for key in one:
        if key.endswith("_topic"):
            check_topic(one[key])
    assert one.get("state_class", "total") in STATE_CLASSES
    assert one.get("entity_category", "diagnostic") in ENTITY_CATEGORIES
    kind, unit = one.get("device_class"), one.get("unit_of_measurement")
    if kind is not None and one["platform"] == "sensor":
        assert unit in UNITS[kind], one
    elif kind is not None:
        assert kind in BINARY_CLASSES


def check_topic(topic: str) -> None:
    """Check a topic without wildcards, as valid_publish_topic does."""
    assert 0 < len(topic.encode()) <= 65535
    assert topic.isprintable() and not set("+#\0") & set(topic)


def _check_keys(found: dict[str, Any], keys: dict[str, bool]) -> None:
    assert {key for key, is_required in keys.items() if is_required} <= set(found) <= set(keys)
