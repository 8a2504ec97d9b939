"""policy.toml beside the policy in force: which state it was made from, and edits by commands."""

from pathlib import Path
from typing import Any

from .. import textfile
from ..errors import HostError
from ..policy.edit import Edit, edit_file, set_base
from ..policy.source import PolicyFile
from .change import policy_change
from .folder import ScopeFolder

# Epoch and head (6 bytes) of a state.
State = tuple[int, bytes]


def follow(folder: ScopeFolder, path: Path, before: State, *edits: Edit) -> str:
    """Edit a policy file after a change of the policy, and name the state in force as its base.

    before: the state that the change began with. The base moves only if the file started from that
    state, or if it says now what is in force: a file that was stale before stays so. Returns
    as `edit_file`.
    """

    def move(text: str) -> str | None:
        if _base_of(text) != before and not _is_in_force(folder, text):
            return text
        return set_base(text, folder.epoch, folder.head)

    return edit_file(path, *edits, move)


def rebase(folder: ScopeFolder, path: Path, *edits: Edit) -> str:
    """Edit a policy file, and name the state in force as its base, whatever it was made from.

    Returns as `edit_file`.
    """
    return edit_file(path, *edits, lambda text: set_base(text, folder.epoch, folder.head))


def _base_of(text: str) -> State | None:
    try:
        found: Any = textfile.parse_toml(text, "policy.toml").get("base")
        return int(found["epoch"]), bytes.fromhex(found["head"])
    except (HostError, ValueError, TypeError, KeyError):
        return None


def _is_in_force(folder: ScopeFolder, text: str) -> bool:
    try:
        return not policy_change(folder, PolicyFile.parse(text), is_preview=True)
    except HostError:
        return False
