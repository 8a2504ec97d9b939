"""A ROMFS image: MicroPython's read-only file system in flash, from which code runs in place.

The format is that of MicroPython's documentation ("Working with ROMFS", ROMFS filesystem format)
and of extmod/vfs_rom.c: records of kind, length and payload, the first two as numbers of 7 bits a
byte, the most significant first. A board's firmware mounts the image at /rom.
"""

from collections.abc import Mapping

from .filetree import Tree, tree_of

# Kinds of records; that of the whole file system, 0x14a6b1, encodes as "RM1" with two high bits.
_VERBATIM, _FOLDER, _FILE = 2, 4, 5
_HEADER = b"\xd2\xcd\x31"


def romfs_image(files: Mapping[str, bytes]) -> bytes:
    """The image of `files` ({"writ/__init__.mpy": content}), the same for the same files.

    Its length is even, as the format demands. Raises BadFiles.
    """
    content = _content(tree_of(files))
    length = _number(len(content))
    # a leading 0x80 adds nothing to a number
    padding = b"\x80" * ((len(_HEADER) + len(length) + len(content)) % 2)
    return _HEADER + padding + length + content


def _content(tree: Tree) -> bytes:
    found = []
    for name, inner in tree.items():
        raw = name.encode()
        head = _number(len(raw)) + raw
        if isinstance(inner, bytes):
            found.append(_record(_FILE, head + _record(_VERBATIM, inner)))
        else:
            found.append(_record(_FOLDER, head + _content(inner)))
    return b"".join(found)


def _record(kind: int, payload: bytes) -> bytes:
    return _number(kind) + _number(len(payload)) + payload


def _number(value: int) -> bytes:
    found = [value & 0x7F]
    while value := value >> 7:
        found.append(0x80 | value & 0x7F)
    return bytes(reversed(found))
