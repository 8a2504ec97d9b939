"""LittleFS images are deterministic, and MicroPython finds in them what was put in."""

import json
import random
import subprocess
from pathlib import Path

import build_mpy
import pytest
from littlefs import LittleFS, UserContext

from writ_host.device.filetree import BadFiles
from writ_host.device.littlefs import PROGRAM_BYTES, PROGRAM_BYTES_RP2, BadSize, littlefs_image

MICROPYTHON = build_mpy.find_micropython()
RIGS = Path(__file__).parents[1] / "rigs"
# Lists a medium as MicroPython sees it, changes it, and lists it again
PROGRAM = """
import hashlib, json, os, sys, vfs
from flash_file import Flash

def listed(folder="/"):
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + name
        if kind == 0x4000:
            yield path + "/", ""
            yield from listed(path + "/")
        else:
            with open(path, "rb") as handle:
                yield path, hashlib.sha256(handle.read()).digest().hex()

flash = Flash(sys.argv[1])
vfs.umount("/")
vfs.mount(vfs.VfsLfs2(flash, progsize=int(sys.argv[2])), "/")
print(json.dumps(dict(listed())))
for number in range(40):
    with open("/new%d" % (number % 7), "wb") as handle:
        handle.write(b"x" * (number * 100))
vfs.umount("/")
vfs.mount(vfs.VfsLfs2(flash, progsize=int(sys.argv[2])), "/")
print(json.dumps(dict(listed())))
"""


def some_files(seed: int) -> dict[str, bytes]:
    rng = random.Random(seed)
    found = {"empty/": b"", "a/b/c/": b""}
    for number in range(30):
        # inline, one block, several blocks
        size = rng.choice((0, 1, 31, 32, 64, 127, 128, 129, 512, 1023, 1024, 4096, 4097, 20_000))
        found[f"{rng.choice(('', 'lib/', 'a/b/'))}file{number}"] = rng.randbytes(size)
    return found


def digests(files: dict[str, bytes]) -> dict[str, str]:
    import hashlib

    found = {}
    for path, content in files.items():
        parts = path.split("/")[:-1]
        found |= {"/" + "/".join(parts[: at + 1]) + "/": "" for at in range(len(parts))}
        if not path.endswith("/"):
            found["/" + path] = hashlib.sha256(content).hexdigest()
    return found


@pytest.mark.skipif(MICROPYTHON is None, reason="no micropython here")
@pytest.mark.parametrize("program_bytes", [PROGRAM_BYTES, PROGRAM_BYTES_RP2])
@pytest.mark.parametrize("seed", range(3))
def test_micropython_mounts_an_image_and_writes_to_it(
    tmp_path: Path, seed: int, program_bytes: int
) -> None:
    files = some_files(seed)
    (tmp_path / "flash").write_bytes(littlefs_image(files, 512 * 1024, program_bytes=program_bytes))
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [str(MICROPYTHON), "program.py", "flash", str(program_bytes)],
        cwd=tmp_path,
        env={"MICROPYPATH": f"{RIGS}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = map(json.loads, done.stdout.splitlines())
    assert before == digests(files)
    new = {f"new{number % 7}": b"x" * (number * 100) for number in range(40)}
    assert after == digests(files | new)


def test_an_image_is_the_same_for_the_same_files() -> None:
    files = some_files(1)
    first = littlefs_image(files, 256 * 1024)
    assert len(first) == 256 * 1024
    assert littlefs_image(dict(reversed(files.items())), 256 * 1024) == first
    # no name, no time and no path of the host
    system = LittleFS(UserContext(buffer=bytearray(first)), block_size=4096, block_count=64)
    assert sorted(system.listdir("/lib")) == sorted(
        path.removeprefix("lib/") for path in files if path.startswith("lib/")
    )
    with pytest.raises(Exception, match="NOATTR"):
        system.getattr("/lib", "t")


def test_the_unused_part_is_erased_flash() -> None:
    image = littlefs_image({"a": b"1"}, 1 << 20)
    assert image[4 * 4096 :].strip(b"\xff") == b""


@pytest.mark.parametrize("size", [0, 4096, 3 * 4096, 16 * 4096 + 1, -4096])
def test_a_size_that_no_image_has_is_refused(size: int) -> None:
    with pytest.raises(BadSize):
        littlefs_image({}, size)


@pytest.mark.parametrize(
    ("block", "program"), [(4096, 31), (100, 32), (0, 32), (512, 256), (4096, 0)]
)
def test_units_that_littlefs_asserts_are_refused(block: int, program: int) -> None:
    with pytest.raises(BadSize):
        littlefs_image({}, 1 << 20, block, program)


def test_files_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadSize, match="do not fit into 65536"):
        littlefs_image({"a": bytes(61_000)}, 65536)
    littlefs_image({"a": bytes(45_000)}, 65536)


def test_a_path_that_no_board_has_is_refused() -> None:
    with pytest.raises(BadFiles):
        littlefs_image({"/main.py": b""}, 65536)
