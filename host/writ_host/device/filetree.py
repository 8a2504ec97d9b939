"""The files of a board as {path: content}, checked before they become an image.

A path has no slash in front ("writ/__init__.mpy"). One with a slash at its end is an empty folder.
"""

from collections.abc import Mapping

from ..errors import HostError

# littlefs's LFS_NAME_MAX, as MicroPython builds it. ROMFS has no limit.
NAME_BYTES_MAX = 255
# A board's flash is larger, its file systems are not: 32 MiB is the largest ESP32 module's.
CONTENT_BYTES_MAX = 32 << 20

Tree = dict[str, "bytes | Tree"]


class BadFiles(HostError):
    """Files that no image can hold: a bad path, two of one name, or too much content."""

    advice = "Paths are relative, such as lib/driver.mpy. Give each file and folder another name."


def tree_of(files: Mapping[str, bytes]) -> Tree:
    """Folders as nested dictionaries, each sorted by name as UTF-8. Raises BadFiles."""
    root: Tree = {}
    if sum(map(len, files.values())) > CONTENT_BYTES_MAX:
        raise BadFiles(f"the files have more than {CONTENT_BYTES_MAX} bytes")
    for path, content in files.items():
        *folders, name = path.removesuffix("/").split("/")
        folder = root
        for part in folders:
            folder = _enter(folder, _checked(part, path), path)
        if path.endswith("/"):
            if content:
                raise BadFiles(f"{path!r} is a folder, and has content")
            _enter(folder, _checked(name, path), path)
        elif folder.setdefault(_checked(name, path), content) is not content:
            raise BadFiles(f"{path!r} is there twice, or a folder and a file")
    return _sorted(root)


def _enter(folder: Tree, name: str, path: str) -> Tree:
    inner = folder.setdefault(name, {})
    if isinstance(inner, bytes):
        raise BadFiles(f"{path!r} is in a folder that is a file")
    return inner


def _checked(name: str, path: str) -> str:
    # surrogates are bytes of the host's file system that are not UTF-8
    size = len(name.encode(errors="replace"))
    if name in ("", ".", "..") or not name.isprintable() or "\\" in name or size > NAME_BYTES_MAX:
        raise BadFiles(f"{path!r} is no path on a board")
    return name


def _sorted(tree: Tree) -> Tree:
    return {
        name: inner if isinstance(inner, bytes) else _sorted(inner)
        for name, inner in sorted(tree.items(), key=lambda item: item[0].encode())
    }
