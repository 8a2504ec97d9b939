"""A dump of CBOR for people: each item with its offset, its diagnostic form and its meaning.

The dump reads more than the strict decoder accepts, and as much as possible of damaged bytes, to
show where a capsule breaks. A `Field` describes the expected meaning of an item.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

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
    reader = _Reader(data)
    try:
        end, _ = reader.item(0, len(data), expected)
        if end < len(data):
            raise Unreadable(end, f"{len(data) - end} bytes after the end")
    except Unreadable as error:
        return reader.parts, error
    return reader.parts, None


class _Head(NamedTuple):
    """The head of an item: the item's offset and nesting, its major type, and its argument.

    start: of the item; end: of the head; key, key_start: of the key before a map's value.
    """

    start: int
    end: int
    major: int
    value: int
    flaw: str
    depth: int
    key: str
    key_start: int


class _Reader:
    """Reads the items of `data` and collects their parts."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.parts: list[Part] = []

    def item(
        self,
        start: int,
        stop: int,
        expected: Field,
        depth: int = 0,
        key: str = "",
        key_start: int | None = None,
    ) -> tuple[int, Any]:
        """(end, value) of the item at `start`, which must end before `stop`."""
        if depth > DEPTH_MAX:
            raise Unreadable(start, "nested too deeply")
        major, value, end, flaw = _read_head(self._data, start, stop)
        first = start if key_start is None else key_start
        head = _Head(start, end, major, value, flaw, depth, key, first)
        if major in (0, 1):
            number = value if major == 0 else -1 - value
            self._add(head, end, str(number), expected.text(number))
            return end, number
        if major in (2, 3):
            return self._string(head, stop, expected)
        if major == 4:
            return self._array(head, stop, expected)
        if major == 5:
            return self._map(head, stop, expected)
        if major == 7 and value in _SIMPLE and end == start + 1 and value != 23:
            simple = {20: False, 21: True, 22: None}[value]
            self._add(head, end, _SIMPLE[value], expected.text(simple))
            return end, simple
        raise Unreadable(start, f"a {_MAJORS[major]} or a float, which no capsule contains")

    def _add(self, head: _Head, end: int, text: str, meaning: str, flaw: str = "") -> None:
        size = end - head.key_start
        text = head.key + text
        self.parts.append(Part(head.key_start, size, head.depth, text, meaning, flaw or head.flaw))

    def _string(self, head: _Head, stop: int, expected: Field) -> tuple[int, Any]:
        start, end, value = head.end, head.end + head.value, head.value
        if end > stop:
            raise Unreadable(head.start, f"a string of {value} bytes, but {stop - start} are left")
        raw = self._data[start:end]
        if head.major == 3:
            return end, self._text(head, end, raw, expected)
        if expected.inside is None:
            self._add(head, end, _hex(raw), expected.text(raw))
            return end, raw
        self._add(head, start, f"bytes({value})", expected.meaning)
        inner, _ = self.item(start, end, expected.inside, head.depth + 1)
        if inner < end:
            raise Unreadable(inner, f"{end - inner} bytes after the end of an embedded item")
        return end, raw

    def _text(self, head: _Head, end: int, raw: bytes, expected: Field) -> str:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            self._add(head, end, _hex(raw), expected.meaning, "not UTF-8")
            return ""
        self._add(head, end, '"' + text + '"', expected.text(text))
        return text

    def _array(self, head: _Head, stop: int, expected: Field) -> tuple[int, Any]:
        count, now = head.value, head.end
        if count > stop - now:
            raise Unreadable(head.start, f"an array of {count}, but {stop - now} bytes are left")
        place = len(self.parts)
        self._add(head, now, f"array({count})", expected.meaning)
        values = []
        for index in range(count):
            now, item = self.item(now, stop, expected.of_position(index), head.depth + 1)
            if index == 0 and expected.choose:
                expected = expected.choose(item)
            values.append(item)
        self.parts[place] = replace(self.parts[place], meaning=expected.text(values))
        return now, values

    def _map(self, head: _Head, stop: int, expected: Field) -> tuple[int, Any]:
        count, now = head.value, head.end
        if 2 * count > stop - now:
            raise Unreadable(head.start, f"a map of {count}, but {stop - now} bytes are left")
        self._add(head, now, f"map({count})", expected.meaning)
        result: dict[Any, Any] = {}
        before = b""
        for _ in range(count):
            # a key has no part of its own: it stands before its value's
            keys = _Reader(self._data)
            key_end, key = keys.item(now, stop, Field(), head.depth + 1)
            if not isinstance(key, int | str | bytes) or isinstance(key, bool):
                raise Unreadable(now, "a key that is neither a number nor text nor bytes")
            if self._data[now:key_end] <= before:
                raise Unreadable(now, "keys out of order or repeated: not deterministic")
            before = self._data[now:key_end]
            label = f"{keys.parts[0].diagnostic}: "
            inner = expected.of_key(key)
            now, result[key] = self.item(key_end, stop, inner, head.depth + 1, label, now)
        return now, result


def _read_head(data: bytes, start: int, stop: int) -> tuple[int, int, int, str]:
    """(major type, argument, end of the head, flaw)."""
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
