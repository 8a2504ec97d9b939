"""/wifi.json of a device: which networks it may join. It holds passwords.

The check is the device's own (`firmware/writ/board/wifijson.py`); docs/boot.md explains the fields.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.board.wifijson import check_wifi
from writ.errors import UsageError

from .. import files, textfile
from ..errors import HostError, Malformed

FILE = "wifi.json"
# Eight networks with all fields have less than 3 kB.
WIFI_BYTES_MAX = 4096


class BadWifi(HostError):
    """A wifi.json that no device takes. The text names the field, and no password."""

    advice = "Correct the field; docs/boot.md explains wifi.json."


@dataclass(frozen=True)
class WifiNetwork:
    """One network. password: None for an open one; static: "192.0.2.7/24", with gateway and dns.

    hidden: whether its name is not in the beacon frames of the access point.
    """

    ssid: str
    password: str | None = None
    hidden: bool = False
    static: str | None = None
    gateway: str | None = None
    dns: str | None = None

    def __repr__(self) -> str:
        return f"WifiNetwork({self.ssid!r})"


def wifi_json(networks: Sequence[WifiNetwork], country: str | None = None) -> bytes:
    """The content of wifi.json. Raises `BadWifi`."""
    document: dict[str, Any] = {"networks": [_fields(network) for network in networks]}
    if country is not None:
        document["country"] = country
    _check(document, FILE)
    return (json.dumps(document, indent=2) + "\n").encode()


def _fields(network: WifiNetwork) -> dict[str, object]:
    found = {key: value for key, value in vars(network).items() if value is not None}
    if not network.hidden:
        del found["hidden"]
    return found


def parse_wifi(data: bytes, name: str = FILE) -> dict[str, Any]:
    """The document in a wifi.json. name: the file's, for errors. Raises `BadWifi`."""
    if len(data) > WIFI_BYTES_MAX:
        raise BadWifi(f"{name}: longer than {WIFI_BYTES_MAX} bytes", "Leave networks out.")
    try:
        document = textfile.parse_json(data.decode(), name)
    except UnicodeDecodeError:
        raise BadWifi(f"{name}: not UTF-8", "Save it as UTF-8.") from None
    except textfile.BadText as error:
        raise BadWifi(str(error), error.advice) from None
    _check(document, name)
    assert isinstance(document, dict)
    return document


def read_wifi(path: Path) -> bytes:
    """The checked content of a wifi.json that only its owner can read.

    Raises `BadWifi`, as `files.open_secret` does, or `OSError`.
    """
    try:
        data = files.read_bounded(path, WIFI_BYTES_MAX, is_secret=True)
    except Malformed as error:
        raise BadWifi(str(error), "Leave networks out.") from None
    parse_wifi(data, str(path))
    return data


def _check(document: object, name: str) -> None:
    try:
        check_wifi(document)
    except UsageError as error:
        raise BadWifi(str(error).replace(FILE, name, 1)) from None
