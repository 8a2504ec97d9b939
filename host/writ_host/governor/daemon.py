"""The daemon: one loop that serves a governor's sockets and its timers.

The loop waits for the peers' UDP socket, the scope node's UDP socket, the control socket and the
time. It decides nothing: the governor (governor.py) handles what arrives.
"""

import contextlib
import gc
import selectors
from collections.abc import Callable
from typing import Any, cast

from writ.authority.store import Store
from writ.compat import Clock

from ..ceremony.storage import SeatStore
from ..errors import HostError, NodeInUse
from ..humanize import moment
from ..keys.identity import Identity
from ..node.folder import FolderLock, NodeFolder
from ..node.refusallog import RefusalLog
from ..refusals import kind_named, meaning
from ..scope.folder import now_s
from ..service import notify, signalled
from . import node as scopenode
from . import snapshot
from .api import Api
from .ceremonies.endpoint import FoundingEndpoint
from .control import ControlServer
from .folder import GovernorFolder, Settings
from .governor import Governor
from .ledger.ledger import Ledger
from .metrics import Metrics
from .node import ScopeNode
from .peering.endpoint import PeerEndpoint

HOUSEKEEPING_MS = 1000
# The scope node takes a new capsule, a check and a write, once the loop has been idle for so long,
QUIET_MS = 2
# or at once when so many wait.
NODE_QUEUE_MAX = 32

OnEvent = Callable[[dict[str, object], str], None]


class DaemonInUse(HostError):
    """Another daemon runs in the same folder."""

    advice = "Use it: writ governor status DIR. To run another version, stop it first."


class Daemon:
    """The daemon of one governor. A context manager; `run` returns after `stop` or a signal.

    on_event(facts, text): writes an event to the log; never a secret, never a payload.
    metrics: "host:port" for Prometheus, or None; clock_s: the time, Unix seconds. Raises
    `HostError`, `OSError`.
    """

    def __init__(
        self,
        folder: GovernorFolder,
        settings: Settings,
        identity: Identity,
        seat_store: SeatStore,
        on_event: OnEvent,
        metrics: str | None = None,
        clock_s: Callable[[], int] = now_s,
    ) -> None:
        self.folder, self.settings, self.identity = folder, settings, identity
        self.metrics = Metrics()
        self._on_event = on_event
        self._refusals = RefusalLog(self._emit)
        self._clock = Clock()
        self._is_running = True
        self._housekeeping_ms = 0  # when it is due
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            folder.check_private()
            self._lock(stack)
            folder.sweep(settings.name)
            self.ledger = Ledger.open(folder.ledger, clock_s)
            self.ledger.database.failstop.observe = self.metrics.observe_fsync
            stack.callback(self.ledger.close)
            self.selector = stack.enter_context(selectors.DefaultSelector())
            self.endpoint = self._open_endpoint()
            stack.callback(self.endpoint.close)
            self.governor = Governor(
                folder,
                settings,
                identity,
                seat_store,
                self.ledger,
                self.endpoint,
                self.metrics,
                self._emit,
                self._open_node,
                self.now_ms,
                clock_s,
            )
            self._founding = FoundingEndpoint(
                self.governor.ceremonies, self.governor.tick_ceremonies
            )
            answer = Api(self.governor).answer
            self.control = ControlServer(folder.control, self.selector, answer)
            stack.callback(self.control.close)
            # the port is the scope node's, once there is a scope; no other process may take it
            self._reserved_port = stack.enter_context(settings.reserve("listen"))
            stack.callback(self._close_node)
            if metrics:
                self.metrics.serve(metrics)
                stack.callback(self.metrics.close)
            self._stack = stack.pop_all()

    def _lock(self, stack: contextlib.ExitStack) -> None:
        try:
            stack.callback(FolderLock(self.folder.path).release)
        except NodeInUse as error:
            raise DaemonInUse(str(error)) from None

    def _open_endpoint(self) -> PeerEndpoint:
        found = PeerEndpoint(
            self.settings.bound(self.settings.peers),
            self.identity,
            self.folder.peers,
            self.ledger,
            self.now_ms,
            lambda *message: self.governor.receive(*message),
            lambda *request: self._founding.serve(*request),
            self._report_refusal,
            lambda *defect: self.governor.defects.report(*defect),
        )
        self.selector.register(found.socket, selectors.EVENT_READ, found.on_readable)
        return found

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close sockets and ledger."""
        self._stack.close()

    def now_ms(self) -> int:
        """Milliseconds that only grow."""
        return int(self._clock.now_ms())

    def _emit(self, event: str, text: str, **facts: object) -> None:
        time = moment(self.governor.clock_s())
        self._log_event({"time": time, "event": event, **facts}, text)

    def _log_event(self, facts: dict[str, object], text: str) -> None:
        """Write an event to the log, and send it to operators who watch."""
        self._on_event(facts, text)
        self.control.publish({**facts, "text": text})

    def _report_refusal(self, name: str, source: str) -> None:
        """Log a refusal by the founding endpoint, or count it for the line of this minute."""
        # every founding asks first for a ceremony that is not there yet
        if name != "NotFound":
            kind = kind_named(name)
            text = f"rejected from {source}, without a session: {name} ({meaning(kind)})"
            host = source.rpartition(":")[0]
            self._refusals.add("rejected", name, host, text, self.now_ms(), address=source)

    # --- the loop ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Govern until SIGTERM, SIGINT or `stop`."""
        with signalled(self.selector, self.stop):
            self._start()
            # objects made at the start live on: the collector need not scan them again
            gc.collect()
            gc.freeze()
            notify("READY=1")
            while self._is_running:
                self._turn()
            self.endpoint.release_deferred()
            self.endpoint.flush()
            notify("STOPPING=1")
            self._emit("stopped", "stopped")

    def stop(self) -> None:
        """Let `run` return after the present turn."""
        self._is_running = False

    def _start(self) -> None:
        name, peers, listen = self.identity.name, self.settings.peers, self.settings.listen
        text = f"{name} listens at {peers} for governors, at {listen} for devices"
        self._emit("started", text, name=name, peers=peers, listen=listen)
        self.governor.start()

    def _turn(self) -> None:
        ready = self.selector.select(self._wait_s())
        self.endpoint.release_deferred()
        for key, mask in ready:
            key.data(mask)
        now_ms = self.now_ms()
        self.governor.tick(now_ms)
        if now_ms >= self._housekeeping_ms:
            self._housekeeping_ms = now_ms + HOUSEKEEPING_MS
            self.governor.do_housekeeping()
            self._refusals.tick(now_ms)
            self.metrics.publish(snapshot.samples(self.governor))
        self.endpoint.flush()
        self._announce()
        node = self.governor.node
        if not ready and not self.governor.is_deciding:
            self.governor.take_next_capsule()
        elif node is not None and len(node.queue) > NODE_QUEUE_MAX:
            node.take_next()
        self.governor.change_seat()
        if self.governor.node is not None:
            self.governor.node.turn()

    def _announce(self) -> None:
        """Answer operators who wait for news, now that the other governors have their messages."""
        news = self.governor.news.take()
        if news or self.control.next_ms() == 0:
            self.control.retry()
        self.governor.announce(news)

    def _wait_s(self) -> float:
        now_ms = self.now_ms()
        waits = [
            max(0, self._housekeeping_ms - now_ms),
            self.governor.next_ms(now_ms),
            self.endpoint.next_ms(now_ms),
            self.control.next_ms(),
        ]
        if (node := self.governor.node) is not None:
            waits.append(node.wait_ms())
            if node.queue and not self.governor.is_deciding:
                waits.append(QUIET_MS)
        return min(wait for wait in waits if wait is not None) / 1000

    # --- the scope node ---------------------------------------------------------------------------

    def _open_node(self, scope: bytes) -> NodeFolder:
        """Open the scope node on the reserved port, and serve its socket."""
        self._reserved_port.close()
        found = scopenode.open_folder(self.folder, self.settings, scope, self._make_node)
        node = cast(ScopeNode, found.node)
        for one in node.sockets:
            self.selector.register(one, selectors.EVENT_READ, lambda _: node.on_readable())
        return found

    def _make_node(self, store: Store, config: dict[str, Any]) -> ScopeNode:
        private, answer = self.identity.node_private, self.governor.handle_statement
        return ScopeNode(store, config, self._log_event, private, self.ledger.capsules, answer)

    def _close_node(self) -> None:
        found, node = self.governor.node_folder, self.governor.node
        if found is not None and node is not None:
            node.write_deferred()
            for one in node.sockets:
                self.selector.unregister(one)
            found.close()
            self.governor.node_folder = None
