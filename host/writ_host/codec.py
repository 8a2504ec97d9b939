"""Deterministic CBOR of host files and messages: a fast encoder, and a strict reader.

The encoding is that of the device core (writ.cbor). Each `a_...` function takes a decoded item,
checks its type and bounds, and returns it; it raises `Malformed` otherwise.
"""

from operator import itemgetter

from writ import cbor
from writ.errors import Rejection

from .errors import Malformed

# The largest honest file is a proposal of 32 capsules of 1,280 bytes.
FILE_BYTES_MAX = 65536


# Precomputed heads of frequent items: small integers, short strings, short lists.
_INTS_MAX = 1024
_INTS = [cbor.encode(number) for number in range(_INTS_MAX)]
_BYTES = [cbor.encode(bytes(size))[: 1 + (size > 23)] for size in range(256)]
_LISTS = [cbor.encode([0] * size)[:1] for size in range(24)]


def _head(major: int, size: int) -> bytes:
    # the encoding of the size as an integer, with the other major type
    first, *rest = cbor.encode(size)
    return bytes((major << 5 | first, *rest))


class Encoded(bytes):
    """An encoded item, which `dump` copies as it is."""


def dump(item: object) -> bytes:
    """The deterministic encoding of `item` (RFC 8949, section 4.2.1), equal to `cbor.encode`."""
    parts: list[bytes] = []
    _dump(item, parts)
    return b"".join(parts)


def _dump(item: object, parts: list[bytes]) -> None:
    # a hot path: a governor encodes some twenty messages and records for each decision
    if type(item) is bytes and len(item) < 256:
        parts.append(_BYTES[len(item)])
        parts.append(item)
    elif type(item) is int and 0 <= item < _INTS_MAX:
        parts.append(_INTS[item])
    elif type(item) is list or type(item) is tuple:
        parts.append(_LISTS[len(item)] if len(item) < 24 else _head(4, len(item)))
        for one in item:
            _dump(one, parts)
    elif type(item) is bytes:
        parts.append(_head(2, len(item)))
        parts.append(item)
    elif type(item) is Encoded:
        parts.append(item)
    elif type(item) is dict:
        parts.append(_head(5, len(item)))
        for key, value in sorted(
            ((dump(key), value) for key, value in item.items()), key=itemgetter(0)
        ):
            parts.append(key)
            _dump(value, parts)
    else:
        parts.append(cbor.encode(item))


def load(data: bytes, bytes_max: int = FILE_BYTES_MAX) -> object:
    """The one item that `data` encodes. Raises `Malformed`."""
    if len(data) > bytes_max:
        raise Malformed(f"longer than {bytes_max} bytes")
    try:
        item: object = cbor.decode(data)
    except Rejection as error:
        raise Malformed(f"not deterministic CBOR ({type(error).__name__})") from None
    return item


def a_list(item: object, size: int | None = None, size_max: int = 128) -> list[object]:
    """A list of exactly `size`, or of at most `size_max` items."""
    if not isinstance(item, list) or len(item) > size_max or size not in (None, len(item)):
        raise Malformed("not the expected list")
    return item


def a_map(item: object, size_max: int = 128) -> dict[object, object]:
    """A map of at most `size_max` entries."""
    if not isinstance(item, dict) or len(item) > size_max:
        raise Malformed("not the expected map")
    return item


def some_bytes(item: object, size: int | None = None, size_max: int = FILE_BYTES_MAX) -> bytes:
    """Bytes of exactly `size`, or of at most `size_max`."""
    if not isinstance(item, bytes) or len(item) > size_max or size not in (None, len(item)):
        raise Malformed("not the expected bytes")
    return item


def an_int(item: object, least: int, most: int) -> int:
    """An integer from `least` to `most`."""
    if type(item) is not int or not least <= item <= most:
        raise Malformed(f"not a number from {least} to {most}")
    return item


def a_text(item: object, bytes_max: int) -> str:
    """Printable text of 1 to `bytes_max` bytes, safe to show on a terminal."""
    if not isinstance(item, str) or not 1 <= len(item.encode()) <= bytes_max:
        raise Malformed("not the expected text")
    if not item.isprintable():
        raise Malformed("text with control characters")
    return item


def tagged(item: object, tag: str, size: int) -> list[object]:
    """The items after the tag in the list [tag, ...], which has `size` items with the tag."""
    items = a_list(item, size)
    if items[0] != tag:
        raise Malformed(f"not a {tag}")
    return items[1:]
