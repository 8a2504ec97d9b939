"""Latency of a revocation: from its proposal until the last of three devices refuses the member.

The devices are MicroPython processes with a small heap, as in `make demo`. As with `writ member
revoke`, the proposer delivers the certified amendment to all devices; then the member calls each
device again in its old session.
"""

import contextlib
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import build_mpy
from device_files import ROOT

from writ.errors import Revoked
from writ.node.call import Answer
from writ.wire import coap
from writ_host.demo.board import Board
from writ_host.demo.loopback import HOST, clean_environment, free_ports
from writ_host.demo.process import Program
from writ_host.governor.control import ControlClient
from writ_host.node.folder import NodeFolder
from writ_host.refusals import parse_reason
from writ_host.scope.delivery import post_capsules

from .committee import Committee, Device, Watch
from .row import Row
from .times import Times

HEAP = "192k"
BOARDS = ("soil", "tank", "pump")
# Each round revokes one member. A device allows four handshakes, and then one in four seconds.
GUESTS = tuple(f"guest-{number}" for number in range(1, 6))
PATH = "uptime"
WAIT_S = 30.0


def measure(tree: Path) -> list[Row]:
    """The median latency. tree: the folder of the device's compiled modules."""
    name = "ms.enforce_4_p50"
    micropython = build_mpy.find_micropython()
    if micropython is None:
        return [Row(name, None, "ms", peer="MicroPython is not installed")]
    with Committee(4, [*BOARDS, *GUESTS]) as committee, contextlib.ExitStack() as stack:
        program = _program(micropython, shutil.copytree(tree, committee.path / "firmware"))
        boards = [_board(committee, one, program) for one in committee.devices[: len(BOARDS)]]
        for board in boards:
            stack.callback(board.stop)
            board.start()
        members = committee.devices[len(BOARDS) :]
        guests = [stack.enter_context(committee.node_folder(one)) for one in members]
        for guest in guests:
            _meet(guest, boards)
        seconds = [
            _revoke(committee, member, guest, boards)
            for member, guest in zip(members, guests, strict=True)
        ]
    return [Row(name, Times(seconds).ms(50), "ms", interpreter="micropython")]


def _program(micropython: str, modules: Path) -> Program:
    source = ROOT / "boards/unix"
    names = [path.name for path in source.glob("*.py")]
    build_mpy.build_programs(source, modules, names, build_mpy.OPTIMISATION)
    command = [micropython, "-X", f"heapsize={HEAP}", "-m", "main"]
    return Program(command, clean_environment(MICROPYPATH=":.frozen"), "MicroPython", modules)


def _board(committee: Committee, device: Device, program: Program) -> Board:
    address = f"{HOST}:{free_ports(1)[0]}"
    path = committee.path / device.name
    board = Board(device.name, path, address, program)
    committee.provision(device, path, address)
    board.configure(serve=[PATH])
    return board


def _meet(guest: NodeFolder, boards: Sequence[Board]) -> None:
    """Open a session with each board, as fast as their handshake rate limits allow."""
    until = time.monotonic() + WAIT_S
    waiting = list(boards)
    while waiting:
        answers = _ask(guest, waiting)
        waiting = [board for board in waiting if answers[board.address].code != coap.CONTENT]
        if time.monotonic() > until:
            raise SystemExit(f"{waiting[0].name} has opened no session in {WAIT_S:g} s")
        if waiting:
            time.sleep(0.5)


def _ask(guest: NodeFolder, boards: Sequence[Board]) -> dict[str, Answer]:
    """The answers of all boards, by address; the requests are sent at once."""
    answers: dict[str, Answer] = {}
    node = guest.node
    node.now_ms = node.clock.now_ms()
    for board in boards:

        def arrived(answer: Answer, address: str = board.address) -> None:
            answers[address] = answer

        node.send(node.request(coap.GET, PATH, b"", board.address, on_answer=arrived))
    until = time.monotonic() + WAIT_S
    while len(answers) < len(boards) and time.monotonic() < until:
        node.step(100)
    if len(answers) < len(boards):
        raise SystemExit(f"a device has not answered in {WAIT_S:g} s")
    return answers


def _revoke(
    committee: Committee, member: Device, guest: NodeFolder, boards: Sequence[Board]
) -> float:
    """Seconds from the proposal until the last board has refused the member."""
    first = committee.governors[0]
    payloads = [payload.hex() for payload in committee.revocation(member.node_id)]
    with (
        ControlClient(first.folder.control) as client,
        Watch(first) as watch,
        ThreadPoolExecutor(len(boards)) as pool,
    ):
        since = time.perf_counter()
        found = client.ask("propose", payloads=payloads, title="bench")
        while found["state"] == "open":
            watch.wait_for("decided", epoch=committee.policy.epoch)
            found = client.ask("find", id=found["id"])
        amendment = bytes.fromhex(found["capsules"][0])
        outcomes = pool.map(lambda board: post_capsules(board.address, [("it", amendment)]), boards)
        assert all(outcome.is_good for (outcome,) in outcomes)
        answers = _ask(guest, boards)
        took_s = time.perf_counter() - since
    for answer in answers.values():
        assert parse_reason(answer.payload or b"") is Revoked, answer
    return took_s
