"""Frame links in a node's config.json: made by `writ node link`, and checked for chips, too.

A host prepares the folders of devices, whose ports are UARTs and pins: numbers that only a chip can
open.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.errors import Rejection, UsageError
from writ.link.links import open_link
from writ.link.radio import SpiLink

from .. import files
from . import lorasettings, nearkeys

# What of an entry only a chip can use, beside "port" as a number
_CHIP_PINS = ("m0", "m1", "aux")
_SPI_MODEMS = ("sx1262", "sx1276")
# Those, the pins of a UART, and those of a radio on SPI
_SPI_PINS = (
    *("spi", "cs", "sck", "mosi", "miso", "reset", "busy", "dio0", "dio1", "antenna", "tcxo_mv"),
)
_PINS = ("tx", "rx", *_CHIP_PINS, *_SPI_PINS)
MODEMS = ("rylr998", "rak3172", "e22", *_SPI_MODEMS)
_KINDS = ("lora", "serial")


class BadEntry(UsageError):
    """An entry of "links" that is no link; its text begins with the number of the entry."""


@dataclass(frozen=True)
class Channel:
    """The settings that the LoRa modems of a field share, and the power, as in config.json."""

    frequency_khz: int
    spreading_factor: int = 7
    bandwidth_khz: int = 125
    coding_rate: int = 5
    power_dbm: int = 14


def open_entry(entry: Any) -> Any:
    """The frame link of an entry of "links", also of one for a chip. Raises `UsageError`."""
    if not isinstance(entry, dict):
        raise UsageError("links: not a list of objects {...}")
    if entry.get("kind") == "lora" and entry.get("modem") in _SPI_MODEMS:
        return SpiLink(entry)
    if type(entry.get("port")) is int and entry["port"] >= 0:
        for pin in _CHIP_PINS:
            if type(entry.get(pin, 0)) is not int:
                raise UsageError(f'links: "{pin}" is not a number')
        entry = {key: value for key, value in entry.items() if key not in _CHIP_PINS}
        entry["port"] = "a UART"
    return open_link(entry)


def check(value: Any, *, of_chip: bool = True) -> None:
    """Check the value of "links". Raises `BadEntry`, or `TypeError` for no list.

    of_chip: whether its ports may be UARTs and its modems on SPI, which only a chip can open.
    """
    if not isinstance(value, list):
        raise TypeError("not a list")
    for number, entry in enumerate(value):
        try:
            _check_words(entry)
            (open_entry if of_chip else open_link)(entry)
        except (AttributeError, Rejection, TypeError, UsageError, ValueError) as error:
            detail = str(error).removeprefix("links: ") or "no settings of a link"
            raise BadEntry(f"links[{number}]: {detail}") from None


def _check_words(entry: Any) -> None:
    """Raises `UsageError` for a kind, a modem or a key that has a typo."""
    if not isinstance(entry, dict):
        raise UsageError("not an object {...}")
    allowed: dict[str, tuple[str, ...]] = {"kind": _KINDS}
    if entry.get("kind") == "lora":
        allowed["modem"] = MODEMS
    keys = (*allowed, "port", "baud", *_PINS, *Channel.__annotations__, "duty_cycle_permille")
    nearkeys.check(entry, keys)
    for key, words in allowed.items():
        if entry.get(key) not in words:
            said = f"is {json.dumps(entry[key])}" if key in entry else "is absent"
            raise UsageError(f'"{key}" {said}; allowed: {", ".join(words)}')


def lora_entry(text: str, channel: Channel | None, more: Mapping[str, int]) -> dict[str, Any]:
    """The entry of a LoRa modem. text: "MODEM:PORT", or "MODEM" on SPI; more: pins and baud rate.

    Raises `UsageError` for what no modem can do.
    """
    modem, colon, port = text.partition(":")
    if "/" in modem:
        raise UsageError(
            f"{modem!r} is a port: give --lora MODEM:PORT, as in rylr998:{text};"
            f" MODEM is one of {', '.join(MODEMS)}"
        )
    if modem not in MODEMS:
        raise UsageError(f"{modem!r} is no modem: {', '.join(MODEMS)}")
    if modem in _SPI_MODEMS and colon:
        raise UsageError(f"{modem} has no port: give --lora {modem} and its pins, --pin cs=8 ...")
    if modem not in _SPI_MODEMS and not port:
        raise UsageError(
            f"where is the modem? --lora {modem}:/dev/ttyUSB0, or {modem}:1 for UART 1"
        )
    if channel is None:
        raise UsageError("a LoRa modem needs --frequency KHZ, the same at all nodes of the field")
    entry: dict[str, Any] = {"kind": "lora", "modem": modem}
    if port:
        entry["port"] = _port(port)
    entry |= {**vars(channel), **more}
    try:
        open_entry(entry)
    except UsageError as error:
        hint = lorasettings.hint(entry, MODEMS, open_entry)
        raise UsageError(f"{str(error).removeprefix('links: ')}{hint}") from None
    return entry


def serial_entry(text: str, more: Mapping[str, int]) -> dict[str, Any]:
    """The entry of a serial line at this port. Raises `UsageError`."""
    entry = {"kind": "serial", "port": _port(text), **more}
    open_entry(entry)
    return entry


def _port(text: str) -> str | int:
    # on a chip the number of a UART
    return int(text) if re.fullmatch("[0-9]{1,2}", text) else text


def parse_pins(texts: Sequence[str]) -> dict[str, int]:
    """{name: number} of "tx=17" and so on. Raises `UsageError`."""
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in _PINS or not re.fullmatch("[0-9]{1,5}", number):
            raise UsageError(f"{text!r} is not NAME=NUMBER with one of {', '.join(_PINS)}")
        found[name] = int(number)
    return found


def describe(entry: Mapping[str, Any]) -> str:
    """A checked entry as text, with what a frame costs on air."""
    place = f" at {_place(entry['port'])}" if "port" in entry else ""
    if entry["kind"] == "serial":
        return f"serial line{place}"
    link = open_entry(entry)
    one = link.settings
    longest_ms = link.airtime_us(link.mtu) / 1000
    limit = "no duty cycle is known for this frequency"
    if one.duty_cycle_permille < 1000:
        seconds = 3.6 * one.duty_cycle_permille
        limit = f"{seconds:g} s an hour allowed (duty cycle {one.duty_cycle_permille / 10:g} %)"
    return (
        f"{entry['modem']}{place}: {one.frequency_khz / 1000:g} MHz, SF{one.spreading_factor},"
        f" {one.bandwidth_khz} kHz, 4/{one.coding_rate}, {one.power_dbm} dBm; the longest frame"
        f" takes {longest_ms:.0f} ms, {limit}"
    )


def _place(port: str | int) -> str:
    return f"UART {port}" if isinstance(port, int) else port


def port_problem(entry: Mapping[str, Any]) -> str:
    """Why this user cannot open the port on this machine now; "" if that is possible."""
    port = entry.get("port")
    if not isinstance(port, str):
        return ""
    if not files.exists(Path(port)):
        return (
            f"{port} does not exist on this machine now (ls /dev/serial/by-id lists USB adapters)"
        )
    if not os.access(port, os.R_OK | os.W_OK):
        return f"this user may not open {port}: sudo usermod -aG dialout $USER, then log in again"
    return ""
