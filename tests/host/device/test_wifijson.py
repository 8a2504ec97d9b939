"""wifi.json on a host: what the host writes and accepts is what the device accepts."""

import json
from pathlib import Path

import pytest

from writ_host.device.wifijson import BadWifi, WifiNetwork, parse_wifi, read_wifi, wifi_json
from writ_host.errors import HostError

SECRET = "correct horse"
STATIC = {"static": "192.0.2.7/24", "gateway": "192.0.2.1", "dns": "192.0.2.53"}


def test_what_is_made_is_read() -> None:
    networks = [WifiNetwork("field", SECRET), WifiNetwork("barn", hidden=True, **STATIC)]
    made = wifi_json(networks, "DE")
    assert parse_wifi(made) == {
        "networks": [
            {"ssid": "field", "password": SECRET},
            {"ssid": "barn", "hidden": True, **STATIC},
        ],
        "country": "DE",
    }


@pytest.mark.parametrize(
    ("network", "field"),
    [
        (WifiNetwork("field", "short"), '"password"'),
        (WifiNetwork("", SECRET), '"ssid"'),
        (WifiNetwork("field", SECRET, static="192.0.2.7/24"), '"gateway"'),
        (WifiNetwork("field", SECRET, static="192.0.2.7/24", gateway="gw"), "IPv4"),
    ],
)
def test_what_no_device_takes_is_refused_by_field(network: WifiNetwork, field: str) -> None:
    with pytest.raises(BadWifi, match=field) as raised:
        wifi_json([network])
    assert SECRET not in str(raised.value) and raised.value.advice


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[]", b"3", b'{"networks": []}', b" " * 5000, b"[" * 500],
)
def test_a_file_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(BadWifi, match=r"farm\.json"):
        parse_wifi(data, "farm.json")


def test_eight_networks_with_all_fields_fit() -> None:
    networks = [WifiNetwork(f"{number:032}", 63 * "p", True, **STATIC) for number in range(8)]
    assert len(json.loads(wifi_json(networks, "DE"))["networks"]) == 8
    parse_wifi(wifi_json(networks, "DE"))


def test_a_password_is_not_shown_and_its_file_is_private(tmp_path: Path) -> None:
    network = WifiNetwork("field", SECRET)
    assert SECRET not in repr(network) and SECRET not in f"{[network]}"
    path = tmp_path / "wifi.json"
    path.write_bytes(wifi_json([network]))
    path.chmod(0o644)
    with pytest.raises((HostError, OSError)):
        read_wifi(path)
    path.chmod(0o600)
    assert read_wifi(path) == wifi_json([network])
