"""A bridge on a node folder, as a process or in this one, between a field and a broker."""

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from field_rig import OPERATOR, PATHS, WRIT, Field, write_book
from interop_rig import HOST, free_port
from mosquitto_rig import Mosquitto, wait_for

NAME = "hub"
READ = '[[reading]]\nnode = "{}"\nresource = "temp"\nevery_s = 1\n'
READ_TEMP = READ.format("soil")


def toml(port: int, more: str = READ_TEMP, broker: str = "tls = false\n", top: str = "") -> str:
    """A bridge.toml for a broker on the loopback."""
    return f'{top}[broker]\nhost = "{HOST}"\nport = {port}\n{broker}\n{more}'


class BridgeProcess:
    """`writ bridge run` on a folder. Its events are JSON lines in the file `events`."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self.metrics = f"{HOST}:{free_port()}"
        self._options = ("--metrics", self.metrics, *options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """Everything that the process printed."""
        return (self.path / "events").read_text()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def metric(self, name: str) -> float:
        """A sample of the metrics, without the prefix; -1 before there are any."""
        return self._samples().get(f"writ_bridge_{name}", -1)

    def total(self, name: str) -> float:
        """The sum of a metric over its labels."""
        found = self._samples()
        return sum(found[one] for one in found if one.startswith(f"writ_bridge_{name}{{"))

    def _samples(self) -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        pairs = [line.rpartition(" ") for line in lines if line[0] != "#"]
        return {name: float(value) for name, _, value in pairs}

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        lines = self.output.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def start(self) -> "BridgeProcess":
        """Start the process; it goes on starting."""
        words = ["bridge", "run", str(self.path), "--json", *self._options]
        with (self.path / "events").open("ab") as output:
            self._process = subprocess.Popen(
                [*WRIT, *words],
                env=PATHS,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def wait_for(self, event: str, count: int = 1, **facts: object) -> dict[str, Any]:
        """Wait for the `count`th event of this name that has these facts."""

        def found() -> dict[str, Any] | None:
            assert self._process is None or self._process.poll() is None, self.output
            fitting = [
                one
                for one in self.events
                if one["event"] == event and all(one.get(k) == v for k, v in facts.items())
            ]
            return fitting[count - 1] if len(fitting) >= count else None

        found_event: dict[str, Any] = wait_for(found, why=f"no {event} {facts} in {self.output}")
        return found_event

    def kill(self) -> None:
        """Kill the process, as a power loss does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """End the process by SIGTERM; its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(20)
        self._process = None
        return code


def bridge_folder(field: Field, text: str, name: str = NAME, **addresses: str) -> Path:
    """A folder of a member that may read sensors, with bridge.toml and an address book."""
    path = field.folder(name, OPERATOR, listen=f"{HOST}:{free_port()}")
    (path / "bridge.toml").write_text(text)
    write_book(path, **addresses)
    return path


class Site:
    """A bridge and a device that knows no other node."""

    def __init__(self, field: Field, broker: Mosquitto, name: str, more: str = "") -> None:
        self.device = field.device(f"{name}-soil")
        self.address = f"{HOST}:{free_port()}"
        path = field.folder(name, OPERATOR, listen=self.address)
        (path / "bridge.toml").write_text(toml(broker.port, READ.format(f"{name}-soil") + more))
        write_book(path, **{f"{name}-soil": self.device.address})
        self.bridge = BridgeProcess(path)

    def epoch(self) -> float:
        """The epoch in force at the bridge."""
        return self.bridge.metric("epoch")

    def refused(self, reason: str) -> float:
        """How many capsules the bridge has refused for a reason."""
        return self.bridge.metric(f'capsules_refused_total{{reason="{reason}"}}')


@contextlib.contextmanager
def running(*sites: Site) -> Iterator[list[Site]]:
    """Start the bridges of sites and wait until each is connected; kill them at the end."""
    for site in sites:
        site.bridge.start()
    try:
        for site in sites:
            site.bridge.wait_for("connected")
        yield list(sites)
    finally:
        for site in sites:
            site.bridge.kill()


def prefix(field: Field) -> str:
    """Where the capsules of the field's scope are."""
    return f"writ/{field.scope.id.hex()}/capsule"
