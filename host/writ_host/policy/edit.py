"""Edits of policy.toml by commands, which leave all other bytes unchanged."""

import re
from collections.abc import Sequence
from pathlib import Path

from .. import textfile
from ..textfile import BadText

_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_REVOKED = re.compile(r"^[ \t]*revoked[ \t]*=[ \t]*\[", re.MULTILINE)
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
    try:
        after = textfile.parse_toml(changed, "policy.toml")
    except BadText:
        return None
    wanted = {**before, "revoked": [*known, *(node for node, _ in new)]}
    return changed if after == wanted else None


def revoke_in_file(path: Path, entries: Sequence[tuple[str, str]]) -> bool:
    """Write `add_revoked` into a policy file; returns whether that was possible.

    Without it the next `writ policy certify` would restore the revoked nodes.
    """
    try:
        changed = add_revoked(textfile.read(path), entries)
    except (OSError, BadText):
        return False
    if changed is None:
        return False
    path.write_text(changed, "utf-8")
    return True


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
