"""A deploy: the agent's files and a program of the user onto a board, over its REPL.

1. The board computes the SHA-256 of its files. Only files that differ are sent.
2. Each is written beside its place, as PATH.new, and read back by hash. `/deploy.new` lists them,
   so that what a cut leaves behind is removed by the next deploy.
3. When all are verified, `/deploy.new` becomes `/deploy.json`. From there on the board itself
   renames them, modules first, main.py and boot.py last; so a cut cable stops nothing. What a power
   cut stops, the next deploy completes before it does anything else.

So a cut before step 3 leaves all old files, and each file is the old one or the new one at any
time. The board's file system replaces a file by a rename (LittleFS does, FAT does not).
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import HostError
from .build.agentfiles import check_version
from .filetree import tree_of
from .repl import BoardFull, LostBoard, Repl

MODULES_FOLDER = "/lib/writ"
# What travels in one piece: a chip needs about four times that in its heap to decode it.
PIECE_BYTES = 1024
# Paths whose hashes are asked for at once, so that code and answer stay below a few kB.
PATHS_AT_ONCE = 16
# Files beside the others while a deploy is under way.
_ENDING = ".new"
_LIST, _READY = "/deploy.new", "/deploy.json"

# Runs on the board. Errors: 2 is ENOENT, 17 EEXIST.
_SCRIPT = f"""
import os, sys, json, hashlib, binascii
def _hash(path):
    try:
        file = open(path, "rb")
    except OSError as error:
        if error.args[0] != 2: raise
        return None
    digest = hashlib.sha256()
    buffer = bytearray(512)
    view = memoryview(buffer)
    with file:
        while True:
            count = file.readinto(buffer)
            if not count: break
            digest.update(view[:count])
    return binascii.hexlify(digest.digest()).decode()
def _names(path):
    try:
        return [path + "/" + one[0] + ("/" if one[1] & 0x4000 else "")
            for one in os.ilistdir(path)]
    except OSError as error:
        if error.args[0] != 2: raise
        return None
def _remove(path):
    try:
        os.remove(path)
    except OSError as error:
        if error.args[0] != 2: raise
def _open(path):
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError as error:
            if error.args[0] != 17: raise
        at = path.find("/", at + 1)
    return open(path, "wb")
def _abandon():
    try:
        with open("{_LIST}") as file:
            found = json.load(file)
    except OSError as error:
        if error.args[0] != 2: raise
        return
    except ValueError:
        found = [[], []]
    for path in found[0]:
        _remove(path + "{_ENDING}")
    _remove("{_LIST}")
def _complete():
    try:
        with open("{_READY}") as file:
            found = json.load(file)
    except OSError as error:
        if error.args[0] != 2: raise
        return False
    for path in found[0]:
        try:
            os.rename(path + "{_ENDING}", path)
        except OSError as error:
            if error.args[0] == 17:
                os.remove(path)
                os.rename(path + "{_ENDING}", path)
            elif error.args[0] != 2: raise
    for path in found[1]:
        _remove(path)
    if hasattr(os, "sync"): os.sync()
    os.remove("{_READY}")
    return True
"""


class WrongBoard(HostError):
    """The board at the port is of another kind than the one that was named."""

    advice = "Choose its port with --port, or name another board: writ board list."


class InTheWay(HostError):
    """The board has modules that hide the ones of a deploy, or that a deploy cannot replace."""


class NotVerified(HostError):
    """A file that the board reads back differently."""

    advice = "Run the command again. If it fails again, the board's flash may be worn."


@dataclass(frozen=True)
class Plan:
    """What a deploy changes. changed: {path: content} in order; removed: paths of old modules.

    kept: the number of files that are there already; is_completed: whether an earlier deploy that
    was cut has been completed first.
    """

    changed: Mapping[str, bytes]
    removed: Sequence[str]
    kept: int
    is_completed: bool

    @property
    def size(self) -> int:
        """The number of bytes to send."""
        return sum(map(len, self.changed.values()))


def board_files(
    modules: Mapping[str, bytes], programs: Mapping[str, bytes], more: Mapping[str, bytes]
) -> dict[str, bytes]:
    """All files of a board by absolute path, in the order in which they are replaced.

    modules, programs: of `agentfiles`; more: {"app.py": content}. Raises BadFiles.
    """
    tree_of({**programs, **more})
    found = {f"/lib/{path}": content for path, content in sorted(modules.items())}
    found |= {f"/{path}": content for path, content in sorted(more.items())}
    # the programs last, boot.py after main.py: they need the modules
    last = {f"/{path}": programs[path] for path in sorted(programs, reverse=True)}
    return found | last


def plan(board: Repl, wanted: Mapping[str, bytes], platform: str | None = None) -> Plan:
    """Compare a board with the files that it is to have; complete or remove what a cut has left.

    platform: what the board's `sys.platform` must be, None for any. Raises WrongBoard, InTheWay,
    WrongVersion, and what `Repl.ask` raises.
    """
    board.run(_SCRIPT)
    found, version = board.ask("[sys.platform, getattr(sys.implementation, '_mpy', 0) & 255]")
    if platform is not None and found != platform:
        raise WrongBoard(f"the board at {board.path} is of the kind '{found}', not '{platform}'")
    for path, content in wanted.items():
        if path.endswith(".mpy"):
            check_version(path, content, version)
    _check_way(board)
    is_completed = _settle(board)
    hashes = _hashes(board, list(wanted))
    changed = {path: wanted[path] for path in wanted if hashes[path] != _hash(wanted[path])}
    removed = sorted(set(_walk(board, MODULES_FOLDER)) - set(wanted))
    return Plan(changed, removed, len(wanted) - len(changed), is_completed)


def carry_out(
    board: Repl, planned: Plan, advance: Callable[[int], None] = lambda count: None
) -> None:
    """Send and replace the files of a plan. advance: gets the number of bytes that were sent.

    Raises BoardFull, with all files as before, NotVerified, and what `Repl.run` raises.
    """
    if not planned.changed and not planned.removed:
        return
    lists = [list(planned.changed), list(planned.removed)]
    try:
        _write(board, _LIST, _json(lists), lambda count: None)
        for path, content in planned.changed.items():
            _write(board, path + _ENDING, content, advance)
    except BoardFull:
        board.run("_file.close()\n_abandon()")
        raise
    staged = _hashes(board, [path + _ENDING for path in planned.changed])
    _compare(staged, {path + _ENDING: content for path, content in planned.changed.items()})
    # from here on the board goes on without the host
    board.run(f"os.rename({_LIST!r}, {_READY!r})\n_complete()")
    _compare(_hashes(board, list(planned.changed)), planned.changed)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def put(
    board: Repl, path: str, content: bytes, advance: Callable[[int], None] = lambda count: None
) -> None:
    """Replace one file of the board: there is the old one or the new one at any time.

    Raises as `carry_out`.
    """
    board.run(_SCRIPT)
    _settle(board)
    # raises for a folder in its place, which no file can replace
    _hashes(board, [path])
    carry_out(board, Plan({path: content}, [], 0, False), advance)


def _settle(board: Repl) -> bool:
    """Complete what a power cut has stopped, and remove what a cut cable has left."""
    is_completed = bool(board.ask("_complete()"))
    board.run("_abandon()")
    return is_completed


def _check_way(board: Repl) -> None:
    # boards look in the root folder first (images.py)
    if board.ask("[one for one in (_names('') or []) if one in ('/writ/', '/writ.py')]"):
        raise InTheWay(
            "a file or folder /writ on the board hides the agent's modules",
            "Rename it with mpremote; the node's data are in /node.",
        )
    if board.ask("_names('/rom/writ')"):
        raise InTheWay(
            "the board has the agent in a ROMFS, which this command does not write",
            "Write it with mpremote romfs (docs/memory.md, On a chip).",
        )


def _walk(board: Repl, folder: str) -> list[str]:
    found: list[str] = []
    for one in board.ask(f"_names({folder!r})") or []:
        if not isinstance(one, str) or not one.startswith(f"{folder}/"):
            raise LostBoard("the board's answer is damaged")
        found += _walk(board, one[:-1]) if one.endswith("/") else [one]
    return found


def _hashes(board: Repl, paths: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for at in range(0, len(paths), PATHS_AT_ONCE):
        part = list(paths[at : at + PATHS_AT_ONCE])
        answer = board.ask(f"[_hash(path) for path in {part!r}]")
        if not isinstance(answer, list) or len(answer) != len(part):
            raise LostBoard("the board's answer is damaged")
        found |= dict(zip(part, answer, strict=True))
    return found


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(board: Repl, path: str, content: bytes, advance: Callable[[int], None]) -> None:
    board.run(f"_file = _open({path!r})")
    for at in range(0, len(content), PIECE_BYTES):
        piece = content[at : at + PIECE_BYTES]
        board.run(f"_ = _file.write(binascii.a2b_base64({base64.b64encode(piece)!r}))")
        advance(len(piece))
    board.run("_file.close()")


def _compare(found: Mapping[str, str | None], wanted: Mapping[str, bytes]) -> None:
    for path, content in wanted.items():
        if found[path] != _hash(content):
            raise NotVerified(f"the board reads {path} back differently")
