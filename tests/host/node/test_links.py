"""Frame links of a node's folder: entries for hosts and for chips, and news of them for the log."""

import os
from pathlib import Path
from typing import Any

import pytest
from docs_rig import WIRE, rows, ticked

from writ.errors import UsageError
from writ_host.node import links
from writ_host.node.linkcheck import PATIENCE_MS, LinkCheck

EU = links.Channel(869525)


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("rylr998:/dev/ttyUSB0", {}),
        ("rak3172:/dev/serial0", {"baud": 9600}),
        ("rylr998:1", {"tx": 17, "rx": 18}),
        ("sx1262", {"spi": 1, "cs": 8, "busy": 13, "dio1": 14}),
        ("sx1276", {"spi": 1, "cs": 18, "dio0": 26}),
    ],
)
def test_an_entry_has_what_its_modem_needs(text: str, more: dict[str, int]) -> None:
    entry = links.lora_entry(text, EU, more)
    assert entry["modem"] == text.partition(":")[0]
    assert {key: entry[key] for key in more} == more
    links.check([entry])
    assert "869.525 MHz, SF7, 125 kHz, 4/5, 14 dBm" in links.describe(entry)
    assert "360 s an hour allowed (duty cycle 10 %)" in links.describe(entry)


def test_an_e22_on_a_chip() -> None:
    channel = links.Channel(868125, bandwidth_khz=500, power_dbm=13)
    pins = {"m0": 4, "m1": 5, "aux": 6}
    entry = links.lora_entry("e22:1", channel, pins)
    assert entry["port"] == 1 and "at UART 1" in links.describe(entry)
    with pytest.raises(UsageError, match="for chips"):
        links.lora_entry("e22:/dev/ttyUSB0", channel, pins)
    with pytest.raises(UsageError, match='"aux" is not a number'):
        links.check([{**entry, "aux": "6"}])


@pytest.mark.parametrize(
    ("text", "channel", "expected"),
    [
        ("rylr896:/dev/ttyUSB0", EU, "is no modem: rylr998"),
        ("rylr998", EU, "where is the modem"),
        ("sx1262:/dev/spidev0", EU, "has no port"),
        ("rylr998:/dev/ttyUSB0", None, "needs --frequency"),
        ("rylr998:/dev/ttyUSB0", links.Channel(869525, 10), "spreading factors to 9"),
        (
            "rylr998:/dev/ttyUSB0",
            links.Channel(869525, 12),
            "rylr998 has at 125 kHz SF7 to SF9, at 250 kHz SF7 to SF10, at 500 kHz SF7 to SF11;"
            " modems with SF12 at 125 kHz: rak3172, e22, sx1262, sx1276",
        ),
        (
            "e22:/dev/ttyUSB0",
            links.Channel(868300),
            "e22 has at 125 kHz SF12, at 500 kHz SF7, SF8, SF10, SF11, SF12; modems with SF7 at"
            " 125 kHz: rylr998",
        ),
        ("e22:/dev/ttyUSB0", links.Channel(868300, 7, 500), "10 dBm, or 8 dBm more$"),
        (
            "e22:/dev/ttyUSB0",
            links.Channel(868300, 7, 500, power_dbm=13),
            "channels of 1 MHz: [^;]*1000$",
        ),
        (
            "rylr998:/dev/ttyUSB0",
            links.Channel(868650),
            "leaves its band .*: the nearest band is 863000 to 868600 kHz, which takes --frequency"
            " 863063 to 868537$",
        ),
        ("rylr998:/dev/ttyUSB0", links.Channel(433000), "band is 433050 to 434790 kHz, which"),
        (
            "rylr998:/dev/ttyUSB0",
            links.Channel(869600),
            "band is 869400 to 869650 kHz, which takes --frequency 869463 to 869587$",
        ),
        (
            "rylr998:/dev/ttyUSB0",
            links.Channel(869525, 7, 500),
            "band is 869400 to 869650 kHz, narrower than the channel$",
        ),
        ("/dev/ttyUSB9", EU, "is a port: give --lora MODEM:PORT, as in rylr998:/dev/ttyUSB9"),
    ],
)
def test_what_no_modem_can_do(text: str, channel: links.Channel | None, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        links.lora_entry(text, channel, {})


def test_pins() -> None:
    assert links.parse_pins(["tx=17", "rx=18"]) == {"tx": 17, "rx": 18}
    for wrong in ("tx", "tx=", "tx=GP17", "txd=1"):
        with pytest.raises(UsageError, match="is not NAME=NUMBER"):
            links.parse_pins([wrong])
    # each pin that docs/wire.md names is known
    known = {name for row in rows(WIRE, "key of a LoRa link", "value") for name in ticked(row[0])}
    assert set(links._PINS) <= known


def test_a_port_that_this_user_cannot_open(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"kind": "serial", "port": str(tmp_path / "ttyUSB0")}
    assert "does not exist" in links.port_problem(entry)
    Path(entry["port"]).touch()
    assert links.port_problem(entry) == ""
    Path(entry["port"]).chmod(0)
    if os.getuid():
        assert "usermod -aG dialout" in links.port_problem(entry)
    # a UART is not of this machine
    assert links.port_problem({"kind": "serial", "port": 1}) == ""


class Link:
    """A frame link as the check sees it."""

    def __init__(self) -> None:
        self.error: str | None = "the modem is being set up"
        self.counters: dict[str, int] = {}


def test_the_log_tells_each_change_once() -> None:
    link = Link()
    check = LinkCheck([link], [{"kind": "lora", "modem": "rylr998", "port": "/dev/ttyUSB0"}])
    assert check.tick(0) == [] == check.tick(PATIENCE_MS - 1)
    link.counters["NoAnswer"] = 3
    said = "link 0 (rylr998 at /dev/ttyUSB0) does not work: the modem is being set up (NoAnswer 3)"
    assert check.tick(PATIENCE_MS) == [(0, "the modem is being set up", said)]
    assert check.tick(PATIENCE_MS + 1) == []
    link.error = None
    assert check.tick(PATIENCE_MS + 2) == [(0, "", "link 0 (rylr998 at /dev/ttyUSB0) is ready")]
    # a short break is no news
    link.error = "the modem is being set up"
    assert check.tick(2 * PATIENCE_MS) == []
    link.error = None
    assert check.tick(3 * PATIENCE_MS) == []
