"""How a resource appears in Home Assistant: its platform, unit and class, by default by its name.

Units and classes are those of Home Assistant's sensor integration; tests/host/bridge has the table
and its source.
"""

from collections.abc import Mapping as Table
from dataclasses import dataclass, replace

# Platform of an entity: the keys of bridge.toml that it takes.
PLATFORMS: dict[str, tuple[str, ...]] = {
    "sensor": ("platform", "name", "unit", "device_class", "state_class"),
    "binary_sensor": ("platform", "name", "device_class", "on", "off"),
    # set by a request; the value that is read afterwards is the state
    "switch": ("platform", "name", "device_class", "on", "off"),
}


@dataclass(frozen=True)
class Mapping:
    """platform: of an entity; the others: "" where Home Assistant's default is meant.

    on, off: the values that mean on and off.
    """

    platform: str = "sensor"
    name: str = ""
    unit: str = ""
    device_class: str = ""
    state_class: str = ""
    on: str = "1"
    off: str = "0"

    def changed(self, given: Table[str, str]) -> "Mapping":
        """The mapping with other values; another unit than the default's needs a class of its own.

        Home Assistant refuses an entity whose unit does not belong to its class.
        """
        if given.get("unit", self.unit) != self.unit:
            given = {"device_class": "", **given}
        return replace(self, **given)


def _measured(unit: str, device_class: str = "") -> Mapping:
    return Mapping(unit=unit, device_class=device_class, state_class="measurement")


# Last level of a resource's path: what it probably means. The first ones are what `writ node run`
# serves.
_BY_NAME = {
    "memory": _measured("%"),
    "temperature": _measured("°C", "temperature"),
    "uptime": Mapping(unit="s", device_class="duration", state_class="total_increasing"),
    "temp": _measured("°C", "temperature"),
    "humidity": _measured("%", "humidity"),
    "moisture": _measured("%", "moisture"),
    "pressure": _measured("hPa", "pressure"),
    "battery": _measured("%", "battery"),
    "voltage": _measured("V", "voltage"),
    "current": _measured("A", "current"),
    "power": _measured("W", "power"),
    "energy": Mapping(unit="kWh", device_class="energy", state_class="total_increasing"),
    "light": _measured("lx", "illuminance"),
    "co2": _measured("ppm", "carbon_dioxide"),
    "rssi": _measured("dBm", "signal_strength"),
}


def default(resource: str) -> Mapping:
    """The mapping of a resource that bridge.toml says nothing about: by the end of its path."""
    return _BY_NAME.get(resource.rpartition("/")[2], Mapping())
