"""A ROMFS image, MicroPython's read-only file system in flash, of a folder.

Records are kind, length and content, with numbers as in MicroPython's extmod/vfs_rom.c. Code that
is imported from a mounted image is executed in place.
"""

from pathlib import Path

_HEADER = b"\xd2\xcd\x31"
_VERBATIM, _FOLDER, _FILE = 2, 4, 5


def image(folder: Path) -> bytes:
    """The image with the content of `folder`."""
    content = _content(folder)
    length = _number(len(content))
    # an even length of the header aligns what follows
    return _HEADER + (b"" if len(length) % 2 else b"\x80") + length + content


def _content(folder: Path) -> bytes:
    found = b""
    for path in sorted(folder.iterdir()):
        name = _number(len(path.name)) + path.name.encode()
        if path.is_dir():
            found += _record(_FOLDER, name + _content(path))
        else:
            found += _record(_FILE, name + _record(_VERBATIM, path.read_bytes()))
    return found


def _record(kind: int, content: bytes) -> bytes:
    return _number(kind) + _number(len(content)) + content


def _number(value: int) -> bytes:
    # 7 bits a byte, the most significant first
    found = bytes((value & 127,))
    while value := value >> 7:
        found = bytes((0x80 | value & 127,)) + found
    return found
