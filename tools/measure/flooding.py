"""The share of a member's reads that a device answers within a second while strangers flood it.

The device is a MicroPython process. The floods come from a process of their own, 1,000 datagrams a
second from 16 ports: first messages of handshakes, which return the Echo that the device asks for,
or garbage. The member has a session and reads one value after the other.
"""

import contextlib
import json
import multiprocessing
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from writ.agent import Node
from writ.authority.store import FileFlash, Store
from writ.errors import Rejection
from writ.limits import DATAGRAM_BYTES_MAX
from writ.wire import coap, edhoc
from writ_host.demo.loopback import HOST, clean_environment, free_ports

from .row import Row
from .scope import TestScope

HERE = Path(__file__).resolve().parent
HEAP = 160 * 1024
RATE = 1000
PORTS = 16
READS = 100
PAUSE_S = 0.05
WITHIN_S = 1.0
# A device that answers nothing at all must not hold up the bench.
PATIENCE_S = 60.0
GOAL_PERCENT = 95.0


def _first_message(number: int, echo: bytes | None) -> bytes:
    key = number.to_bytes(32, "big")
    initiator = edhoc.Initiator(key, bytes((number % 24,)), ephemeral=key)
    payload = b"\xf5" + initiator.message_1()
    message = coap.Message(coap.CON, coap.POST, 0, b"\x01", payload)
    message.add_path(".well-known/edhoc")
    if echo:
        message.add(coap.ECHO, echo)
    return message.encode()


def _handshakes(echo: bytes | None) -> list[bytes]:
    return [_first_message(number + 1, echo) for number in range(8)]


def _garbage(_: bytes | None) -> list[bytes]:
    source = random.Random(7)
    return [source.randbytes(source.randint(1, DATAGRAM_BYTES_MAX)) for _ in range(256)]


def _echo_in(end: socket.socket) -> bytes | None:
    """The newest Echo that the device has sent to this socket."""
    found = None
    with contextlib.suppress(BlockingIOError):
        while True:
            with contextlib.suppress(Rejection):
                found = coap.decode(end.recv(2048)).option(coap.ECHO) or found
    return found


def _flood(is_garbage: bool, address: tuple[str, int], rate: int) -> None:
    """Send `rate` datagrams a second to `address` until this process is ended."""
    make = _garbage if is_garbage else _handshakes
    ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PORTS)]
    for end in ends:
        end.setblocking(False)
    datagrams = [make(None) for _ in ends]
    since = time.monotonic()
    sent = 0
    while True:
        due = int((time.monotonic() - since) * rate)
        while sent < due:
            sent += 1
            number = sent % PORTS
            data = datagrams[number][sent // PORTS % len(datagrams[number])]
            if not is_garbage:
                data = data[:2] + (sent & 0xFFFF).to_bytes(2, "big") + data[4:]
                if sent // PORTS % 64 == 0 and (echo := _echo_in(ends[number])):
                    datagrams[number] = make(echo)
            with contextlib.suppress(BlockingIOError):
                ends[number].sendto(data, address)
        time.sleep(0.001)


@contextlib.contextmanager
def _device(micropython: str, tree: Path) -> Iterator[tuple[Node, str]]:
    """(member, address of the device): both of one scope."""
    with tempfile.TemporaryDirectory() as name:
        folder, scope = Path(name), TestScope()
        ports = dict(zip(("gateway", "soil"), free_ports(2), strict=True))
        for (node, port), number, roles in zip(ports.items(), (1, 17), (2, 4), strict=True):
            scope.provision(Store(FileFlash(str(folder / node))), node, number, roles)
            config = {"name": node, "listen": f"{HOST}:{port}"}
            (folder / node / "config.json").write_text(json.dumps(config))
        script = str(HERE / "flooding_device.py")
        device = subprocess.Popen(
            [micropython, "-X", f"heapsize={HEAP}", script, str(folder / "soil")],
            env=clean_environment(MICROPYPATH=f"{tree}:.frozen"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        member = Node.load(str(folder / "gateway"))
        member.open()
        try:
            assert device.stdout and device.stdout.readline().strip() == b"ready"
            yield member, f"{HOST}:{ports['soil']}"
        finally:
            device.kill()
            device.wait()
            if device.stdout:
                device.stdout.close()
            member.link.close()


def _read(member: Node, address: str, end_s: float) -> float:
    """The seconds that a read takes, or more than WITHIN_S if no value came before `end_s`."""
    answers: list[Any] = []
    since = time.monotonic()
    member.now_ms = member.clock.now_ms()
    member.send(member.request(coap.GET, "temp", address=address, on_answer=answers.append))
    while not answers and time.monotonic() < end_s:
        member.step(10)
    took = time.monotonic() - since
    return took if answers and answers[0].code == coap.CONTENT else took + WITHIN_S


def read_under_flood(micropython: str, tree: Path, is_garbage: bool, reads: int) -> list[float]:
    """The seconds that each of the reads takes; those that PATIENCE_S leaves no time for lack."""
    with _device(micropython, tree) as (member, address):
        assert _read(member, address, time.monotonic() + 20) < 20, "the device does not answer"
        host, _, port = address.partition(":")
        flood = multiprocessing.get_context("spawn").Process(
            target=_flood, args=(is_garbage, (host, int(port)), RATE), daemon=True
        )
        flood.start()
        try:
            # the flood needs a moment to start, and to get its first Echo
            time.sleep(2)
            end_s = time.monotonic() + PATIENCE_S
            took: list[float] = []
            while len(took) < reads and time.monotonic() < end_s:
                took.append(_read(member, address, end_s))
                pause_s = time.monotonic() + PAUSE_S
                while time.monotonic() < pause_s:
                    member.step(10)
            return took
        finally:
            flood.kill()
            flood.join()


def measure(micropython: str | None, tree: Path) -> list[Row]:
    """The two shares, in percent; none without MicroPython."""
    rows: list[Row] = []
    if micropython is None:
        return rows
    for kind in ("handshake", "garbage"):
        took = read_under_flood(micropython, tree, kind == "garbage", READS)
        share = 100 * sum(seconds <= WITHIN_S for seconds in took) / READS
        name = f"share.reads_under_{kind}_flood"
        rows.append(Row(name, share, "%", GOAL_PERCENT, interpreter="micropython"))
    return rows
