"""The public record of a governor: its file, and the files that are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writ_host.errors import HostError, Malformed
from writ_host.governor.ceremonies.record import RECORD_BYTES_MAX, BadRecord, Record
from writ_host.keys.identity import Identity

ANNA = Identity.generate("anna")
RECORD = Record(ANNA.public, "10.0.0.5:5684", "gateway-1.farm.example:5683")
TEXT = RECORD.to_toml()


def line(key, text=TEXT):
    return next(one for one in text.splitlines() if one.startswith(f"{key} "))


def test_round_trip(tmp_path):
    path = tmp_path / "anna.toml"
    path.write_text(TEXT)
    assert Record.from_toml(TEXT) == Record.load(path) == RECORD
    assert Record.from_toml(TEXT.replace("\n", "\n# a note\n").replace(" = ", "=")) == RECORD


def test_a_record_holds_no_secret():
    for secret in (ANNA.sign_seed, ANNA.seal_seed, ANNA.node_private):
        assert secret.hex() not in TEXT
    assert ANNA.public.node_key.hex() in TEXT


@pytest.mark.parametrize("key", ["name", "verify_key", "seal_key", "node_key", "peers", "listen"])
def test_every_key_is_required_once_and_must_be_valid(key):
    old = line(key)
    value = old.split(" = ")[1]
    for new in ("", f"{old}\n{old}", f"{key} = 5", f'{key} = ""', f"{key} = [{value}]", f"x{old}"):
        with pytest.raises(BadRecord) as caught:
            Record.from_toml(TEXT.replace(old, new))
        assert caught.value.advice and str(caught.value)


@pytest.mark.parametrize("key", ["verify_key", "seal_key", "node_key"])
def test_invalid_keys_are_refused(key):
    old = line(key)
    digits = old.split('"')[1]
    for new in ("00" * (len(digits) // 2), digits[2:], digits.upper(), digits[:-1], digits + "\\n"):
        with pytest.raises(BadRecord):
            Record.from_toml(TEXT.replace(digits, new))


@pytest.mark.parametrize("name", ["Anna", "../anna", "a b", "a" * 25])
def test_invalid_names_are_refused(name):
    with pytest.raises(BadRecord):
        Record.from_toml(TEXT.replace('"anna"', f'"{name}"'))


ADDRESSES = [
    "10.0.0.5",
    "10.0.0.5:",
    ":5683",
    "10.0.0.5:0",
    "10.0.0.5:65536",
    "10.0.0.5:05683",
    "10.0.0.5:+1",
    "10.0.0.5:5683 ",
    "10.0.0.5:５６８３",
    "[::1]:5683",
    "host name:5683",
    "a-:5683",
    'a"b:5683',
    "x" * 60 + ":5683",
    "10.0.0.5:5683\n",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_invalid_addresses_are_refused(address):
    with pytest.raises(Malformed):
        Record(ANNA.public, address, "a:1")
    with pytest.raises(Malformed):
        Record(ANNA.public, "a:1", address)


def test_oversized_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "anna.toml"
    with pytest.raises(BadRecord, match="no such file"):
        Record.load(path)
    path.write_text(TEXT + "#" * RECORD_BYTES_MAX)
    with pytest.raises(BadRecord, match="/anna"):
        Record.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadRecord, match="/anna"):
        Record.load(path)
    with pytest.raises(BadRecord):
        Record.load(tmp_path)
    with pytest.raises(BadRecord):
        Record.from_toml("x = " + "[" * 4000)


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_any_text_is_refused_with_advice(text):
    for whole in (text, TEXT + text.replace("#", ""), TEXT.replace("anna", text)):
        try:
            Record.from_toml(whole)
        except HostError as error:
            assert error.advice
