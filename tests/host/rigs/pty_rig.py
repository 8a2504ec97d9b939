"""Serial ports for tests: a cable of two ptys, which can be noisy or unplugged, and its users."""

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import build_mpy

from writ.compat import Clock
from writ.link.serial import SerialLink

PROGRAM = Path(__file__).with_name("serial_program.py")
INTERPRETERS = ("cpython", "micropython")
SECONDS = 60
# Bytes on their way to one end, beyond what the kernel holds
PENDING_BYTES = 65536


@dataclass
class Order:
    """What the thread of a cable is to do as soon as `when()` is true."""

    work: Callable[[], None]
    when: Callable[[], bool]
    done: threading.Event


class Cable:
    """Two serial ports, `paths[0]` and `paths[1]`, and a thread that carries bytes between them.

    The paths are symbolic links to ptys. alter(end, data): what arrives of the bytes that `end`
    has sent.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / "port0", folder / "port1"]
        self.alter: Callable[[int, bytes], bytes] = lambda end, data: data
        self.slaves = [-1, -1]
        self.links: list[SerialLink] = []  # in this process; `close` closes them
        self._masters = [-1, -1]
        self._pending = [bytearray(), bytearray()]  # to each end
        self._held: set[int] = set()
        self._orders: list[Order] = []
        self._wake = os.pipe()
        self._is_running = True
        self._error: Exception | None = None
        for end in (0, 1):
            self._plug(end)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def plug(self, end: int) -> None:
        """Plug an end in again: its path leads to a new pty."""
        self._order(lambda: self._plug(end))

    def unplug(self, end: int) -> None:
        """Pull an end out, as with a USB adapter: the port and its path vanish."""
        self._order(lambda: self._unplug(end))

    def hold(self, end: int) -> None:
        """Take no more bytes from an end."""
        self._order(lambda: self._held.add(end))

    def release(self, end: int) -> None:
        """End `hold`."""
        self._order(lambda: self._held.discard(end))

    def inject(self, end: int, data: bytes) -> None:
        """Let bytes arrive at an end, after those on their way; wait until it has taken them."""
        for at in range(0, len(data), PENDING_BYTES):
            part = data[at : at + PENDING_BYTES]
            self._order(lambda part=part: self._pending[end].extend(part))
            self._order(lambda: None, when=lambda: not self._pending[end])

    def close(self) -> None:
        """End the thread, both ports, and the links of this process."""
        for link in self.links:
            link.close()
        self._is_running = False
        os.write(self._wake[1], b"x")
        self._thread.join()
        assert self._error is None
        for end in (0, 1):
            if self._masters[end] >= 0:
                self._unplug(end)
        for handle in self._wake:
            os.close(handle)

    def _order(self, work: Callable[[], None], when: Callable[[], bool] = lambda: True) -> None:
        # done by the thread, which may be waiting for the ports
        order = Order(work, when, threading.Event())
        self._orders.append(order)
        os.write(self._wake[1], b"x")
        assert order.done.wait(SECONDS), self._error

    def _plug(self, end: int) -> None:
        self._masters[end], self.slaves[end] = pty.openpty()
        os.set_blocking(self._masters[end], False)
        # without echo before a program opens it
        tty.setraw(self.slaves[end])
        self.paths[end].symlink_to(os.ttyname(self.slaves[end]))

    def _unplug(self, end: int) -> None:
        self.paths[end].unlink()
        for handles in (self._masters, self.slaves):
            os.close(handles[end])
            handles[end] = -1
        self._pending[end].clear()

    def _run(self) -> None:
        try:
            while self._is_running:
                self._carry()
        except Exception as error:
            # shown by the next order, or by `close`
            self._error = error
            raise

    def _carry(self) -> None:
        plugged = [end for end in (0, 1) if self._masters[end] >= 0]
        readers = [
            self._masters[end]
            for end in plugged
            if end not in self._held and len(self._pending[1 - end]) < PENDING_BYTES
        ]
        writers = [self._masters[end] for end in plugged if self._pending[end]]
        readable, writable, _ = select.select([*readers, self._wake[0]], writers, [])
        for end in plugged:
            if self._masters[end] in readable:
                data = self.alter(end, os.read(self._masters[end], 4096))
                if 1 - end in plugged:
                    self._pending[1 - end] += data
            if self._masters[end] in writable:
                sent = os.write(self._masters[end], self._pending[end][:4096])
                del self._pending[end][:sent]
        if self._wake[0] in readable:
            os.read(self._wake[0], 64)
        while self._orders and self._orders[0].when():
            order = self._orders.pop(0)
            order.work()
            order.done.set()


class Noise:
    """Damage by position in the stream, so that a run does not depend on how it is cut.

    size: the number of bytes from each end that may be damaged. One in 500 is: it is changed or
    lost, a burst of noise comes before it, or it is lost with up to 80 after it.
    """

    def __init__(self, seed: int, size: int) -> None:
        self._random = [Random(2 * seed), Random(2 * seed + 1)]
        self._left = [size, size]
        self._lost = [0, 0]
        self.count = 0

    def __call__(self, end: int, data: bytes) -> bytes:
        random = self._random[end]
        noisy = data[: self._left[end]]
        self._left[end] -= len(noisy)
        out = bytearray()
        for byte in noisy:
            kind = random.randrange(4) if random.randrange(500) == 0 else None
            self.count += kind is not None
            if kind == 3:
                self._lost[end] = random.randrange(1, 80)
            if self._lost[end]:
                self._lost[end] -= 1
                continue
            if kind == 0:
                out.append(byte ^ random.randrange(1, 256))
            elif kind == 2:
                out += random.randbytes(random.randrange(1, 30))
            if kind not in (0, 1):
                out.append(byte)
        return bytes(out) + data[len(noisy) :]


class Near:
    """A link in this process, at end 0 of a cable."""

    def __init__(self, cable: Cable, **config: object) -> None:
        self.link = SerialLink({"kind": "serial", "port": str(cable.paths[0]), **config})
        cable.links.append(self.link)
        self.clock = Clock()
        self.link.receive(self.clock.now_ms())

    def wait(self, wait_ms: int) -> None:
        """Until there is something to receive or to do."""
        due_ms = self.link.next_ms(self.clock.now_ms())
        wait_s = (wait_ms if due_ms is None else min(wait_ms, due_ms)) / 1000
        if self.link.handle is None:
            time.sleep(wait_s)
        else:
            select.select([self.link.handle], [], [], wait_s)

    def frames(self, until: Callable[[], bool], wait_ms: int = 50) -> Iterator[bytes]:
        """All that arrives until a condition holds."""
        end = time.monotonic() + SECONDS
        while not until():
            assert time.monotonic() < end, (self.link.counters, self.link.error)
            found = self.link.receive(self.clock.now_ms())
            if found:
                yield found[0]
            else:
                self.wait(wait_ms)

    def send(self, frame: bytes) -> list[bytes]:
        """Send a frame as soon as the line takes it; what arrived meanwhile."""
        return list(self.frames(lambda: self.link.send(frame, self.clock.now_ms()), wait_ms=5))

    def call(self, frame: bytes) -> bytes:
        """The answer to a frame, on a line that loses nothing."""
        found = self.send(frame)
        found += self.frames(lambda: bool(found))
        (answer,) = found
        return answer

    def sync(self) -> list[bytes]:
        """Send numbered frames, one each half second, until the newest one is answered.

        Then nothing is on its way. Returns the other frames that arrived meanwhile.
        """
        found: list[bytes] = []
        sent: list[bytes] = []
        while found[-1:] != sent[-1:] or not sent:
            sent.append(b"sync %d" % len(sent))
            found += [one[::-1] for one in self.send(sent[-1])]
            end = time.monotonic() + 0.5
            for one in self.frames(lambda end=end: time.monotonic() > end):
                found.append(one[::-1])
                if found[-1] == sent[-1]:
                    break
            assert len(sent) < 2 * SECONDS, (self.link.counters, self.link.error)
        return [one[::-1] for one in found if one not in sent]

    def report(self) -> dict[str, Any]:
        """The counters of the other end, and its heap in use."""
        found: dict[str, Any] = json.loads(self.call(b"report"))
        return found


def build(folder: Path) -> None:
    """What MicroPython needs to run the program."""
    build_mpy.build(folder)
    build_mpy.build_programs(PROGRAM.parent, folder, [PROGRAM.name])


def start(
    cable: Cable, interpreter: str, folder: Path, *arguments: str, **config: object
) -> "subprocess.Popen[str]":
    """The program at end 1 of a cable, in its own process; folder: from `build`."""
    text = json.dumps({"kind": "serial", "port": str(cable.paths[1]), **config})
    command = [sys.executable, str(PROGRAM)]
    if interpreter == "micropython":
        # the link alone: an agent beside it needs more
        found = str(build_mpy.find_micropython())
        command = [found, "-X", "heapsize=64k", "-m", PROGRAM.stem]
    return subprocess.Popen(
        [*command, text, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(build_mpy.FIRMWARE), "MICROPYPATH": ":.frozen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def far(cable: Cable, interpreter: str, folder: Path, **config: object) -> Iterator[None]:
    """`start`, and its end; an error of the program is shown."""
    process = start(cable, interpreter, folder, **config)
    try:
        yield
    finally:
        process.kill()
        output, _ = process.communicate()
        assert output == "", output
