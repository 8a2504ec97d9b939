"""Sensors of the machine."""

import json
from pathlib import Path

import pytest

from writ.errors import UsageError
from writ_host.node import sensors


def test_sensors_return_numbers() -> None:
    here = sensors.available()
    assert "load" in here
    assert "disk" in here
    for name in here:
        text = sensors.sample(name)
        assert text
        numbers = json.loads(text).values() if name == "network" else text.split()
        assert all(float(number) >= -50 for number in numbers)
    assert sensors.choose(["load", "load"]) == ["load"]
    with pytest.raises(UsageError):
        sensors.choose(["loud"])


def test_sensors_of_a_known_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/dev").write_text(
        "Inter-|  Receive | Transmit\n face |bytes packets\n"
        "    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n"
        "  eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n wlan0:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n"
    )
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n")
    (tmp_path / "thermal_zone0").mkdir()
    (tmp_path / "thermal_zone0/temp").write_text("48250\n")
    monkeypatch.setattr(sensors, "_PROC", tmp_path)
    monkeypatch.setattr(sensors, "_THERMAL", tmp_path)
    assert sensors.network() == '{"rx_bytes": 11, "tx_bytes": 22}'
    assert sensors.memory() == "75.0"
    assert sensors.temperature() == "48.2"
    (tmp_path / "meminfo").write_text("MemTotal: none\n")
    (tmp_path / "thermal_zone0/temp").write_text("hot")
    assert sensors.sample("memory") is None
    assert sensors.sample("temperature") is None
    assert "memory" not in sensors.available()
