"""Payloads of resources as JSON: whatever a member answers, the result is JSON of its readers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ import cbor
from writ_host.bridge import values


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"21.5", 21.5),
        (b"-3", -3),
        (b" 7\n", 7),
        (b"1e3", 1000.0),
        (b"1e999", "1e999"),
        (b"NaN", "NaN"),
        (b"007", "007"),
        (b"0x10", "0x10"),
        (b"9" * 40, "9" * 40),
        (b"0.42 0.31 0.30", "0.42 0.31 0.30"),
        (b"", ""),
        ("grün".encode(), "grün"),
        (b"\xff\x00", "ff00"),
        (cbor.encode({"a": 1}), {"a": 1}),
        (cbor.encode([b"\x01", None]), ["01", None]),
    ],
)
def test_a_payload_as_a_value(payload: bytes, value: object) -> None:
    assert values.as_value(payload) == value
    text = values.encode(payload, 1_800_000_000_123).decode()
    assert json.loads(text) == {"value": value, "time": "2027-01-15T08:00:00.123Z"}


@given(st.binary(max_size=300))
def test_any_payload_is_json(payload: bytes) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(values.encode(payload, 0), parse_constant=refuse)
