"""Home Assistant's MQTT discovery: one retained message a device, with all its entities.

Source: home-assistant.io/integrations/mqtt, "Device discovery payload", and the schema of Home
Assistant 2026.11 (components/mqtt/schemas.py, discovery.py). An entity is known by its unique_id,
made of the node id: a renamed node keeps its entities, another key under the same name gets new
ones.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

from . import topics
from .mapping import Mapping
from .settings import Reading

_SUPPORT_URL = "https://github.com/writ/writ"
_VALUE = "{{ value_json.value }}"
_TIME = "{{ {'time': value_json.time} | tojson }}"


@dataclass(frozen=True)
class Device:
    """A node as Home Assistant shows it. model: what it is, as text; via: the bridge's id."""

    name: str
    node_id: bytes
    model: str
    via: bytes | None = None

    @property
    def identifier(self) -> str:
        """The identifier of the device, and the beginning of its entities' unique_id."""
        return f"writ_{self.node_id.hex()}"

    def topic(self, prefix: str) -> str:
        """The topic of its discovery message."""
        return f"{prefix}/device/{self.identifier}/config"


def config(
    scope: bytes, device: Device, bridge: str, readings: Iterable[Reading]
) -> dict[str, object]:
    """The discovery message of a node that a bridge of this name reads."""
    known: dict[str, object] = {
        "identifiers": [device.identifier],
        "name": device.name,
        "manufacturer": "Writ",
        "model": device.model,
        "serial_number": device.node_id.hex(),
    }
    if device.via is not None:
        known["via_device"] = f"writ_{device.via.hex()}"
    return {
        "device": known,
        "origin": {
            "name": "Writ",
            "sw_version": metadata.version("writ"),
            "support_url": _SUPPORT_URL,
        },
        # the bridge's own will says that nothing here is up to date
        "availability": [
            {"topic": topics.state(scope, name)} for name in dict.fromkeys((bridge, device.name))
        ],
        "availability_mode": "all",
        "qos": 1,
        "components": {
            component_id(one.resource): _component(scope, device, one) for one in readings
        },
    }


def bridge_config(scope: bytes, device: Device) -> dict[str, object]:
    """The discovery message of the bridge itself: one entity, whether it is connected."""
    found = config(scope, device, device.name, ())
    # without it, so that the entity shows "off" rather than nothing
    del found["availability"], found["availability_mode"]
    found["components"] = {
        "connection": {
            "platform": "binary_sensor",
            "unique_id": f"{device.identifier}_connection",
            "name": "Connection",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.state(scope, device.name),
            "payload_on": topics.ONLINE,
            "payload_off": topics.OFFLINE,
        }
    }
    return found


def component_id(resource: str) -> str:
    """An id of letters, digits and _ for a resource; different paths have different ids."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):02x}", resource)


def _component(scope: bytes, device: Device, reading: Reading) -> dict[str, object]:
    topic = topics.reading(scope, reading.node, reading.resource)
    found: dict[str, object] = {
        "platform": reading.mapping.platform,
        "unique_id": f"{device.identifier}_{component_id(reading.resource)}",
        "name": reading.mapping.name or reading.resource,
        "state_topic": topic,
        "value_template": _VALUE,
        "json_attributes_topic": topic,
        "json_attributes_template": _TIME,
    }
    if reading.mapping.platform == "switch":
        found["command_topic"] = topics.request(scope, reading.node, reading.resource, "set")
    return found | _platform_keys(reading.mapping)


def _platform_keys(mapping: Mapping) -> dict[str, object]:
    keys: dict[str, object] = {
        "device_class": mapping.device_class,
        "state_class": mapping.state_class,
        "unit_of_measurement": mapping.unit,
    }
    if mapping.platform in ("binary_sensor", "switch"):
        keys |= {"payload_on": mapping.on, "payload_off": mapping.off}
    return {key: value for key, value in keys.items() if value}


def without(before: bytes, now: dict[str, object]) -> dict[str, object] | None:
    """`now` with the entities of `before` that it lacks, each as its platform alone.

    This is how Home Assistant removes an entity of a device. None: nothing is to be removed.
    """
    components = now["components"]
    assert isinstance(components, dict)
    try:
        known = json.loads(before)["components"]
        gone = {
            key: {"platform": one["platform"]}
            for key, one in known.items()
            if key not in components or components[key]["platform"] != one["platform"]
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        # not written by this version
        return None
    # an entity that has another platform now is removed first, and made by the next message
    return {**now, "components": {**components, **gone}} if gone else None
