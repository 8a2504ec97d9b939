"""Edits of policy.toml by commands, which leave all other bytes unchanged."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .. import files, textfile
from ..textfile import BadText

# Takes a text and returns it changed, None where it cannot be edited.
Edit = Callable[[str], str | None]

# Why a file cannot be edited that is TOML, but not in the form that the edits understand.
NOT_PLAIN = "not plain TOML"

_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_REVOKED = re.compile(r"^[ \t]*revoked[ \t]*=[ \t]*\[", re.MULTILINE)
_BASE = re.compile(r"^[ \t]*base[ \t]*=[ \t]*\{[^{}\n]*\}", re.MULTILINE)
_BASE_NOTE = """\
# The policy that this file was made from; commands write this line. Another policy in force refuses
# the file: writ policy diff shows the difference, writ policy rebase starts from it.
"""
_TOKEN = re.compile(r"#[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|\]")


def add_revoked(text: str, entries: Sequence[tuple[str, str]]) -> str | None:
    """The text with these [(node id, comment)] added to `revoked`; None if it cannot be edited.

    The result is parsed again, to make sure that everything else means the same as before.
    """
    try:
        before = textfile.parse_toml(text, "policy.toml")
    except BadText:
        return None
    known = before.get("revoked", [])
    if not isinstance(known, list):
        return None
    new = [entry for entry in entries if entry[0] not in known]
    lines = "".join(f'    "{node}",  # {_comment(note)}\n' for node, note in new)
    found = _REVOKED.search(text)
    if found is None:
        header = _HEADER.search(text)
        place = header.start() if header else len(text)
        changed = f"{text[:place]}revoked = [\n{lines}]\n\n{text[place:]}"
    else:
        end = _closing(text, found.end())
        if end is None:
            return None
        inside = text[found.end() : end].rstrip(" \t")
        if known and not _ends_with_comma(inside):
            inside = _with_comma(inside)
        gap = "" if inside.endswith("\n") else "\n"
        changed = f"{text[: found.end()]}{inside}{gap}{lines}{text[end:]}"
    return _checked(changed, {**before, "revoked": [*known, *(node for node, _ in new)]})


def remove_revoked(text: str, words: Iterable[str]) -> str | None:
    """The text without these entries of `revoked`, and their comments; None if not possible."""
    gone = set(words)
    try:
        before = textfile.parse_toml(text, "policy.toml")
    except BadText:
        return None
    known = before.get("revoked", [])
    if not isinstance(known, list) or not gone.intersection(map(str, known)):
        return text
    found = _REVOKED.search(text)
    end = None if found is None else _closing(text, found.end())
    if found is None or end is None:
        return None
    inside = text[found.end() : end]
    for word in gone:
        entry = rf"(?:\"{re.escape(word)}\"|'{re.escape(word)}')[ \t]*,?"
        # an entry on a line of its own goes with its comment
        inside = re.sub(rf"(?m)^[ \t]*{entry}[ \t]*(?:#.*)?\n", "", inside)
        inside = re.sub(rf"[ \t]*{entry}", "", inside)
    changed = text[: found.end()] + inside + text[end:]
    return _checked(changed, {**before, "revoked": [one for one in known if one not in gone]})


def set_base(text: str, epoch: int, head: bytes) -> str | None:
    """The text with this state as the one that it was made from; None if it cannot be edited."""
    try:
        before = textfile.parse_toml(text, "policy.toml")
    except BadText:
        return None
    line = f'base = {{ epoch = {epoch}, head = "{head.hex()}" }}'
    if _BASE.search(text):
        changed = _BASE.sub(lambda _: line, text, count=1)
    else:
        header = _HEADER.search(text)
        place = header.start() if header else len(text)
        # above the comment of the first table
        top = text[:place]
        comment = re.search(r"(?:^[ \t]*#.*\n)*\Z", top, re.MULTILINE)
        place = comment.start() if comment and comment.start() else place
        gap = "" if not text[:place] or text[:place].endswith("\n") else "\n"
        changed = f"{text[:place]}{gap}{_BASE_NOTE}{line}\n\n{text[place:]}"
    return _checked(changed, {**before, "base": {"epoch": epoch, "head": head.hex()}})


def edit_file(path: Path, *edits: Edit) -> str:
    """Apply edits to a policy file, one after the other, and replace it.

    Returns why that was not possible, "" if it was. The file has the old or the new content,
    whatever happens.
    """
    try:
        text = before = textfile.read(path)
        mode = path.stat().st_mode & 0o777
        for edit in edits:
            changed = edit(text)
            if changed is None:
                return NOT_PLAIN
            text = changed
        if text != before:
            files.write_atomically(path, text.encode(), mode)
    except OSError as error:
        return error.strerror or str(error)
    except BadText as error:
        return str(error)
    return ""


def _checked(changed: str, wanted: dict[str, Any]) -> str | None:
    try:
        return changed if textfile.parse_toml(changed, "policy.toml") == wanted else None
    except BadText:
        return None


def _comment(note: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in note)


def _closing(text: str, start: int) -> int | None:
    for token in _TOKEN.finditer(text, start):
        if token[0] == "]":
            return token.start()
    return None


def _last_token(inside: str) -> int:
    # the end of the last token that is neither a comment nor a space
    end = 0
    for token in re.finditer(r"#[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|,", inside):
        if not token[0].startswith("#"):
            end = token.end()
    return end


def _ends_with_comma(inside: str) -> bool:
    end = _last_token(inside)
    return end > 0 and inside[end - 1] == ","


def _with_comma(inside: str) -> str:
    end = _last_token(inside)
    return f"{inside[:end]},{inside[end:]}"
