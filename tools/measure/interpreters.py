"""Runs on_device.py on each interpreter, and finds the smallest heap of the device's agent."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import build_mpy
from device_files import FIRMWARE

from writ.agent import Node
from writ.authority.store import FileFlash, Store
from writ.wire import coap
from writ_host.demo.loopback import free_ports

from . import delegating, romfs
from .row import Row
from .scope import TestScope

HERE = Path(__file__).resolve().parent
GOAL_HEAP = 160 * 1024


def reticulum_for_micropython(folder: Path) -> bool:
    """Write Reticulum's pure25519 into `folder`, in a form that MicroPython can run.

    The changes are textual: `x[::-1]` becomes `bytes(reversed(x))`, imports are redirected, and the
    two recursive multiplications become loops of the same doublings and additions, since a
    recursion 256 deep needs a larger stack. The arithmetic is Reticulum's.
    """
    try:
        import RNS.Cryptography.pure25519.basic as basic
    except ImportError:
        return False
    source = Path(str(basic.__file__)).parent
    turned = r"((?:\w+(?:\.\w+)*)(?:\([^()]*\))?(?:\[:?\d*\])?)\[::-1\]"
    text = re.sub(turned, r"bytes(reversed(\1))", (source / "basic.py").read_text())
    text = text.replace("import binascii, hashlib, itertools", "import binascii, hashlib")
    (folder / "rns_basic.py").write_text(text + _UNROLLED)
    text = re.sub(turned, r"bytes(reversed(\1))", (source / "eddsa.py").read_text())
    text = text.replace(
        "from RNS.Cryptography.Hashes import sha512", "from writ.crypto import sha512"
    )
    (folder / "rns_eddsa.py").write_text(text.replace("from .basic", "from rns_basic"))
    return True


_UNROLLED = """

def _unrolled(add):
    def multiply(point, scalar):
        bit = 1
        while bit <= scalar:
            bit <<= 1
        result = xform_affine_to_extended((0, 1))
        while bit > 1:
            bit >>= 1
            result = double_element(result)
            if scalar & bit:
                result = add(result, point)
        return result
    return multiply

scalarmult_element = _unrolled(_add_elements_nonunfied)
scalarmult_element_safe_slow = _unrolled(add_elements)
"""


def _provision(folder: Path, scope: TestScope) -> None:
    for name, address, roles, epoch in (("gateway", 1, 2, 2), ("soil", 17, 4, 1)):
        store = Store(FileFlash(str(folder / name)))
        scope.provision(store, name, address, roles, epoch)


def _figures(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}


def measure_times(tree: Path) -> list[Row]:
    """Times on MicroPython, and CPython with each crypto backend."""
    firmware = str(FIRMWARE)
    micropython = build_mpy.find_micropython()
    runs: list[tuple[str, list[str], dict[str, str]]] = []
    script = HERE / "on_device.py"
    build_mpy.build_programs(HERE, tree, [script.name])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = folder / "peer"
        peer.mkdir()
        has_peer = reticulum_for_micropython(peer)
        if micropython:
            runs.append(
                (
                    "micropython",
                    [micropython, "-X", "heapsize=2M", "-m", script.stem],
                    {"MICROPYPATH": f"{tree}:.frozen"},
                )
            )
        for backend in ("pure", "pycryptodome", "openssl"):
            environment = {"PYTHONPATH": firmware, "WRIT_CRYPTO": backend}
            runs.append((f"cpython-{backend}", [sys.executable, str(script)], environment))
        rows = []
        for interpreter, command, environment in runs:
            home = folder / interpreter
            home.mkdir()
            _provision(home, TestScope())
            rounds = "5" if interpreter == "micropython" else "15"
            arguments = [str(home), rounds]
            if has_peer and interpreter in ("micropython", "cpython-pure"):
                arguments.append(str(peer))
            found = _figures(command + arguments, environment)
            reticulum = found.pop("us.reticulum_verify", None)
            for figure, value in found.items():
                row = Row(figure, round(value, 1), "us", interpreter=interpreter)
                if figure.startswith("us.ed25519_verify") and reticulum is not None:
                    row.peer, row.peer_value = "Reticulum pure25519", round(reticulum, 1)
                    row.goal = round(reticulum / 2, 1)
                rows.append(row)
    return rows


Process = subprocess.Popen[str]


@contextmanager
def running_device(tree: Path, heap: int, rom: bytes = b"") -> Iterator[tuple[Node, str, Process]]:
    """A device with a heap of `heap` bytes: (gateway of its scope, its address, its process).

    rom: the ROMFS image to load the core from, in place of `tree`. What it takes is added to the
    heap, since the unix port can mount an image only there.
    """
    micropython = build_mpy.find_micropython()
    assert micropython is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _provision(folder, TestScope())
        ports = dict(zip(("gateway", "soil"), free_ports(2), strict=True))
        for node, port in ports.items():
            config = {"name": node, "listen": f"127.0.0.1:{port}"}
            (folder / node / "config.json").write_text(json.dumps(config))
        words = [str(HERE / "heap_device.py"), f"{name}/soil"]
        if rom:
            (folder / "rom").write_bytes(rom)
            words.append(f"{name}/rom")
        device = subprocess.Popen(
            [micropython, "-X", f"heapsize={heap + romfs.heap_bytes(rom)}", *words],
            env={**os.environ, "MICROPYPATH": f"{tree}:.frozen"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        gateway = Node.load(f"{name}/gateway")
        gateway.open()
        try:
            yield gateway, f"127.0.0.1:{ports['soil']}", device
        finally:
            gateway.link.close()
            device.kill()
            device.wait()
            if device.stdout:
                device.stdout.close()


def try_heap(
    tree: Path, heap: int, seconds: float = 8.0, rom: bytes = b""
) -> dict[str, int] | None:
    """The figures of a device with a heap of `heap` bytes, or None if the heap is too small.

    rom: as in `running_device`. The device must complete a handshake with this process, answer a
    request, notice the newer epoch, pull and apply that policy, and answer again in that epoch.
    """
    with running_device(tree, heap, rom) as (gateway, address, device):
        return _exercise(gateway, address, device, seconds)


def _exercise(
    gateway: Node, address: str, device: Process, seconds: float
) -> dict[str, int] | None:
    deadline = time.monotonic() + seconds
    assert device.stdout is not None
    if device.stdout.readline().strip() != "ready":
        return None
    figures: dict[str, int] = {}
    while time.monotonic() < deadline and device.poll() is None:
        answers: list[coap.Message] = []
        gateway.now_ms = gateway.clock.now_ms()
        gateway.send(gateway.request(coap.GET, "temp", address=address, on_answer=answers.append))
        while not answers and time.monotonic() < deadline and device.poll() is None:
            gateway.step(100)
        if not answers or answers[0].code != coap.CONTENT:
            return None
        figures = {key: int(value) for key, value in json.loads(answers[0].payload).items()}
        if figures["epoch"] == gateway.authority.epoch:
            return figures
        for _ in range(5):
            gateway.step(20)
    return None


def _smallest(tree: Path, low: int, rom: bytes = b"") -> int:
    # in kB; low: a heap that is too small
    high = 256
    while high - low > 1:
        middle = (low + high) // 2
        if try_heap(tree, middle * 1024, 4.0, rom):
            high = middle
        else:
            low = middle
    return high


def _smallest_romfs(tree: Path) -> int | None:
    # None for a MicroPython that cannot mount an image
    with tempfile.TemporaryDirectory() as name:
        build_mpy.build(Path(name))
        rom = romfs.image(Path(name))
    if try_heap(tree, 256 * 1024, rom=rom) is None:
        return None
    return 1024 * _smallest(tree, 32, rom)


def measure_heap(tree: Path) -> list[Row]:
    """The heap in use when idle and at the peak of a handshake, and the smallest heap."""
    micropython = build_mpy.find_micropython()
    if micropython is None:
        return []
    figures = try_heap(tree, 256 * 1024)
    assert figures is not None, "the agent does not run in 256 kB"
    step = 1024
    high = _smallest(tree, figures["idle"] // step)
    low = high - 1
    return [
        Row("bytes.heap_idle", figures["idle"], "B", interpreter="micropython"),
        Row("bytes.heap_peak", figures["peak"], "B", interpreter="micropython"),
        Row("bytes.heap_smallest", high * step, "B", GOAL_HEAP, interpreter="micropython"),
        Row("bytes.heap_smallest_romfs", _smallest_romfs(tree), "B", interpreter="micropython"),
        *delegating.measure(micropython, tree, low * step),
    ]
