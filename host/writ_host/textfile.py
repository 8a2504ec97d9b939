"""Text files that people write: TOML and JSON, bounded before they are parsed.

Every error begins with the file and, where it is known, the line. The limits keep the parsers of
the standard library from deep recursion and from work that grows with the square of the input.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from . import files
from .errors import Malformed

# The largest policy of a device has about 2 kB; comments and tests may take the rest.
FILE_BYTES_MAX = 65536
# Brackets and braces inside each other: a list of tables in a table has three.
DEPTH_MAX = 8
# Letters of a bare word (a key, a number): the longest number of a policy has 20.
WORD_CHARS_MAX = 256
# Dots between the parts of a key, in one line.
DOTS_MAX = 16

_BOM = "\ufeff"
# Strings and comments are skipped, an unterminated one up to its line's or the text's end, so that
# no part of a text is scanned twice. What remains is counted.
_TOML = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*+(?:"""|\Z)?' + r"|'''(?:[^']|'(?!''))*+(?:'''|\Z)?"
    r'|"(?:[^"\\\n]|\\[^\n])*+"?' + r"|'[^'\n]*+'?"
    r"|\#[^\n]*+|(?P<open>[\[{])|(?P<close>[\]}])|(?P<word>[\w+-]++)|(?P<dot>\.)|(?P<line>\n)",
    re.DOTALL,
)
_JSON = re.compile(
    r'"(?:[^"\\\n]|\\[^\n])*+"?|(?P<open>[\[{])|(?P<close>[\]}])|(?P<word>[\w.+-]++)|(?P<line>\n)'
)


class BadText(Malformed):
    """A text file that cannot be read. `str(error)` begins with the file and its line."""

    advice = "Correct the file and run the command again."


def read(path: Path, bytes_max: int = FILE_BYTES_MAX) -> str:
    """The text of a UTF-8 file. Raises `BadText`, or `OSError` as open does."""
    try:
        data = files.read_bounded(path, bytes_max)
    except Malformed:
        raise BadText(f"{path}: longer than {bytes_max} bytes", "Shorten it.") from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadText(f"{path}:{line}: not UTF-8 text", "Save the file as UTF-8.") from None
    if text.startswith(_BOM):
        raise BadText(
            f"{path}:1: the file begins with a byte order mark",
            'Save it as "UTF-8", not as "UTF-8 with BOM".',
        )
    return text


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The text as TOML 1.0. Raises `BadText`; `name`: the file's, for errors."""
    _check_size(text, name, _TOML)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = re.search(r" \(at (?:line (\d+)|end of document)", str(error))
        line = text.count("\n") + 1 if found and not found[1] else found and found[1]
        where = f"{name}:{line}" if line else name
        reason = str(error).split(" (at ")[0] or "nested too deep"
        raise BadText(f"{where}: {reason}", "The file must be TOML: https://toml.io") from None


def read_toml(path: Path, bytes_max: int = FILE_BYTES_MAX) -> dict[str, Any]:
    """The TOML file at `path`. Raises `BadText`, or `OSError` as open does."""
    return parse_toml(read(path, bytes_max), str(path))


def parse_json(text: str, name: str) -> Any:
    """The text as JSON. Raises `BadText`; `name`: the file's, for errors."""
    _check_size(text, name, _JSON)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadText(f"{name}:{error.lineno}: {error.msg}", "The file must be JSON.") from None
    except (ValueError, RecursionError) as error:
        raise BadText(f"{name}: {error}", "The file must be JSON.") from None


def read_json(path: Path, bytes_max: int = FILE_BYTES_MAX) -> Any:
    """The JSON file at `path`. Raises `BadText`, or `OSError` as open does."""
    return parse_json(read(path, bytes_max), str(path))


def _check_size(text: str, name: str, tokens: re.Pattern[str]) -> None:
    """Raises `BadText` for a text above `FILE_BYTES_MAX`, `DEPTH_MAX`, ... before it is parsed."""
    if len(text) > FILE_BYTES_MAX:
        raise BadText(f"{name}: longer than {FILE_BYTES_MAX} characters", "Shorten it.")
    depth, dots = 0, 0
    for token in tokens.finditer(text):
        kind = token.lastgroup
        problem = ""
        if kind == "open":
            depth += 1
            problem = f"nested deeper than {DEPTH_MAX} levels" if depth > DEPTH_MAX else ""
        elif kind == "close":
            depth -= 1
        elif kind == "word" and len(token[0]) > WORD_CHARS_MAX:
            problem = f"a word or number of more than {WORD_CHARS_MAX} characters"
        elif kind == "dot":
            dots += 1
            problem = f"a key of more than {DOTS_MAX} parts" if dots > DOTS_MAX else ""
        elif kind == "line":
            dots = 0
        if problem:
            line = text.count("\n", 0, token.start()) + 1
            raise BadText(f"{name}:{line}: {problem}")
