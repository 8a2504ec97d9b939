"""A resource's payload as a reading: JSON with its time, `{"value": 21.5, "time": "..."}`.

JSON rather than the plain value with the time in an MQTT 5 user property: Home Assistant takes both
directly (`value_template`), but shows user properties to nothing. After an outage the time in the
payload is the only one that says when the value was read, also to clients of MQTT 3.1.1.
"""

import datetime
import json
import math
import re

from .. import humanize

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,3})?")


def as_value(payload: bytes) -> object:
    """The payload in JSON's types: number or text; CBOR maps and lists; else hexadecimal digits."""
    text = humanize.as_text(payload)
    if text is None:
        item = humanize.as_cbor(payload)
        return payload.hex() if item is None else _plain(item)
    if _NUMBER.fullmatch(text.strip()):
        number = json.loads(text)
        # 1e999 is a number to JSON's grammar, but not to its readers
        if math.isfinite(number):
            return number
    return text


def encode(payload: bytes, time_ms: int) -> bytes:
    """The reading as it is published. time_ms: Unix time in milliseconds at which it was read."""
    at = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # sorted by hand: the value comes first for people who read along
    return json.dumps({"value": as_value(payload), "time": time}, ensure_ascii=False).encode()


def _plain(item: object) -> object:
    if isinstance(item, bytes):
        return item.hex()
    if isinstance(item, dict):
        return {
            key.hex() if isinstance(key, bytes) else str(key): _plain(value)
            for key, value in item.items()
        }
    if isinstance(item, list | tuple):
        return [_plain(value) for value in item]
    if isinstance(item, float) and not math.isfinite(item):
        return str(item)
    return item
