"""Files of a board over its REPL: list, read and remove; and its log.

Paths are absolute: "/app.py". Files with secrets are the node's folder and the Wi-Fi passwords: a
caller asks for them on purpose (`is_secret`). deploy.py writes files.
"""

import base64
import binascii
import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from writ.board.log import FILES as LOG_FILES
from writ.limits import LOG_FILE_BYTES_MAX

from ..errors import HostError
from .filetree import tree_of
from .repl import LostBoard, Repl

# What one file may have: the flash of the largest board has 32 MiB, and 115200 baud need an hour
# for such a file.
FILE_BYTES_MAX = 4 << 20
# A board has about 100 files of the agent, and the user's.
FILES_MAX = 4000
DEPTH_MAX = 16
PIECE_BYTES = 1024
# The key and the records of the node, and the passwords of networks
_SECRETS = ("/node", "/wifi.json")

# Runs on the board. Errors: 2 is ENOENT.
_SCRIPT = """
import os, binascii
def _list(path):
    try:
        return [[one[0], one[1] & 0x4000 != 0, one[3] if len(one) > 3 else 0]
            for one in os.ilistdir(path)]
    except OSError as error:
        return error.args[0]
def _take(path):
    global _file
    try:
        if os.stat(path)[0] & 0x4000: return 21
        _file = open(path, "rb")
        return 0
    except OSError as error:
        return error.args[0]
def _remove(path):
    try:
        (os.rmdir if os.stat(path)[0] & 0x4000 else os.remove)(path)
        return 0
    except OSError as error:
        return error.args[0]
"""
_REASONS = {
    2: "there is no such file or folder on the board",
    20: "a part of the path is a file",
    21: "it is a folder",
    30: "it is in a file system that cannot be written",
    39: "the folder is not empty",
}


class BadPath(HostError):
    """A path on the board that cannot be used so."""

    advice = "See which files the board has: writ device files list."


@dataclass(frozen=True)
class BoardFile:
    """A file or an empty folder of a board. path: absolute, with a slash at the end of a folder."""

    path: str
    size: int


def absolute(path: str) -> str:
    """The path on a board from its root, without dots. Raises BadFiles."""
    found = posixpath.normpath(f"/{path}").replace("//", "/")
    if found != "/":
        tree_of({found[1:]: b""})
    return found


def is_secret(path: str) -> bool:
    """Whether an absolute path is, or is in, what holds secrets; also while a deploy replaces it.

    Without regard to case: FAT does not distinguish it.
    """
    plain = path.lower().removesuffix(".new")
    return any(plain == one or plain.startswith(f"{one}/") for one in _SECRETS)


def listing(board: Repl, folder: str = "/") -> list[BoardFile]:
    """All files below a folder, by path. Raises BadPath and what `Repl.ask` raises."""
    board.run(_SCRIPT)
    return _walk(board, folder.rstrip("/"), 0)


def _walk(board: Repl, folder: str, depth: int) -> list[BoardFile]:
    answer = board.ask(f"_list({folder or '/'!r})")
    if isinstance(answer, int):
        raise _bad_path(folder or "/", answer)
    try:
        entries = sorted((str(name), bool(is_dir), int(size)) for name, is_dir, size in answer)
    except (TypeError, ValueError):
        raise LostBoard("the board's answer is damaged") from None
    found: list[BoardFile] = []
    for name, is_dir, size in entries:
        path = f"{folder}/{name}"
        if is_dir and depth < DEPTH_MAX:
            found += _walk(board, path, depth + 1) or [BoardFile(f"{path}/", 0)]
        elif not is_dir:
            found.append(BoardFile(path, size))
        if len(found) > FILES_MAX:
            raise HostError(f"the board has more than {FILES_MAX} files", "Name a folder.")
    return found


def read(
    board: Repl,
    path: str,
    bytes_max: int = FILE_BYTES_MAX,
    advance: Callable[[int], None] = lambda count: None,
) -> bytes:
    """The content of a file. advance: gets the number of bytes that came.

    Raises BadPath, also for more than `bytes_max`, and what `Repl.ask` raises.
    """
    board.run(_SCRIPT)
    if number := board.ask(f"_take({path!r})"):
        raise _bad_path(path, number)
    found = bytearray()
    while True:
        answer = board.ask(f"binascii.b2a_base64(_file.read({PIECE_BYTES})).decode()")
        try:
            piece = base64.b64decode(answer)
        except (TypeError, binascii.Error, ValueError):
            raise LostBoard("the board's answer is damaged") from None
        found += piece
        if len(found) > bytes_max:
            raise BadPath(f"{path} has more than {bytes_max} bytes", "Read it with mpremote.")
        if not piece:
            board.run("_file.close()")
            return bytes(found)
        advance(len(piece))


def remove(board: Repl, path: str) -> None:
    """Remove a file or an empty folder. Raises BadPath and what `Repl.ask` raises."""
    board.run(_SCRIPT)
    if number := board.ask(f"_remove({path!r})"):
        raise _bad_path(path, number)


def log_lines(board: Repl) -> list[str]:
    """The lines of the board's log, oldest first; [] without one. Raises as `read`.

    The first line of each file is "log N"; the one with the larger N is the newer (log.py).
    """
    parts = []
    for name in LOG_FILES:
        try:
            content = read(board, f"/{name}", 2 * LOG_FILE_BYTES_MAX)
        except BadPath as error:
            if isinstance(error, NoFile):
                continue
            raise
        head, *lines = content.decode("utf-8", "replace").splitlines() or [""]
        number = head.removeprefix("log ")
        parts.append((int(number) if number.isascii() and number.isdigit() else 0, lines))
    return [line for _, lines in sorted(parts, key=lambda part: part[0]) for line in lines]


class NoFile(BadPath):
    """A path that the board does not have."""


def _bad_path(path: str, number: object) -> BadPath:
    kind = NoFile if number == 2 else BadPath
    reason = _REASONS.get(number) if isinstance(number, int) else None
    return kind(f"{path}: {reason or f'error {number} of the board'}")
