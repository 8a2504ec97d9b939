"""Targets of calls: names and coap:// addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ.errors import UsageError
from writ_host import target
from writ_host.target import Target


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("pump/temp", Target("pump", None, "temp")),
        ("pump-1/a/b", Target("pump-1", None, "a/b")),
        ("pump/temp?x=1&y", Target("pump", None, "temp", ("x=1", "y"))),
        ("coap://10.0.0.7/temp", Target(None, "10.0.0.7:5683", "temp")),
        ("coap://[2001:DB8:0::7]/temp", Target(None, "[2001:db8::7]:5683", "temp")),
        ("coap://[fe80::7%eth0]:7/temp", Target(None, "[fe80::7%eth0]:7", "temp")),
        ("coap://[fe80::7%25eth0]:7/temp", Target(None, "[fe80::7%eth0]:7", "temp")),
        ("coap://[fe80::7%2]:7/temp", Target(None, "[fe80::7%2]:7", "temp")),
        ("coap://[::ffff:10.0.0.7]/temp", Target(None, "10.0.0.7:5683", "temp")),
        ("coap://host.local:77/a%2Fb?x%20y", Target(None, "host.local:77", "a/b", ("x y",))),
    ],
)
def test_targets_are_parsed(text: str, wanted: Target) -> None:
    assert target.parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "/temp", "pump", "pump/", "Pump/temp", "pump:1/temp", "http://a/b", "coap://",
        "coap:///x", "coap://a:0/x", "coap://a:65536/x", "coap://a:x/x",
        "coap://[::1/x", "coap://[gate]/x", "coap://::1/x", "coap://[::1]:0/x", "coap://[]/x", "coap://[v1.a]/x",
        "coap://user@a/x", "pump/" + "x" * 49,
    ],
)  # fmt: skip
def test_malformed_targets_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        target.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_usage_error(text: str) -> None:
    try:
        found = target.parse(text)
    except UsageError:
        return
    assert (found.name is None) != (found.address is None)
