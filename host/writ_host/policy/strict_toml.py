"""Strict TOML: no unknown keys, no values of a wrong type, and a line number in every error.

This module is independent of policies; schema.py defines the tables and keys.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import cast

from .. import textfile
from ..errors import HostError
from ..textfile import BadText

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*=")


class PolicyError(HostError):
    """A mistake in a policy file. `str(error)` begins with the file and the line."""

    advice = "Correct the policy file and run the command again."


def suggestion(word: str, choices: Iterable[str]) -> str:
    """ "Did you mean 'gateway'? ", or "" if no choice resembles `word`."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower(), by_lower, 1)
    return f"Did you mean '{by_lower[close[0]]}'? " if close else ""


def listing(words: Iterable[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


class Source:
    """The text of one file, and the lines of its tables and keys.

    A table is named as in its header and numbered from 0; the root is ("", 0).
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines: dict[tuple[str, int, str], int] = {}
        counts: dict[str, int] = {}
        table = ("", 0)
        for number, line in enumerate(text.split("\n"), 1):
            if header := _HEADER.match(line):
                title = re.sub(r"[\s\"']", "", header[2])
                table = (title, counts.get(title, 0))
                counts[title] = table[1] + 1
                self._lines[(*table, "")] = number
            elif key := _KEY.match(line):
                self._lines.setdefault((*table, key[1].strip("\"'")), number)

    def names(self) -> set[str]:
        """The names of all tables, and of the keys above them."""
        return {table or key for table, _, key in self._lines}

    def line(self, table: str, index: int, key: str = "") -> int | None:
        """The line (from 1) of a key, else of its table's header; None if unknown."""
        found = self._lines.get((table, index, key)) or self._lines.get((table, index, ""))
        # a key that is a table has its line as a header
        found = found or self._lines.get((f"{table}.{key}" if table else key, 0, ""))
        # `rule = [{...}]` has no header, but its key has a line
        return found or self._lines.get(("", 0, table))

    def where(self, line: int | None) -> str:
        """ "policy.toml:12", or "policy.toml" when the line is unknown."""
        return self.name if line is None else f"{self.name}:{line}"


def read_toml(text: str, name: str) -> tuple[Source, dict[str, object]]:
    """The text as TOML 1.0. Raises `PolicyError` if it is not TOML."""
    try:
        values = textfile.parse_toml(text, name)
    except BadText as error:
        raise PolicyError(str(error), error.advice) from None
    return Source(text, name), values


class Table:
    """One TOML table, which may have only the allowed keys. All methods raise `PolicyError`."""

    def __init__(
        self,
        source: Source,
        values: object,
        allowed: Sequence[str] | None,
        name: str = "",
        index: int = 0,
        elsewhere: Sequence[str] = (),
    ) -> None:
        """`allowed`: the allowed keys, None for any; `elsewhere`: the keys of the root table."""
        self.source, self.name, self.index = source, name, index
        if not isinstance(values, dict):
            raise self.error(
                "", f"'{name}' must be a table", f"Write [{name}] on a line of its own."
            )
        self.values = cast(Mapping[str, object], values)
        for key in self.values if allowed is not None else ():
            if key in (allowed or ()):
                continue
            advice = suggestion(key, allowed or ()) + f"Allowed: {listing(sorted(allowed or ()))}."
            if key in elsewhere:
                advice = f"'{key}' belongs at the top of the file, above the first [table]."
            title = f"[{name}]" if name else "the file"
            raise self.error(key, f"unknown key '{key}' in {title}", advice)

    def line(self, key: str = "") -> int | None:
        """The line of a key, or of the table."""
        return self.source.line(self.name, self.index, key)

    def error(self, key: str, message: str, advice: str | None = None) -> PolicyError:
        """An error about `key`, which begins with its file and line."""
        return PolicyError(f"{self.source.where(self.line(key))}: {message}", advice)

    def has(self, key: str) -> bool:
        """Whether the table has the key."""
        return key in self.values

    def required(self, key: str) -> object:
        """The value of a required key."""
        if key not in self.values:
            raise self.error("", f"[{self.name}] lacks '{key}'", f"Add a line: {key} = ...")
        return self.values[key]

    def text(self, key: str) -> str:
        """A required string."""
        value = self.required(key)
        if not isinstance(value, str):
            raise self.error(key, f"'{key}' must be text", f'Write {key} = "..."')
        return value

    def flag(self, key: str) -> bool:
        """A boolean, false if absent."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"'{key}' must be true or false", f"Write {key} = true")
        return value

    def number(self, key: str, most: int, default: int | None = None) -> int:
        """An integer from 0 to `most`, required unless there is a default."""
        value = self.required(key) if default is None else self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise self.error(key, f"'{key}' must be a whole number from 0 to {most}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A string or a list of different strings, required unless there is a default."""
        value = self.required(key) if default is None else self.values.get(key, default)
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(i, str) for i in items):
            raise self.error(key, f"'{key}' must be text or a list of texts")
        if not items and default is None:
            raise self.error(key, f"'{key}' is empty", "Name at least one, or remove the table.")
        for item in items:
            if items.count(item) > 1:
                raise self.error(key, f"'{key}' names '{item}' twice", "Remove one of them.")
        return tuple(items)

    def table(self, key: str, allowed: Sequence[str] | None) -> "Table":
        """The table below `key`, empty if absent."""
        return Table(self.source, self.values.get(key, {}), allowed, self._below(key))

    def tables(
        self, key: str, allowed: Sequence[str], elsewhere: Sequence[str] = ()
    ) -> list["Table"]:
        """The tables of the array below `key`, in order."""
        values = self.values.get(key, [])
        name = self._below(key)
        if not isinstance(values, list):
            raise self.error(key, f"'{name}' must be a list of tables", f"Write [[{name}]].")
        return [
            Table(self.source, value, allowed, name, index, elsewhere)
            for index, value in enumerate(values)
        ]

    def _below(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key
