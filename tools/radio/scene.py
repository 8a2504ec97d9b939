"""A field of emulated modems: what a TOML file describes, with ports that programs open.

seed = 7
model = "oulu"            # lorasim, oulu or "free space"
shadowing = true
loss = 0.0
cut = [["gate", "far"]]

[[node]]
name = "gate"
modem = "rylr998"         # rylr998, rak3172 or e22
port = "/tmp/gate"        # a symlink that the tool makes; relative to the file
position = [0, 0]         # metres; a third number is the height
"""

import threading
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from radio.channel import Channel
from radio.loop import Loop
from radio.modems import KINDS, Modem
from radio.pathloss import MODELS
from radio.pty import Pty
from radio.timeline import Timeline

T = TypeVar("T")

_KEYS = {"seed": int, "model": str, "shadowing": bool, "loss": float, "cut": list, "node": list}
_NODE_KEYS = {"name": str, "modem": str, "port": str, "position": list}


class SceneError(Exception):
    """The file does not describe a scene. The text says what to change."""


@dataclass
class Node:
    """A modem and its port."""

    modem: Modem
    port: Pty


class Scene:
    """The running field. In a test: `with Scene.load(path) as scene: ...`, in a thread of its own.

    Methods of the channel and of modems are called in the loop's thread: `scene.call(lambda: ...)`.
    """

    def __init__(self, channel: Channel, nodes: dict[str, Node]) -> None:
        self.channel = channel
        self.nodes = nodes
        self.loop = Loop(channel.timeline)
        self._thread: threading.Thread | None = None

    @classmethod
    def load(cls, path: Path) -> "Scene":
        """Read a scene from a file. Raises `SceneError`, and `OSError`."""
        try:
            return cls.parse(tomllib.loads(path.read_text()), path.parent)
        except tomllib.TOMLDecodeError as error:
            raise SceneError(f"{path} is no TOML: {error}") from error

    @classmethod
    def parse(cls, table: dict[str, Any], folder: Path = Path()) -> "Scene":
        """Make a scene from the content of a file. Raises `SceneError`."""
        _check(table, _KEYS, "the file")
        name = table.get("model", "oulu")
        if name not in MODELS:
            raise SceneError(f"model is one of {', '.join(MODELS)}, not {name}")
        model = MODELS[name]
        if not table.get("shadowing", True):
            model = model.without_shadowing()
        channel = Channel(Timeline(), model, table.get("seed", 0))
        channel.loss = _share(table.get("loss", 0.0))
        nodes = {}
        for entry in table.get("node", []):
            nodes[entry["name"]] = _node(entry, channel, folder)
        if not nodes:
            raise SceneError("the file has no [[node]]: add one with name, modem, port, position")
        try:
            for pair in table.get("cut", []):
                channel.cut(*pair)
        except (TypeError, ValueError) as error:
            raise SceneError(f'cut has pairs of names, such as ["a", "b"]: {error}') from error
        return cls(channel, nodes)

    def plug(self, name: str) -> None:
        """Plug a modem in: make its port, and power it up."""
        node = self.nodes[name]
        if node.port.master is None:
            node.port.plug()
            assert node.port.master is not None
            self.loop.watch(node.port.master, lambda: node.modem.feed(node.port.read()))
            node.modem.power_on()

    def unplug(self, name: str) -> None:
        """Unplug a modem: its port is gone, and it has no power."""
        node = self.nodes[name]
        if node.port.master is not None:
            node.modem.power_off()
            self.loop.unwatch(node.port.master)
            node.port.unplug()

    def open(self) -> None:
        """Plug all modems in. Raises `OSError`."""
        for name in self.nodes:
            self.plug(name)

    def close(self) -> None:
        """Unplug all modems."""
        for name in self.nodes:
            self.unplug(name)
        self.loop.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the loop's thread, and return its result."""
        return self.loop.call(function)

    def __enter__(self) -> "Scene":
        self.open()
        self._thread = threading.Thread(target=self.loop.run, name="radio", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.loop.stop()
        if self._thread is not None:
            self._thread.join()
        self.close()


def _check(table: Any, keys: Mapping[str, type], where: str) -> None:
    if not isinstance(table, dict):
        raise SceneError(f"{where} is a table")
    for key, value in table.items():
        if key not in keys:
            raise SceneError(f"{where} has an unknown key {key}; keys are {', '.join(keys)}")
        kinds = (int, float) if keys[key] is float else (keys[key],)
        if not isinstance(value, kinds) or (isinstance(value, bool) and keys[key] is not bool):
            raise SceneError(f"{key} in {where} is of type {keys[key].__name__}, not {value!r}")


def _share(value: float) -> float:
    if not 0 <= value <= 1:
        raise SceneError(f"loss is a share from 0 to 1, not {value}")
    return float(value)


def _node(entry: Any, channel: Channel, folder: Path) -> Node:
    _check(entry, _NODE_KEYS, "a [[node]]")
    missing = [key for key in _NODE_KEYS if key not in entry]
    if missing:
        raise SceneError(f"a [[node]] lacks {', '.join(missing)}")
    if entry["modem"] not in KINDS:
        raise SceneError(f"modem is one of {', '.join(KINDS)}, not {entry['modem']}")
    position = entry["position"]
    if len(position) not in (2, 3) or not all(type(part) in (int, float) for part in position):
        raise SceneError(f"position has two or three numbers, in metres, not {position}")
    try:
        radio = channel.add(entry["name"], tuple(position))
    except ValueError as error:
        raise SceneError(str(error)) from error
    port = Pty(folder / entry["port"])
    return Node(KINDS[entry["modem"]](radio, channel.timeline, port.write), port)
