"""The smallest heap of a device with a mesh: it joins over an emulated modem, and is read.

The device is a MicroPython process with the driver of the RYLR998 on a pty; the modem and the
channel are those of tools/radio, in real time. The gateway is an agent in this process.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import build_mpy
from radio.scene import Scene

from writ import crypto
from writ.agent import Node
from writ.authority.authority import Authority
from writ.authority.capsule import POLICY, build
from writ.authority.store import FileFlash, Store
from writ.mesh.linkkey import KEY_BYTES, LinkKeys
from writ.startup import load_key
from writ.wire import coap
from writ_host.demo.loopback import clean_environment, free_ports

from . import romfs
from .airnodes import RELAY, ROUTES, RULES, SENSOR
from .row import Row
from .scope import FOUNDED, TestScope

HERE = Path(__file__).resolve().parent
NAME = "bytes.heap_smallest_mesh"
NAME_ROMFS = "bytes.heap_smallest_mesh_romfs"
GOAL = 192 * 1024
STEP = 4 * 1024
HIGH = 288 * 1024
PATIENCE_S = 15.0
NUMBER = 17


def _provision(folder: Path, scope: TestScope, policy: bytes, port: int, modem: str) -> None:
    # modem: the name of the node, and of the port of its modem
    home = folder / modem
    home.mkdir()
    store = Store(FileFlash(str(home)))
    authority = Authority(store, crypto.p256_public(load_key(store))[0], scope.id)
    number, roles = (1, RELAY) if modem == "gateway" else (NUMBER, SENSOR)
    member = scope.member(load_key(store), modem, number, roles)
    for raw in (scope.charter, policy, member):
        authority.receive(raw, 0)
    link = {
        "kind": "lora",
        "modem": "rylr998",
        "port": str(folder / f"{modem}.port"),
        "frequency_khz": 869525,
        "spreading_factor": 7,
        "bandwidth_khz": 500,
        "coding_rate": 5,
        "power_dbm": 14,
        "duty_cycle_permille": 1000,
    }
    config: dict[str, Any] = {"name": modem, "listen": f"127.0.0.1:{port}", "links": [link]}
    if modem == "gateway":
        config["mesh_gateway"] = True
        # it waits for others before it makes one
        LinkKeys(store).offer(authority.policy, 1, bytes(KEY_BYTES), 0)
    (home / "config.json").write_text(json.dumps(config))


@contextmanager
def _field(tree: Path, heap: int, rom: bytes) -> Iterator[Any]:
    # the gateway of a running device
    micropython = build_mpy.find_micropython()
    assert micropython is not None
    with tempfile.TemporaryDirectory() as name:
        folder, scope = Path(name), TestScope()
        body = [1, scope.head, RULES, ROUTES, [], {}]
        policy = scope.sign(build(POLICY, body, iat=FOUNDED + 1))
        nodes = []
        for port, node in zip(free_ports(2), ("gateway", "soil"), strict=True):
            _provision(folder, scope, policy, port, node)
            nodes.append({"name": node, "modem": "rylr998", "port": f"{node}.port"})
        for index, node_table in enumerate(nodes):
            node_table["position"] = [50 * index, 0]  # type: ignore[assignment]
        words = [str(HERE / "heap_device.py"), f"{name}/soil"]
        if rom:
            (folder / "rom").write_bytes(rom)
            words.append(f"{name}/rom")
        with Scene.parse({"seed": 1, "shadowing": False, "node": nodes}, folder):
            device = subprocess.Popen(
                [micropython, "-X", f"heapsize={heap + romfs.heap_bytes(rom)}", *words],
                env=clean_environment(MICROPYPATH=f"{tree}:.frozen"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            gateway = Node.load(f"{name}/gateway")
            gateway.open()
            try:
                yield gateway
            finally:
                gateway.link.close()
                device.kill()
                device.wait()


def try_heap(tree: Path, heap: int, rom: bytes = b"") -> dict[str, int] | None:
    """The figures of a device that has joined in this heap, or None if the heap is too small.

    rom: the ROMFS image to load the core from, in place of `tree`. What it takes is added to the
    heap, since the unix port can mount an image only there.
    """
    with _field(tree, heap, rom) as gateway:
        end = time.monotonic() + PATIENCE_S
        answers: list[Any] = []
        while time.monotonic() < end:
            gateway.step(20)
            near = gateway.frames.mesh.neighbours.find(0, NUMBER)
            if near and near.is_mutual and not answers:
                gateway.now_ms = gateway.clock.now_ms()
                gateway.send(
                    gateway.request(
                        coap.GET, "temp", address=f"mesh:{NUMBER:04x}", on_answer=answers.append
                    )
                )
                while not answers and time.monotonic() < end:
                    gateway.step(20)
                if answers and answers[0].code == coap.CONTENT:
                    found = json.loads(answers[0].payload)
                    return {key: int(value) for key, value in found.items()}
                answers.clear()
        return None


def _smallest(tree: Path, rom: bytes = b"") -> tuple[int, int] | None:
    # (the smallest heap, bytes in use of an idle device), None if this MicroPython mounts no image
    figures = try_heap(tree, HIGH, rom)
    if figures is None:
        return None
    low, high = figures["idle"] - romfs.heap_bytes(rom), HIGH // STEP
    low = max(0, low) // STEP
    while high - low > 1:
        middle = (low + high) // 2
        if try_heap(tree, middle * STEP, rom):
            high = middle
        else:
            low = middle
    return high * STEP, figures["idle"]


def measure(tree: Path) -> list[Row]:
    """The smallest heaps in steps of STEP, and the heap in use of the idle device."""
    if build_mpy.find_micropython() is None:
        return []
    found = _smallest(tree)
    assert found is not None, "the device does not join"
    with tempfile.TemporaryDirectory() as name:
        build_mpy.build(Path(name))
        in_rom = _smallest(tree, romfs.image(Path(name)))
    return [
        Row("bytes.heap_idle_mesh", found[1], "B", interpreter="micropython"),
        Row(NAME, found[0], "B", GOAL, interpreter="micropython"),
        Row(NAME_ROMFS, in_rom and in_rom[0], "B", GOAL, interpreter="micropython"),
    ]
