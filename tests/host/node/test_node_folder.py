"""The parts of a host's node that need no network: targets, books, config.json, sensors, words."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ import cbor, errors
from writ.errors import NotAllowed, Rejection, Revoked, UsageError
from writ.wire import edhoc_codec
from writ_host import humanize, refusals, target
from writ_host.errors import HostError, NoNode
from writ_host.node import addressbook, sensors
from writ_host.node import config as nodeconfig
from writ_host.node.status import describe_status
from writ_host.target import Target


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("pump/temp", Target("pump", None, "temp")),
        ("pump-1/a/b", Target("pump-1", None, "a/b")),
        ("pump/temp?x=1&y", Target("pump", None, "temp", ("x=1", "y"))),
        ("coap://10.0.0.7/temp", Target(None, "10.0.0.7:5683", "temp")),
        ("coap://host.local:77/a%2Fb?x%20y", Target(None, "host.local:77", "a/b", ("x y",))),
    ],
)
def test_targets(text: str, wanted: Target) -> None:
    assert target.parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "/temp", "pump", "pump/", "Pump/temp", "pump:1/temp", "http://a/b", "coap://",
        "coap:///x", "coap://a:0/x", "coap://a:65536/x", "coap://a:x/x", "coap://[::1]/x",
        "coap://user@a/x", "pump/" + "x" * 49,
    ],
)  # fmt: skip
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(UsageError):
        target.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_usage_error(text: str) -> None:
    try:
        found = target.parse(text)
    except UsageError:
        return
    assert (found.name is None) != (found.address is None)


def test_books(tmp_path: Path) -> None:
    assert addressbook.read(tmp_path) == {}
    (tmp_path / "book.toml").write_text('pump = "10.0.0.7"\n[notes]\npump = "leaks"\n')
    assert addressbook.read(tmp_path) == {"pump": "10.0.0.7:5683"}
    (tmp_path / "book.toml").write_text("pump = 10.0.0.7\n")
    with pytest.raises(HostError, match=r"book\.toml"):
        addressbook.read(tmp_path)


def test_what_was_seen_is_bounded_and_never_in_the_way(tmp_path: Path) -> None:
    for number in range(addressbook.SEEN_MAX + 5):
        addressbook.save_last_seen(tmp_path, f"n{number}", "10.0.0.1:1", bytes(8))
    addressbook.save_last_seen(tmp_path, "n9", "10.0.0.2:1", bytes(8))
    seen = addressbook.read_last_seen(tmp_path)
    assert len(seen) == addressbook.SEEN_MAX
    assert "n4" not in seen
    assert list(seen)[-1] == "n9"
    for damage in ("", "[]", "{", '{"a": 1}', '{"a": ["::", ""]}', '{"a": ["h:1", "zz"]}'):
        (tmp_path / "seen.json").write_text(damage)
        assert addressbook.read_last_seen(tmp_path) == {}


@pytest.mark.parametrize(
    "config",
    [
        [], {"name": 1}, {"name": "A"}, {"scope": "00"}, {"scope": "x" * 16}, {"scope": 5},
        {"listen": 1}, {"listen": "a:b"}, {"gateways": "10.0.0.1"}, {"gateways": [1]},
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused_by_name(tmp_path: Path, config: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(nodeconfig.BadConfig, match=r"config\.json"):
        nodeconfig.read(tmp_path)


def test_config(tmp_path: Path) -> None:
    with pytest.raises(NoNode):
        nodeconfig.read(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(nodeconfig.BadConfig):
        nodeconfig.read(tmp_path)
    good = {"name": "a", "scope": "00" * 8, "listen": "0.0.0.0:0", "gateways": ["h"], "x": 1}
    (tmp_path / "config.json").write_text(json.dumps(good))
    assert nodeconfig.read(tmp_path) == good


def test_sensors_tell_numbers() -> None:
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


def test_words() -> None:
    assert humanize.duration(0) == "0 s"
    assert humanize.duration(59.9) == "59 s"
    assert humanize.duration(3600) == "1 h"
    assert humanize.duration(3 * 86400 + 4 * 3600 + 59) == "3 d 4 h"
    assert humanize.duration(-5) == "0 s"
    assert humanize.as_text(b"21.5\n") == "21.5\n"
    assert humanize.as_text(b"\x1b[2J") is None
    assert humanize.as_text(b"\xff") is None
    assert humanize.as_cbor(cbor.encode({"a": 1})) == {"a": 1}
    assert humanize.as_cbor(b"\x01") is None
    assert humanize.as_cbor(b"\xa1") is None


def test_reasons_of_refusals() -> None:
    assert refusals.parse_reason(b"40 NotAllowed") is NotAllowed
    assert refusals.parse_reason(edhoc_codec.to_error(Revoked())) is Revoked
    assert refusals.parse_reason(edhoc_codec.to_error(errors.UnknownCredential())) is (
        errors.UnknownCredential
    )
    for other in (
        b"",
        b"40",
        b"40 Revoked",
        b"999 X",
        b"NotAllowed",
        b"\xff",
        "٤٠ NotAllowed".encode(),
    ):
        assert refusals.parse_reason(other) is None, other


@given(st.binary(max_size=40))
def test_any_refusal_has_a_reason_or_none(payload: bytes) -> None:
    kind = refusals.parse_reason(payload)
    assert kind is None or issubclass(kind, Rejection)


def test_every_rejection_has_words() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, Rejection):
            assert f"{kind.__name__} ({kind.code}): " in refusals.rejection_text(kind())
            assert refusals.advice_for(kind)
    known = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
    assert set(refusals._ADVICE) <= known


@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "epoch", "time", "policy", "beacon", "beacon_age_s", "uptime_s", "rejected"]
        ),
        st.none() | st.integers(0, 2**40) | st.text() | st.binary()
        | st.dictionaries(st.text() | st.binary(), st.integers() | st.text(), max_size=3),
    )
)  # fmt: skip
def test_any_status_can_be_shown(told: dict[str, object]) -> None:
    assert "epoch" in describe_status(told, 1)


def test_a_silent_status_is_shown() -> None:
    told = {"epoch": 2, "time": 1_800_000_100, "policy": 1_800_000_000, "rejected": {"Expired": 2}}
    shown = describe_status(told, 3)
    assert shown["epoch"] == "2 (here: 3), head none"
    assert shown["policy"] == "of 2027-01-15 08:00:00Z, at least 1 min 40 s old"
    assert shown["rejected"] == "Expired 2"
