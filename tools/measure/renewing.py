"""Throughput of renewals: 1,000 devices request theirs at once.

Each statement is signed by its device beforehand, and reaches a governor's node as a device sends
it: `POST writ/propose` over OSCORE. The devices share a few sessions with each governor, as behind
gateways: a session for each of 1,000 devices would measure handshakes.
"""

import contextlib
import select
import time
from collections.abc import Callable, Sequence

from writ.node.call import Answer
from writ.wire import coap
from writ_host.governor.node import PROPOSE
from writ_host.governor.proposals.statement import RENEW, Statement
from writ_host.node.folder import HostNode

from .committee import Committee, Governor
from .row import Row

DEVICES = 1000
GATEWAYS = tuple(f"gateway-{number}" for number in range(1, 9))
TIMEOUT_S = 120.0
PAUSE_S = 0.05


def measure() -> list[Row]:
    """per_s.renew_1000."""
    names = [f"device-{number}" for number in range(DEVICES)]
    with Committee(4, [*GATEWAYS, *names]) as committee, contextlib.ExitStack() as stack:
        gateways, devices = committee.devices[: len(GATEWAYS)], committee.devices[len(GATEWAYS) :]
        now_s = int(time.time())
        nodes = [stack.enter_context(committee.node_folder(one)).node for one in gateways]
        asking = _Asking(nodes, [one.listen for one in committee.governors])
        asking.meet()
        place = {"scope": nodes[0].authority.scope, "epoch": 1, "issued": now_s}
        statements = [Statement.make(one.private, RENEW, **place).raw for one in devices]
        watched = committee.governors[-1]
        cursor, _ = _drain(watched, 0)
        since = time.perf_counter()
        asking.ask(statements)
        _await(watched, cursor)
        took_s = time.perf_counter() - since
    return [Row("per_s.renew_1000", round(DEVICES / took_s, 1), "1/s")]


class _Asking:
    """Gateways with a session to each governor, and one request at a time in each session."""

    def __init__(self, nodes: Sequence[HostNode], addresses: Sequence[str]) -> None:
        self._by_socket = {node.link.socket: node for node in nodes if node.link}
        self._sessions = [(node, address) for address in addresses for node in nodes]
        self._busy: set[tuple[HostNode, str]] = set()

    def meet(self) -> None:
        """Open the sessions."""
        for session in self._sessions:
            self._send(session, coap.GET, "writ/beacon", b"")
        self._work(lambda: not self._busy)

    def ask(self, statements: Sequence[bytes]) -> None:
        """Send each statement to one governor, and wait until all have acknowledged theirs."""
        waiting = list(statements)

        def send_next() -> bool:
            for session in self._sessions:
                if waiting and session not in self._busy:
                    self._send(session, coap.POST, PROPOSE, waiting.pop())
            return not waiting and not self._busy

        self._work(send_next)

    def _send(self, session: tuple[HostNode, str], method: int, path: str, payload: bytes) -> None:
        def arrived(answer: Answer) -> None:
            self._busy.discard(session)
            good = (coap.CONTENT, coap.CHANGED, coap.VALID)
            assert answer.rejection is None and answer.code in good, answer

        self._busy.add(session)
        node, address = session
        node.now_ms = node.clock.now_ms()
        node.send(node.request(method, path, payload, address, on_answer=arrived))

    def _work(self, is_done: Callable[[], bool]) -> None:
        until = time.monotonic() + TIMEOUT_S
        while not is_done():
            if time.monotonic() > until:
                raise SystemExit("a governor does not answer a device")
            ready, _, _ = select.select(list(self._by_socket), [], [], 0.1)
            for node in [self._by_socket[one] for one in ready] or self._by_socket.values():
                node.step(0)


def _drain(governor: Governor, cursor: int) -> tuple[int, int]:
    """(new cursor, the number of capsules after the old one)."""
    count = 0
    while True:
        page = governor.ask("capsules", cursor=cursor)
        if page["cursor"] == cursor:
            return cursor, count
        cursor, count = page["cursor"], count + len(page["capsules"])


def _await(governor: Governor, cursor: int) -> None:
    """Wait until this governor has a new capsule for each device (a beacon may be among them)."""
    until, known = time.monotonic() + TIMEOUT_S, 0
    while known < DEVICES:
        if time.monotonic() > until:
            raise SystemExit(f"{known} of {DEVICES} were certified in {TIMEOUT_S:g} s")
        time.sleep(PAUSE_S)
        cursor, count = _drain(governor, cursor)
        known += count
