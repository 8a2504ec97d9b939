"""Deterministic CBOR: the strict subset of RFC 8949, section 4.2.1, that Writ speaks.

Integers to 64 bits, byte and text strings, arrays, maps, false, true, null. One encoding for each
value: any other encoding is rejected, never repaired. Pure functions, no I/O.
"""

from .errors import (
    NotCanonical,
    TooDeep,
    TooLarge,
    TrailingBytes,
    Truncated,
    Unsupported,
    UsageError,
)
from .limits import CBOR_DEPTH_MAX, CBOR_ITEMS_MAX


def _head(major, value):
    major <<= 5
    if value < 24:
        return bytes((major | value,))
    if value < 0x100:
        return bytes((major | 24, value))
    if value < 0x10000:
        return bytes((major | 25,)) + value.to_bytes(2, "big")
    if value < 0x100000000:
        return bytes((major | 26,)) + value.to_bytes(4, "big")
    if value < 0x10000000000000000:
        return bytes((major | 27,)) + value.to_bytes(8, "big")
    raise UsageError("integer over 64 bits")


def encode(value):
    """The one deterministic encoding of `value` as bytes.

    Accepts int, bytes, bytearray, str, list, tuple, dict, bool and None. Raises `UsageError`
    for anything else. Map keys are sorted bytewise by their encodings (RFC 8949, 4.2.1).
    """
    # bool before int: on CPython True is an int, on MicroPython it is not.
    if value is None:
        return b"\xf6"
    if value is True:
        return b"\xf5"
    if value is False:
        return b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, (bytes, bytearray)):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join([encode(item) for item in value])
    if isinstance(value, dict):
        pairs = sorted([(encode(key), encode(value[key])) for key in value])
        return _head(5, len(pairs)) + b"".join([key + item for key, item in pairs])
    raise UsageError("CBOR cannot hold a " + type(value).__name__)


def decode(data, depth_max=CBOR_DEPTH_MAX):
    """The value that `data` (bytes) encodes; arrays become lists.

    Raises `Truncated`, `NotCanonical`, `Unsupported`, `TooDeep`, `TooLarge` or `TrailingBytes`.
    """
    value, end = decode_item(data, 0, depth_max)
    if end != len(data):
        raise TrailingBytes()
    return value


def decode_item(data, start=0, depth_max=CBOR_DEPTH_MAX):
    """(value, end) of the item that begins at `start`: for CBOR sequences (RFC 8742).

    Raises as `decode` does, but for `TrailingBytes`.
    """
    if start >= len(data):
        raise Truncated()
    first = data[start]
    major = first >> 5
    info = first & 31
    start += 1
    if major == 7:
        if info == 20:
            return False, start
        if info == 21:
            return True, start
        if info == 22:
            return None, start
        raise Unsupported()
    if major == 6:
        raise Unsupported()
    if info < 24:
        value = info
    else:
        if info > 27:
            # 31 is an indefinite length, 28..30 are reserved
            raise NotCanonical() if info == 31 and 2 <= major <= 5 else Unsupported()
        size = 1 << (info - 24)
        end = start + size
        if end > len(data):
            raise Truncated()
        value = int.from_bytes(data[start:end], "big")
        if value < 24 if size == 1 else value >> (4 * size) == 0:
            raise NotCanonical()
        start = end
    if major == 0:
        return value, start
    if major == 1:
        return -1 - value, start
    if major < 4:
        end = start + value
        if end > len(data):
            raise Truncated()
        raw = data[start:end]
        if not isinstance(raw, bytes):
            raw = bytes(raw)
        if major == 2:
            return raw, end
        return _text(raw), end
    if depth_max <= 0:
        raise TooDeep()
    if value > CBOR_ITEMS_MAX:
        raise TooLarge()
    if major == 4:
        items = []
        for _ in range(value):
            item, start = decode_item(data, start, depth_max - 1)
            items.append(item)
        return items, start
    return _map(data, start, value, depth_max - 1)


def _map(data, start, count, depth_max):
    result = {}
    previous = b""
    for _ in range(count):
        key, end = decode_item(data, start, depth_max)
        if not isinstance(key, (int, str, bytes)) or key is True or key is False:
            raise Unsupported()
        raw = bytes(data[start:end])
        if raw <= previous:
            raise NotCanonical()
        previous = raw
        result[key], start = decode_item(data, end, depth_max)
    return result, start


def _text(raw):
    # MicroPython accepts overlong forms and surrogates, so UTF-8 is checked here.
    i = 0
    while i < len(raw):
        lead = raw[i]
        i += 1
        if lead < 0x80:
            continue
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
        elif 0xF0 <= lead <= 0xF4:
            more = 3
        else:
            raise NotCanonical()
        code = lead & (0x3F >> more)
        for byte in raw[i : i + more]:
            if byte & 0xC0 != 0x80:
                raise NotCanonical()
            code = code << 6 | byte & 0x3F
        if i + more > len(raw) or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise NotCanonical()
        # the shortest form only: U+0800 and above take three bytes, U+10000 and above four
        if (more == 2 and code < 0x800) or (more == 3 and code < 0x10000):
            raise NotCanonical()
        i += more
    return raw.decode()
