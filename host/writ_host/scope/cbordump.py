"""A dump of CBOR for people: each item with its offset, its diagnostic form and its meaning.

The dump reads more than the strict decoder accepts, and as much as possible of damaged bytes, to
show where a capsule breaks. A `Field` describes the expected meaning of an item.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

DEPTH_MAX = 16
BYTES_SHOWN_MAX = 32
_MAJORS = ("integer", "integer", "bytes", "text", "array", "map", "tag", "simple value")
_SIMPLE = {20: "false", 21: "true", 22: "null", 23: "undefined"}


@dataclass(frozen=True)
class Field:
    """The meaning of an item.

    items: of an array's items, by position; each: of its further items, or of a map's values;
    keys: of a map's values, by key; inside: of the CBOR in a byte string; show: a value as text;
    choose: the array's `Field` by its first item.
    """

    meaning: str = ""
    items: Sequence["Field"] = ()
    each: "Field | None" = None
    keys: Mapping[Any, "Field"] = field(default_factory=dict)
    inside: "Field | None" = None
    show: Callable[[Any], str] | None = None
    choose: Callable[[Any], "Field"] | None = None

    def of_key(self, key: Any) -> "Field":
        """The meaning of the value of this key."""
        return self.keys.get(key) or self.each or Field("not defined here" if self.keys else "")

    def of_position(self, place: int) -> "Field":
        """The meaning of the item at this position of an array."""
        if place < len(self.items):
            return self.items[place]
        return self.each or Field("not defined here" if self.items else "")

    def text(self, value: Any) -> str:
        """The meaning, with the value as text if `show` has one."""
        shown = self.show(value) if self.show else ""
        return f"{self.meaning}: {shown}" if shown and self.meaning else self.meaning or shown


@dataclass(frozen=True)
class Part:
    """One item (with its key, in a map): `size` bytes at `offset`, nested `depth` levels deep."""

    offset: int
    size: int
    depth: int
    diagnostic: str
    meaning: str
    flaw: str = ""


class Unreadable(Exception):
    """The reason why reading must stop, and the `offset`."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


def take_apart(data: bytes, expected: Field) -> tuple[list[Part], Unreadable | None]:
    """The parts of `data` in order, and the error that stopped the reading before its end."""
    parts: list[Part] = []
    try:
        end, _ = _item(data, 0, len(data), expected, 0, "", None, parts)
        if end < len(data):
            raise Unreadable(end, f"{len(data) - end} bytes after the end")
    except Unreadable as error:
        return parts, error
    return parts, None


def _head(data: bytes, start: int, stop: int) -> tuple[int, int, int, str]:
    """(major, value, end of head, flaw)."""
    if start >= stop:
        raise Unreadable(start, "the bytes end where an item should begin")
    major, info = data[start] >> 5, data[start] & 31
    if info == 31:
        raise Unreadable(start, f"{_MAJORS[major]} of indefinite length: not deterministic")
    if info > 27:
        raise Unreadable(start, f"no item begins with byte {data[start]:02x}")
    if info < 24:
        return major, info, start + 1, ""
    size = 1 << (info - 24)
    end = start + 1 + size
    if end > stop:
        raise Unreadable(start, "the bytes end within the head of an item")
    value = int.from_bytes(data[start + 1 : end], "big")
    is_long = value < 24 if size == 1 else value >> 4 * size == 0
    return major, value, end, "longer than necessary: not deterministic" if is_long else ""


def _item(
    data: bytes,
    start: int,
    stop: int,
    expected: Field,
    depth: int,
    prefix: str,
    begin: int | None,
    parts: list[Part],
) -> tuple[int, Any]:
    # prefix, begin: text and offset of the key before a map's value
    if depth > DEPTH_MAX:
        raise Unreadable(start, "nested too deeply")
    major, value, end, flaw = _head(data, start, stop)
    first = start if begin is None else begin

    def add(finish: int, text: str, what: str, more: str = "") -> None:
        parts.append(Part(first, finish - first, depth, prefix + text, what, more or flaw))

    if major in (0, 1):
        number = value if major == 0 else -1 - value
        add(end, str(number), expected.text(number))
        return end, number
    if major in (2, 3):
        finish = end + value
        if finish > stop:
            raise Unreadable(start, f"a string of {value} bytes, but {stop - end} are left")
        raw = data[end:finish]
        if major == 3:
            return finish, _text(raw, expected, lambda text, *more: add(finish, text, *more))
        if expected.inside is not None:
            add(end, f"bytes({value})", expected.meaning)
            inner, _ = _item(data, end, finish, expected.inside, depth + 1, "", None, parts)
            if inner < finish:
                raise Unreadable(inner, f"{finish - inner} bytes after the end of an embedded item")
            return finish, raw
        add(finish, _hex(raw), expected.text(raw))
        return finish, raw
    if major == 4:
        if value > stop - end:
            raise Unreadable(start, f"an array of {value}, but {stop - end} bytes are left")
        place = len(parts)
        add(end, f"array({value})", expected.meaning)
        values = []
        now = end
        chosen = expected
        for index in range(value):
            now, item = _item(
                data, now, stop, chosen.of_position(index), depth + 1, "", None, parts
            )
            if index == 0 and expected.choose:
                chosen = expected.choose(item)
            values.append(item)
        parts[place] = replace(parts[place], meaning=chosen.text(values))
        return now, values
    if major == 5:
        return _map(data, start, stop, value, end, expected, depth, add, parts)
    if major == 7 and value in _SIMPLE and end == start + 1 and value != 23:
        simple = {20: False, 21: True, 22: None}[value]
        add(end, _SIMPLE[value], expected.text(simple))
        return end, simple
    raise Unreadable(start, f"a {_MAJORS[major]} or a float, which no capsule contains")


def _map(
    data: bytes,
    start: int,
    stop: int,
    count: int,
    end: int,
    expected: Field,
    depth: int,
    add: Callable[..., None],
    parts: list[Part],
) -> tuple[int, Any]:
    if 2 * count > stop - end:
        raise Unreadable(start, f"a map of {count}, but {stop - end} bytes are left")
    add(end, f"map({count})", expected.meaning)
    result: dict[Any, Any] = {}
    before = b""
    now = end
    for _ in range(count):
        hidden: list[Part] = []
        key_end, key = _item(data, now, stop, Field(), depth, "", None, hidden)
        if not isinstance(key, int | str | bytes) or isinstance(key, bool):
            raise Unreadable(now, "a key that is neither a number nor text nor bytes")
        if data[now:key_end] <= before:
            raise Unreadable(now, "keys out of order or repeated: not deterministic")
        before = data[now:key_end]
        label = f"{hidden[0].diagnostic}: "
        now, result[key] = _item(
            data, key_end, stop, expected.of_key(key), depth + 1, label, now, parts
        )
    return now, result


def _text(raw: bytes, expected: Field, add: Callable[[str, str, str], None]) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        add(_hex(raw), expected.meaning, "not UTF-8")
        return ""
    add('"' + text + '"', expected.text(text), "")
    return text


def _hex(raw: bytes) -> str:
    if len(raw) <= BYTES_SHOWN_MAX:
        return f"h'{raw.hex()}'"
    return f"h'{raw[:8].hex()}...{raw[-8:].hex()}'"


def diagnostic(value: Any) -> str:
    """A decoded value in CBOR's diagnostic notation (RFC 8949, section 8), byte strings in full."""
    return "".join(_diagnostic(value))


def _diagnostic(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        yield f"h'{value.hex()}'"
    elif isinstance(value, bool) or value is None:
        yield {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, str):
        yield '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    elif isinstance(value, list):
        yield "[" + ", ".join(map(diagnostic, value)) + "]"
    elif isinstance(value, dict):
        pairs = (f"{diagnostic(key)}: {diagnostic(item)}" for key, item in value.items())
        yield "{" + ", ".join(pairs) + "}"
    else:
        yield str(value)
