"""A ROMFS image of a folder, and what it takes of a heap that holds it, as the unix port's must."""

from pathlib import Path

from writ_host.device.romfs import romfs_image

# The 64-bit unix port's heap: bytes of a block, and bits of a block and its marks in two tables
# (MicroPython's py/gc.c)
_BLOCK = 32
_BITS, _BITS_WITH_MARKS = 8 * _BLOCK, 8 * _BLOCK + 3


def image(folder: Path) -> bytes:
    """The image with the content of `folder`."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return romfs_image({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})


def heap_bytes(image: bytes) -> int:
    """What an image in the heap of the 64-bit unix port takes of it, which a chip has in flash.

    That is its bytes and a zero in whole blocks, the block of its object, and the marks of them all
    in the tables of the garbage collector.
    """
    blocks = (len(image) + _BLOCK) // _BLOCK + 1
    return -(-blocks * _BLOCK * _BITS_WITH_MARKS // _BITS)
