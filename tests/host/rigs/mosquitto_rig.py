"""A real broker (Debian's mosquitto) on the loopback, and a client that records what it hears."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from interop_rig import HOST, free_port
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="no mosquitto: apt install mosquitto")


def wait_for(what: Callable[[], Any], timeout_s: float = 30, why: str = "") -> Any:
    """Wait until `what()` is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, why or "the condition did not come true"
        time.sleep(0.02)
    return found


class Mosquitto:
    """A broker that keeps retained messages over a restart. lines: more lines of its config."""

    def __init__(self, path: Path, *lines: str, port: int = 0) -> None:
        self.port = port or free_port()
        self._path = path
        self._config = path / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        path.mkdir(exist_ok=True)
        # as the user of the test: started as root it would become the user "mosquitto"
        head = ("user root", f"listener {self.port} {HOST}", "persistence true")
        head += (f"persistence_location {path}/", "autosave_on_changes true", "autosave_interval 1")
        anonymous = [] if any("allow_anonymous" in line for line in lines) else ["true"]
        more = [f"allow_anonymous {word}" for word in anonymous]
        self._config.write_text("\n".join([*head, *more, *lines, ""]))

    def start(self) -> Self:
        """Start it, and wait until it accepts connections."""
        assert PROGRAM is not None
        with (self._path / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", str(self._config)], stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(self._accepts, why="mosquitto does not answer")
        return self

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._path / "log").read_text()
        try:
            socket.create_connection((HOST, self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill it, as a power loss does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass(frozen=True)
class Heard:
    """A message that the client received."""

    topic: str
    payload: bytes
    retain: bool
    dup: bool
    properties: Any


class Client:
    """A client that subscribes to a filter and records; it connects again by itself."""

    def __init__(self, port: int, topic: str = "#", name: str = "", **credentials: str) -> None:
        self.heard: list[Heard] = []
        self.connections = 0
        self._ready = threading.Event()
        self._topic = topic
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5
        )
        if credentials:
            self._client.username_pw_set(credentials["username"], credentials["password"])
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async(HOST, port)
        self._client.loop_start()
        assert self._ready.wait(20)

    def _on_connect(self, client: Any, _: Any, __: Any, code: Any, ___: Any) -> None:
        self.connections += not code.is_failure
        client.subscribe(self._topic, 1)

    def _on_message(self, _: Any, __: Any, message: Any) -> None:
        found = (message.payload, bool(message.retain), message.dup, message.properties)
        self.heard.append(Heard(message.topic, *found))

    def publish(self, topic: str, payload: bytes, retain: bool = False, **properties: Any) -> None:
        """Publish with QoS 1 and wait until the broker has it."""
        more = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(more, name, value)
        self._client.publish(topic, payload, 1, retain, more).wait_for_publish(20)

    def at(self, topic: str) -> list[bytes]:
        """The payloads that were heard at a topic, in their order."""
        return [one.payload for one in list(self.heard) if one.topic == topic]

    def wait(self, topic: str, payload: bytes | None = None, timeout_s: float = 30) -> bytes:
        """Wait for a message at a topic, with this payload if it is given; the last one's."""

        def found() -> bool:
            heard = self.at(topic)
            return bool(heard) if payload is None else payload in heard

        heard = sorted({one.topic for one in self.heard})
        wait_for(found, timeout_s, f"nothing at {topic}; heard {heard}")
        return self.at(topic)[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


# Where `ask` has answers sent.
ANSWER = "writ-response/me"


def ask(client: Client, topic: str, payload: bytes = b"", **more: Any) -> Heard:
    """Send a request, and wait for the answer with its correlation data."""
    mark = b"%d" % len(client.heard) + b"\x00\xff"

    def answers() -> list[Heard]:
        return [one for one in list(client.heard) if correlation(one) == mark]

    def ask_again() -> list[Heard]:
        # the broker has the bridge's subscriptions a moment after the connection
        client.publish(topic, payload, ResponseTopic=ANSWER, CorrelationData=mark, **more)
        try:
            return wait_for(answers, 5)  # type: ignore[no-any-return]
        except AssertionError:
            return []

    found: Heard = wait_for(ask_again)[0]
    return found


def correlation(message: Heard) -> bytes:
    """The correlation data of an answer."""
    if message.topic != ANSWER:
        return b""
    return bytes(getattr(message.properties, "CorrelationData", b""))


def properties(message: Heard) -> dict[str, str]:
    """The user properties of a message."""
    return dict(getattr(message.properties, "UserProperty", []))


# The answer to a connection that is accepted, with MQTT 5.
CONNACK = b"\x20\x03\x00\x00\x00"


class Impostor:
    """A server that answers a connection with these bytes and ends it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.accepted = 0
        self._socket = socket.create_server((HOST, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            self.accepted += 1
            link.recv(1000)
            link.sendall(self._data)
            link.close()

    def close(self) -> None:
        self._socket.close()


def packets(link: socket.socket) -> Iterator[tuple[int, bytes]]:
    """(first byte, rest) of each MQTT packet, until the connection ends."""
    stream = link.makefile("rb")
    while head := stream.read(1):
        length = shift = 0
        while True:
            byte = stream.read(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        yield head[0], stream.read(length)
    stream.close()


class Recorder:
    """A broker that answers connections and subscriptions and acknowledges nothing.

    heard: the topics and payloads published, for each connection; the first one is closed after
    `first` readings, so that what is under way is sent again.
    """

    def __init__(self, first: int) -> None:
        self.heard: list[list[tuple[str, bytes]]] = []
        self._first = first
        self._socket = socket.create_server((HOST, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._socket.accept()
                self.heard.append([])
                self._talk(link, self.heard[-1])

    def _talk(self, link: socket.socket, heard: list[tuple[str, bytes]]) -> None:
        with link:
            for kind, data in packets(link):
                if kind >> 4 == 1:
                    link.sendall(CONNACK)
                elif kind >> 4 == 8:
                    # the number of the request, no properties, and a code for each of its filters
                    link.sendall(b"\x90\x04" + data[:2] + b"\x00\x00")
                elif kind >> 4 == 3:
                    size = int.from_bytes(data[:2], "big")
                    # then number and length of the properties, which readings do not have
                    heard.append((data[2 : 2 + size].decode(), data[5 + size :]))
                    readings = [one for one in heard if one[1].startswith(b'{"value"')]
                    if len(self.heard) == 1 and len(readings) >= self._first:
                        return

    def close(self) -> None:
        """Accept no more connections."""
        self._socket.close()
