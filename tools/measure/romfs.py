"""A ROMFS image, MicroPython's read-only file system in flash, of a folder.

Records are kind, length and content, with numbers as in MicroPython's extmod/vfs_rom.c. Code that
is imported from a mounted image is executed in place.
"""

from pathlib import Path

# The 64-bit unix port's heap: bytes of a block, and bits of a block and its marks in two tables
# (MicroPython's py/gc.c)
_BLOCK = 32
_BITS, _BITS_WITH_MARKS = 8 * _BLOCK, 8 * _BLOCK + 3
_HEADER = b"\xd2\xcd\x31"
_VERBATIM, _FOLDER, _FILE = 2, 4, 5


def image(folder: Path) -> bytes:
    """The image with the content of `folder`."""
    content = _content(folder)
    length = _number(len(content))
    # an even length of the header aligns what follows
    return _HEADER + (b"" if len(length) % 2 else b"\x80") + length + content


def heap_bytes(image: bytes) -> int:
    """What an image in the heap of the 64-bit unix port takes of it, which a chip has in flash.

    That is its bytes and a zero in whole blocks, the block of its object, and the marks of them all
    in the tables of the garbage collector.
    """
    blocks = (len(image) + _BLOCK) // _BLOCK + 1
    return -(-blocks * _BLOCK * _BITS_WITH_MARKS // _BITS)


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
