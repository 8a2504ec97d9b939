"""Times and payloads as text for people."""

import datetime
import time

from writ import cbor
from writ.errors import Rejection

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """A duration in its two largest units: "3 d 4 h", "5 min", "12 s"."""
    left = max(0, int(seconds))
    parts = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def moment(unix_s: int) -> str:
    """Unix seconds as UTC: "2027-01-15 08:00:00Z"."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(unix_s))


def utc_minute(unix_s: int) -> str:
    """Unix seconds as UTC, to the minute: "2027-01-15 08:00 UTC"."""
    return f"{datetime.datetime.fromtimestamp(unix_s, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def as_text(payload: bytes) -> str | None:
    """The payload as text; None if it is not printable UTF-8."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def as_cbor(payload: bytes) -> object:
    """The decoded map or list; None if the payload is not one in deterministic CBOR."""
    try:
        item: object = cbor.decode(payload)
    except Rejection:
        return None
    return item if isinstance(item, dict | list) else None
