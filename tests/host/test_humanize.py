"""Times and payloads as text."""

from writ import cbor
from writ_host import humanize


def test_durations_and_payloads() -> None:
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
