"""bridge.toml: defaults, and mistakes with their line and advice."""

from pathlib import Path

import pytest

from writ_host.bridge import settings
from writ_host.bridge.mapping import Mapping
from writ_host.bridge.settings import BadSettings, RequestSettings, SpoolSettings
from writ_host.errors import HostError

BROKER = '[broker]\nhost = "b.example.org"\n'


def read(path: Path, text: str) -> settings.Settings:
    """The settings of a file with this text."""
    file = path / "bridge.toml"
    file.write_text(text)
    return settings.read(file)


def test_a_short_file_has_defaults(tmp_path: Path) -> None:
    text = BROKER + '[[reading]]\nnode = "soil-1"\nresource = ["temp", "level/2"]\n'
    found = read(tmp_path, text)
    assert (found.broker.port, found.broker.tls, found.broker.ca) == (8883, True, None)
    assert (found.discovery, found.retain, found.metrics) == ("homeassistant", True, None)
    assert found.spool == SpoolSettings(16 << 20, 7 * 86400)
    temp, level = found.readings
    assert (temp.name, temp.every_s, temp.observe) == ("soil-1/temp", 60, False)
    assert (found.capsules, found.members, found.requests) == (True, True, None)
    assert read(tmp_path, BROKER + "[requests]\n").requests == RequestSettings(
        "writ-response", ("get", "set", "post"), 60
    )
    assert temp.mapping == Mapping(unit="°C", device_class="temperature", state_class="measurement")
    assert level.mapping == Mapping()
    assert found.nodes == ("soil-1",)


def test_a_long_file(tmp_path: Path) -> None:
    text = """
metrics = "127.0.0.1:9686"
[broker]
host = "10.0.0.2"
tls = false
password_file = "password"
[publish]
discovery = ""
retain = false
every_s = 10
[capsules]
carry = true
members = false
[spool]
bytes_max = 2000000
age_max_s = 3600
[[reading]]
node = "gate"
resource = "open"
observe = true
platform = "binary_sensor"
name = "Gate"
device_class = "door"
on = "yes"
off = "no"
"""
    found = read(tmp_path, text)
    assert (found.broker.port, found.broker.password_file) == (1883, tmp_path / "password")
    assert (found.discovery, found.retain) == ("", False)
    assert (found.capsules, found.members) == (True, False)
    assert found.spool == SpoolSettings(2000000, 3600)
    (gate,) = found.readings
    assert (gate.every_s, gate.observe) == (10, True)
    assert gate.mapping == Mapping("binary_sensor", "Gate", "", "door", "", "yes", "no")


@pytest.mark.parametrize(
    ("more", "unit", "device_class"),
    [
        ("", "°C", "temperature"),
        ('unit = "°C"', "°C", "temperature"),
        ('unit = "counts"', "counts", ""),
        ('unit = "K"\ndevice_class = "temperature"', "K", "temperature"),
        ('device_class = "temperature_delta"', "°C", "temperature_delta"),
    ],
)
def test_another_unit_than_the_default_has_no_default_class(
    tmp_path: Path, more: str, unit: str, device_class: str
) -> None:
    text = f'{BROKER}[[reading]]\nnode = "a"\nresource = "temp"\n{more}\n'
    (one,) = read(tmp_path, text).readings
    assert (one.mapping.unit, one.mapping.device_class) == (unit, device_class)


READING = BROKER + '[[reading]]\nnode = "a"\nresource = "t"\n'


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        ("", "there is no [broker]", "host"),
        ("[broker]\n", ":1: [broker] lacks 'host'", "host"),
        (BROKER + "prot = 1\n", ":3: unknown key 'prot' in [broker]", "Did you mean 'port'"),
        (BROKER + "port = 0\n", ":3: 'port' must be a whole number from 1 to 65535", ""),
        (BROKER + 'tls = "no"\n', ":3: 'tls' must be true or false", ""),
        (BROKER + 'tls = false\nca = "x"\n', ":4: 'ca' has no effect without TLS", "tls = true"),
        ('[broker]\nhost = "mqtt://b"\n', ":2: 'host' is no host name", "alone"),
        ("metrics = 7\n" + BROKER, ":1: 'metrics' must be text", ""),
        (READING + "unti = 1\n", ":6: unknown key 'unti' in [reading]", "Did you mean 'unit'"),
        (READING + 'platform = "senser"\n', ":6: unknown platform 'senser'", "'sensor'"),
        (READING + 'on = "1"\n', ":6: 'on' has no meaning for a sensor", "unit"),
        (READING + "every_s = 0\n", ":6: 'every_s' must be a whole number from 1", ""),
        (READING.replace('"t"', '"a b"'), ":5: 'a b' is no path that topics can have", "slash"),
        (READING.replace('"t"', '"a/+"'), ":5: 'a/+' is no path", ""),
        (READING.replace('"t"', '"valve/set"'), ":5: the topic of 'valve/set' would be", "get"),
        (READING.replace('"a"', '"A#"'), ":4: 'A#' is no name", ""),
        (READING.replace('"a"', '"capsule"'), ":4: 'capsule' is no name", ""),
        (READING + READING[len(BROKER) :], ":8: a/t is there already", ""),
        (READING.replace('"t"', '["t", "u"]') + 'name = "x"\n', ":6: one 'name' for several", ""),
        (BROKER + '[publish]\ndiscovery = "a b"\n', ":4: 'a b' is no prefix of topics", ""),
        (BROKER + '[publish]\ndiscovery = "writ/x"\n', ":4: 'writ' is the root", ""),
        (READING + 'platform = "switch"\n', ":6: a switch needs requests from MQTT", "[requests]"),
        (BROKER + '[requests]\nmethods = "put"\n', ":4: unknown method 'put'", "get, set and post"),
        (BROKER + '[requests]\nresponse_prefix = "writ"\n', ":4: 'writ' is the root", ""),
        (BROKER + '[requests]\nresponse_prefix = ""\n', ":4: 'response_prefix' must be", ""),
        (
            BROKER + '[requests]\nresponse_prefix = "homeassistant/x"\n',
            ":4: 'response_prefix' must be a prefix of its own",
            "writ-response",
        ),
        (BROKER + "[requests]\nper_minute = 0\n", ":4: 'per_minute' must be", ""),
        (BROKER + "[spool]\nbytes_max = 7\n", ":4: 'bytes_max' must be a whole number from", ""),
        (BROKER + "[brokre]\n", ":3: unknown key 'brokre' in the file", "Did you mean 'broker'"),
        ("[broker\n", ":1: ", "TOML"),
    ],
)
def test_a_mistake_has_line_and_advice(
    tmp_path: Path, text: str, message: str, advice: str
) -> None:
    with pytest.raises(BadSettings) as raised:
        read(tmp_path, text)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "bridge.toml"))
    assert advice in raised.value.advice
    assert "policy" not in raised.value.advice


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="there is no"):
        settings.read(tmp_path / "bridge.toml")


def test_a_password_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    broker = read(tmp_path, BROKER + 'password_file = "password"\n').broker
    file = tmp_path / "password"
    file.write_text("hub\nsecret\n")
    file.chmod(0o640)
    with pytest.raises(HostError, match="other users can read"):
        broker.credentials()
    file.chmod(0o600)
    assert broker.credentials() == ("hub", "secret")
    file.write_text("hub")
    with pytest.raises(HostError, match="two lines"):
        broker.credentials()
    assert read(tmp_path, BROKER).broker.credentials() is None
