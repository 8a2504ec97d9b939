"""Sensors of a Raspberry Pi or PC, served as resources: `writ node run --serve load,memory`.

Each sensor is a function that returns text, or None if the machine has no such value. Linux has
most values in /proc and /sys; on other systems the standard library provides some.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from writ.errors import UsageError

# The interval of notifications to observers, in seconds.
PERIOD_S = 5
_PROC = Path("/proc")
_THERMAL = Path("/sys/class/thermal")


def load() -> str | None:
    """Load averages of 1, 5 and 15 minutes: "0.42 0.31 0.30"."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def memory() -> str | None:
    """Memory in use, in percent: "41.3"."""
    table = _table(_PROC / "meminfo", ":")
    try:
        total, free = (int(table[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    except (KeyError, ValueError, IndexError):
        return None
    return f"{100 * (total - free) / total:.1f}"


def temperature() -> str | None:
    """The hottest thermal zone, in degrees Celsius: "48.2"."""
    found = [int(text) for path in _THERMAL.glob("thermal_zone*/temp") if (text := _number(path))]
    return f"{max(found) / 1000:.1f}" if found else None


def uptime() -> str | None:
    """Seconds since the machine started: "86400"."""
    text = _read(_PROC / "uptime")
    return text.split(".")[0] if text else f"{time.monotonic():.0f}"


def network() -> str | None:
    """Bytes of all interfaces except the loopback: {"rx_bytes": 1, "tx_bytes": 2}."""
    rows = _table(_PROC / "net/dev", ":")
    counts = [row.split() for name, row in rows.items() if name != "lo"]
    counts = [row for row in counts if len(row) >= 9 and row[0].isdigit()]
    if not counts:
        return None
    received, sent = (sum(int(row[column]) for row in counts) for column in (0, 8))
    return json.dumps({"rx_bytes": received, "tx_bytes": sent})


def disk() -> str | None:
    """The root file system's usage, in percent: "63.0"."""
    usage = shutil.disk_usage("/")
    return f"{100 * usage.used / usage.total:.1f}"


SENSORS: dict[str, Callable[[], str | None]] = {
    "load": load,
    "memory": memory,
    "temperature": temperature,
    "uptime": uptime,
    "network": network,
    "disk": disk,
}


def available() -> list[str]:
    """The names of the sensors that this machine has."""
    return [name for name in SENSORS if sample(name) is not None]


def sample(name: str) -> str | None:
    """A sensor's present value; None if the machine has none."""
    try:
        return SENSORS[name]()
    except OSError:
        return None


def choose(names: Iterable[str]) -> list[str]:
    """The names without duplicates. Raises `UsageError` for a sensor that this machine lacks."""
    chosen = list(dict.fromkeys(names))
    here = available()
    for name in chosen:
        if name not in SENSORS:
            raise UsageError(f"unknown sensor {name!r}; the sensors are {', '.join(SENSORS)}")
        if name not in here:
            raise UsageError(f"this machine has no sensor {name}; it has {', '.join(here)}")
    return chosen


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return None


def _number(path: Path) -> str | None:
    text = _read(path)
    return text if text and text.lstrip("-").isdigit() else None


def _table(path: Path, separator: str) -> dict[str, str]:
    lines = (_read(path) or "").splitlines()
    cells = [line.partition(separator) for line in lines]
    return {key.strip(): value.strip() for key, found, value in cells if found}
