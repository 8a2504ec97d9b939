"""The smallest heap of a device with a mesh: it joins over an emulated modem, and is read.

The device is a MicroPython process with the driver of the RYLR998 on a pty; the modem and the
channel are those of tools/radio, in real time. The gateway is an agent in this process. A device
that is a relay has a serial line, too; the node at its other end is another agent in this process.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
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
from writ_host.demo.cable import Cable
from writ_host.demo.loopback import clean_environment, free_ports

from . import romfs
from .airnodes import RELAY, ROUTES, RULES, SENSOR
from .row import Row
from .scope import FOUNDED, TestScope

HERE = Path(__file__).resolve().parent
NAME = "bytes.heap_smallest_mesh"
NAME_RELAY = "bytes.heap_smallest_relay"
NAME_ROMFS = "bytes.heap_smallest_mesh_romfs"
GOAL = 192 * 1024
STEP = 4 * 1024
HIGH = 288 * 1024
# a busy machine, and a device whose first try has failed, take longer than the usual 5 to 12 s
PATIENCE_S = 40.0
# Addresses and roles of nodes
GATEWAY = (1, RELAY)
DEVICE, AS_RELAY = (17, SENSOR), (17, RELAY)
LEAF = (18, SENSOR)


def _provision(
    home: Path, scope: TestScope, policy: bytes, who: tuple[int, int], links: list[dict[str, Any]]
) -> None:
    # who: address and roles
    home.mkdir()
    store = Store(FileFlash(str(home)))
    authority = Authority(store, crypto.p256_public(load_key(store))[0], scope.id)
    member = scope.member(load_key(store), home.name, *who)
    for raw in (scope.charter, policy, member):
        authority.receive(raw, 0)
    (port,) = free_ports(1)
    config: dict[str, Any] = {"name": home.name, "listen": f"127.0.0.1:{port}", "links": links}
    if who == GATEWAY:
        config["mesh_gateway"] = True
        # it waits for others before it makes one
        LinkKeys(store).offer(authority.policy, 1, bytes(KEY_BYTES), 0)
    (home / "config.json").write_text(json.dumps(config))


def _lora(port: Path) -> dict[str, Any]:
    return {
        "kind": "lora",
        "modem": "rylr998",
        "port": str(port),
        "frequency_khz": 869525,
        "spreading_factor": 7,
        "bandwidth_khz": 500,
        "coding_rate": 5,
        "power_dbm": 14,
        "duty_cycle_permille": 1000,
    }


@contextmanager
def _field(tree: Path, heap: int, rom: bytes, cable: Cable | None) -> Iterator[list[Any]]:
    # the agents of a running device: its gateway, and its leaf at the other end of the cable
    micropython = build_mpy.find_micropython()
    assert micropython is not None
    with tempfile.TemporaryDirectory() as name:
        folder, scope = Path(name), TestScope()
        body = [1, scope.head, RULES, ROUTES, [], {}]
        policy = scope.sign(build(POLICY, body, iat=FOUNDED + 1))
        nodes = [
            {"name": node, "modem": "rylr998", "port": f"{node}.port", "position": [50 * index, 0]}
            for index, node in enumerate(("gateway", "soil"))
        ]
        ends = [[{"kind": "serial", "port": str(end)}] for end in cable.ends] if cable else [[], []]
        air = [_lora(folder / str(node["port"])) for node in nodes]
        _provision(folder / "gateway", scope, policy, GATEWAY, air[:1])
        roles = AS_RELAY if cable else DEVICE
        _provision(folder / "soil", scope, policy, roles, [air[1], *ends[0]])
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
            agents = [Node.load(f"{name}/gateway")]
            if cable:
                _provision(folder / "leaf", scope, policy, LEAF, ends[1])
                agents.append(Node.load(f"{name}/leaf"))
                agents[1].resource("temp")(lambda request: b'{"leaf": 1}')
            for agent in agents:
                agent.open()
            try:
                yield agents
            finally:
                for agent in agents:
                    agent.link.close()
                device.kill()
                device.wait()


def _read(agents: list[Any], number: int, until: float) -> dict[str, int] | None:
    # what the gateway reads at this node, tried again until it is there
    gateway = agents[0]
    answers: list[Any] = []
    while time.monotonic() < until:
        for agent in agents:
            agent.step(20 // len(agents))
        near = gateway.frames.mesh.neighbours.find(0, DEVICE[0])
        if not (near and near.is_mutual) or answers:
            continue
        gateway.now_ms = gateway.clock.now_ms()
        gateway.send(
            gateway.request(
                coap.GET, "temp", address=f"mesh:{number:04x}", on_answer=answers.append
            )
        )
        while not answers and time.monotonic() < until:
            for agent in agents:
                agent.step(20 // len(agents))
        if answers and answers[0].code == coap.CONTENT:
            found = json.loads(answers[0].payload)
            return {key: int(value) for key, value in found.items()}
        answers.clear()
    return None


def try_heap(tree: Path, heap: int, rom: bytes = b"") -> dict[str, int] | None:
    """The figures of a device that has joined in this heap, or None if the heap is too small.

    rom: the ROMFS image to load the core from, in place of `tree`. What it takes is added to the
    heap, since the unix port can mount an image only there.
    """
    with _field(tree, heap, rom, None) as agents:
        return _read(agents, DEVICE[0], time.monotonic() + PATIENCE_S)


def try_relay(tree: Path, heap: int) -> bool:
    """Whether a relay runs in this heap: a node on its serial line joins by it, and is read."""
    with tempfile.TemporaryDirectory() as name:
        cable = Cable(Path(name))
        try:
            with _field(tree, heap, b"", cable) as agents:
                return _read(agents, LEAF[0], time.monotonic() + PATIENCE_S) is not None
        finally:
            cable.close()


def _smallest(low: int, runs: Callable[[int], object]) -> int:
    # low: bytes, too few
    low, high = low // STEP, HIGH // STEP
    while high - low > 1:
        middle = (low + high) // 2
        if runs(middle * STEP):
            high = middle
        else:
            low = middle
    return high * STEP


def measure(tree: Path) -> list[Row]:
    """The smallest heaps in steps of STEP, and the heap in use of the idle device."""
    if build_mpy.find_micropython() is None:
        return []
    figures = try_heap(tree, HIGH)
    assert figures is not None, "the device does not join"
    assert try_relay(tree, HIGH), "the relay's leaf does not join"
    idle = figures["idle"]
    with tempfile.TemporaryDirectory() as name:
        build_mpy.build(Path(name))
        rom = romfs.image(Path(name))
    # None for a MicroPython that mounts no image
    found = try_heap(tree, HIGH, rom)
    low = found["idle"] - romfs.heap_bytes(rom) if found else 0
    in_rom = _smallest(low, lambda heap: try_heap(tree, heap, rom)) if found else None
    smallest = _smallest(idle, lambda heap: try_heap(tree, heap))
    relay = _smallest(idle, lambda heap: try_relay(tree, heap))
    return [
        Row("bytes.heap_idle_mesh", idle, "B", interpreter="micropython"),
        Row(NAME, smallest, "B", GOAL, interpreter="micropython"),
        Row(NAME_ROMFS, in_rom, "B", GOAL, interpreter="micropython"),
        Row(NAME_RELAY, relay, "B", interpreter="micropython"),
    ]
