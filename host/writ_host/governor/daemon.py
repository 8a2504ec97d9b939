"""One governor's process: two UDP sockets, the operator's socket, and time, in one loop.

Peering brings messages of the other governors to the core and the ceremonies; the scope node
serves devices; control answers the operator's commands. Nothing here decides anything: the parts
are sans-IO, and what must be durable is in the ledger before they return what to send.

States: "no seat" (only invitations and ceremonies), "seated", "retired" (others govern now).
"""

import contextlib
import gc
import selectors
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from writ.authority.capsule import AMENDMENT, KIND_NAMES
from writ.authority.store import Store as NodeStore
from writ.compat import Clock
from writ.wire import coap

from ..ceremony.storage import SeatStore
from ..errors import HostError, NodeInUse
from ..humanize import moment
from ..keys.identity import Governor, Identity
from ..keys.roster import Seat, committee_digest
from ..node import config as nodeconfig
from ..node import provision
from ..node.folder import FolderLock, NodeFolder
from .activation import Activation
from .api import Api, kind_of
from .ceremonies.manager import Ceremonies, CEvent, CInvite, CNext, COut, CSeat, CSend, NoSuchSeat
from .control import ControlServer
from .core.context import LogEvent, NewCapsule, Outgoing, Output, Reseat
from .core.core import FOUNDERS, Core
from .core.reservations import NEW_SINCE
from .folder import GovernorFolder, Settings
from .join import CharterExchange, FormerGovernors, found
from .ledger.ledger import Ledger
from .metrics import Metrics
from .node import ScopeNode
from .peering.endpoint import PeerEndpoint
from .proposals import messages
from .renewal import Renewal
from .service import notify, signalled

NO_SEAT, SEATED, RETIRED = "no seat", "seated", "retired"
# Housekeeping: metrics, addresses, ceremonies.
HOUSE_MS = 1000
# The scope node takes what is new, which costs it a check and a write, once nobody else waits.
QUIET_MS = 2
UNTAKEN_MAX = 32
GROUP_KEY_BYTES = 32
AMENDED = KIND_NAMES[AMENDMENT]

OnEvent = Callable[[dict[str, object], str], None]


class DaemonInUse(HostError):
    """A folder has one daemon at most."""

    advice = "Speak with it: writ governor status DIR. To run another version, stop it first."


class Daemon:
    """A governor that runs. Use as a context manager; `run` returns when it is told to stop.

    on_event(facts, text): what happens, for a log; never a secret, never a payload.
    metrics: "host:port" for Prometheus, or None. Raises `HostError`, `OSError`.
    """

    def __init__(
        self,
        folder: GovernorFolder,
        settings: Settings,
        identity: Identity,
        seat_store: SeatStore,
        on_event: OnEvent,
        metrics: str | None = None,
    ) -> None:
        self.folder, self.settings, self.identity = folder, settings, identity
        self.core: Core | None = None
        self.node_dir: NodeFolder | None = None
        self.metrics = Metrics()
        self._on_event = on_event
        self._clock = Clock()
        self._running = True
        self._house_ms = 0
        self._has_ticked = False
        self._problem = ""
        self._numbers: dict[bytes, int] = {}  # of the other governors, by node key
        self._news: list[LogEvent | NewCapsule] = []
        self._unhurried: list[tuple[bytes, bytes]] = []  # messages that nobody waits for
        self._untaken: list[bytes] = []  # capsules, by the scope node
        self._in_force: bytes | None = None  # another committee, or group key, from this turn on
        self._proposed: dict[bytes, int] = {}  # ids -> since when, for the histogram
        self.certified: dict[str, int] = {}
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            folder.check_private()
            self._lock(stack)
            folder.sweep(settings.name)
            self.ledger = Ledger.open(folder.ledger)
            self.ledger.database.failstop.observe = self.metrics.observe_fsync
            stack.callback(self.ledger.close)
            self.ceremonies = Ceremonies(identity, seat_store, self.ledger.files, self.clock_s)
            self.selector = stack.enter_context(selectors.DefaultSelector())
            self.newcomer = CharterExchange(self.ledger)
            self.former = FormerGovernors(self.ledger)
            self.takeover = Activation()
            self.memberships = Renewal(identity, self.ledger, self.propose, self.ask)
            self.desk = Api(self)
            self.link = PeerEndpoint(
                settings.bound(settings.peers),
                identity,
                folder.peers,
                self.ledger,
                self.now_ms,
                self._dispatch,
                self.desk.serve_front,
            )
            stack.callback(self.link.close)
            self.selector.register(self.link.link, selectors.EVENT_READ, self.link.ready)
            self.control = ControlServer(folder.control, self.selector, self.desk.answer)
            stack.callback(self.control.close)
            # its node has it once there is a scope, and nobody else until then
            self._kept = stack.enter_context(settings.reserve("listen"))
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

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close sockets and ledger."""
        self._stack.close()

    # --- what the parts share ---------------------------------------------------------------------

    @staticmethod
    def clock_s() -> int:
        """This machine's time, Unix seconds."""
        return int(time.time())

    def now_ms(self) -> int:
        """Milliseconds that only grow."""
        return int(self._clock.now_ms())

    @property
    def state(self) -> str:
        """One of the states above."""
        if self.core is None:
            return NO_SEAT
        return SEATED if self.core.is_seated else RETIRED

    @property
    def seat(self) -> Seat | None:
        """The seat that the core runs with."""
        return self.core.context.seat if self.core else None

    @property
    def node(self) -> ScopeNode | None:
        """The scope node, once there is a scope."""
        return cast(ScopeNode, self.node_dir.node) if self.node_dir else None

    def tell(self, event: str, text: str, **facts: object) -> None:
        """One event: to the log and to whoever watches."""
        document: dict[str, object] = {"time": moment(self.clock_s()), "event": event, **facts}
        self._on_event(document, text)
        self.control.tell({**document, "text": text})

    def _tell_of_node(self, facts: dict[str, object], text: str) -> None:
        self._on_event(facts, text)
        self.control.tell({**facts, "text": text})

    # --- the loop ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Govern until SIGTERM, SIGINT or `stop`."""
        with signalled(self.selector, self.stop):
            self._start()
            # what a start has made stays, and need not be looked through for ever
            gc.collect()
            gc.freeze()
            notify("READY=1")
            while self._running:
                self._turn()
            self._post_unhurried()
            self.link.flush()
            notify("STOPPING=1")
            self.tell("stopped", "stopped")

    def stop(self) -> None:
        """Let `run` return after its present turn."""
        self._running = False

    def _start(self) -> None:
        self.tell(
            "started",
            f"{self.identity.name}: governors at {self.settings.peers},"
            f" devices at {self.settings.listen}",
            name=self.identity.name,
            peers=self.settings.peers,
            listen=self.settings.listen,
        )
        seat = self.ceremonies.seat
        if seat is not None and self.ledger.capsules.charter() is not None:
            self._seat(seat)
        elif seat is None:
            self.tell("waiting", "no seat yet: it waits for an invitation (writ scope create)")
        self._set_peers()

    def _turn(self) -> None:
        ready = self.selector.select(self._wait_s())
        self._post_unhurried()
        for key, mask in ready:
            key.data(mask)
        now_ms = self.now_ms()
        if self.core is not None and self.core.next_ms(now_ms) == 0:
            self.carry_out(self.core.tick(now_ms))
        if self.ceremonies.next_ms(now_ms) == 0 or not self._has_ticked:
            self._has_ticked = True
            self.carry_ceremony(self.ceremonies.tick(now_ms))
        if now_ms >= self._house_ms:
            self._house_ms = now_ms + HOUSE_MS
            self._keep_house()
        self.link.flush()
        self._tell_news()
        if not ready and not self._is_deciding():
            self._use_pause()
        elif len(self._untaken) > UNTAKEN_MAX:
            self._take_one()
        if self._in_force is not None:
            # after all that the old seat had still to say, and was heard by those who leave
            self._post_unhurried()
            self.link.flush()
            name, self._in_force = self._in_force, None
            self._reseat(name)
        if self.node is not None:
            self.node.turn()

    def _post_unhurried(self) -> None:
        unhurried, self._unhurried = self._unhurried, []
        self.link.post_all(unhurried)

    def _wait_s(self) -> float:
        now_ms = self.now_ms()
        waits: list[int | None] = [
            max(0, self._house_ms - now_ms),
            self.ceremonies.next_ms(now_ms),
            self.link.next_ms(now_ms),
            self.control.next_ms(),
        ]
        if self.core is not None:
            waits.append(self.core.next_ms(now_ms))
        if self.node is not None:
            waits.append(self.node.wait_ms())
        if self._unhurried or (self._untaken and not self._is_deciding()):
            waits.append(QUIET_MS)
        return min(wait for wait in waits if wait is not None) / 1000

    def _is_deciding(self) -> bool:
        return self.core is not None and self.core.is_deciding

    def _use_pause(self) -> None:
        """Nobody waits for this governor."""
        if self.core is not None:
            self.core.precompute()
        if self._untaken:
            self._take_one()

    def _keep_house(self) -> None:
        self.ledger.database.failstop.check_file()
        others = [*self._governors(), *self.former.listed()]
        self.link.learn(others)
        self._set_peers()
        if self.core is None:
            self._join()
        self._put_in_force()
        if self._untaken:
            # a decision may take long
            self._take_one()
        if self.node is not None and not self._is_deciding():
            self.node.settle()
        self._learn_from_node()
        if self.core is not None:
            self._tell_problem(self.memberships.tick(self.core, self.now_ms()))
        self.metrics.publish(self.desk.snapshot())

    def _learn_from_node(self) -> None:
        """Whoever governs no more may have no peer that says so: its node hears it as all nodes."""
        core, node = self.core, self.node
        if core is not None and node is not None and node.authority.epoch > core.epoch:
            raw = node.authority.capsule_for(core.epoch)
            if raw is not None:
                self.carry_out(core.add_capsule(bytes(raw), self.now_ms()))

    def _tell_problem(self, problem: str) -> None:
        # what is tried again and again is told once
        if problem and problem != self._problem:
            self.tell("problem", problem)
        self._problem = problem

    # --- the other governors ----------------------------------------------------------------------

    def _dispatch(self, sender: bytes, message: bytes, now_ms: int) -> None:
        kind = messages.type_of(message)
        if kind >= messages.CEREMONY_TYPE_MIN:
            self.carry_ceremony(self.ceremonies.receive(sender, message, now_ms))
            return
        number = self._numbers.get(sender)
        if self.core is not None and number is not None:
            self.carry_out(self.core.receive(number, message, now_ms))
        elif kind == messages.SUMMARY:
            self.link.post_all(self.former.receive(sender))
        elif kind in (messages.PULL, messages.CAPSULES):
            known = self.former.keys() | self.ceremonies.trusted()
            self.link.post_all(self.newcomer.receive(sender, message, known))

    def _governors(self) -> list[Governor]:
        """The others that the seat is shared with."""
        if self.seat is None:
            return []
        return [one for one in self.seat.roster.governors if one.name != self.identity.name]

    def _set_peers(self) -> None:
        governors = [*self._governors(), *self.former.listed()]
        self.link.set_peers(governors, self.ceremonies.peers())

    # --- what the core wants ----------------------------------------------------------------------

    def carry_out(self, outs: Sequence[Output]) -> None:
        """Send, tell and hand on what came out of the core."""
        for out in outs:
            if isinstance(out, Outgoing):
                for key in self._receivers(out.to):
                    if out.is_deferrable:
                        self._unhurried.append((key, out.data))
                    else:
                        self.link.post(key, out.data, out.is_early)
            elif isinstance(out, Reseat):
                self._in_force = out.seat_id
            else:
                self._news.append(out)

    def _hurry(self, sends: list[Outgoing]) -> None:
        self.carry_out(sends)
        self.link.send_early()

    def _receivers(self, to: int | None) -> list[bytes]:
        if to is not None:
            return [key for key, number in self._numbers.items() if number == to]
        # first of all whoever proposes, which has most to do; those after it sign
        first, count = (self.core.proposer, self.core.context.count) if self.core else (0, 1)
        return sorted(self._numbers, key=lambda key: (self._numbers[key] - first) % count)

    def _tell_news(self) -> None:
        """What is durable, now that the other governors have what they wait for."""
        news, self._news = self._news, []
        if news or self.control.next_ms() == 0:
            self.control.retry()
        for out in news:
            if isinstance(out, LogEvent):
                self.tell(out.name, out.text, **out.facts)
                continue
            kind = kind_of(out.raw)
            self.certified[kind] = self.certified.get(kind, 0) + 1
            # the whole policy that comes with an amendment says it all
            if kind != AMENDED:
                self._untaken.append(out.raw)
        if self._proposed and news:
            self._time_decisions()

    def _take_one(self) -> None:
        raw = self._untaken.pop(0)
        if self.node is not None:
            self.node.take(raw)

    def propose(self, payloads: Sequence[bytes], title: str, evidence: bytes) -> bytes:
        """Have the core propose; the proposal's id. Raises as `Core.propose`."""
        now_ms = self.now_ms()
        id, outs = self.the_core().propose(payloads, title, evidence, now_ms)
        self._proposed[id] = now_ms
        self.carry_out(outs)
        return id

    def ask(self, statement: bytes, _: int) -> tuple[int, bytes]:
        """A member's statement, for the core; by its own clock, not the scope node's."""
        if self.core is None:
            return coap.UNAVAILABLE, b""
        code, body, outs = self.core.handle_statement(statement, self.now_ms())
        self.carry_out(outs)
        return code, body

    def the_core(self) -> Core:
        """The core. Raises `HostError` before there is one."""
        if self.core is None:
            raise HostError("this governor has no seat yet", "Found a scope: writ scope create.")
        return self.core

    def _time_decisions(self) -> None:
        core, now_ms = self.the_core(), self.now_ms()
        for id, since_ms in list(self._proposed.items()):
            found = core.pool.table.get(id)
            if found is None or found.state != "open":
                del self._proposed[id]
                if found is not None and found.state == "certified":
                    self.metrics.observe_decide((now_ms - since_ms) / 1000)

    # --- seats ------------------------------------------------------------------------------------

    def carry_ceremony(self, outs: Sequence[COut]) -> None:
        """Send, tell and take what came out of a ceremony."""
        if outs:
            self._set_peers()
        for out in outs:
            if isinstance(out, CSend):
                self.link.post(out.to, out.data)
            elif isinstance(out, CEvent):
                self.ledger.log(out.name, out.text, **out.facts)
                self.tell(out.name, out.text, **out.facts)
            elif isinstance(out, CInvite):
                self.link.invite(out.address, out.data)
            elif isinstance(out, CSeat):
                if self.core is None:
                    found(self.ledger, out.seat, out.genesis)
                    self._seat(out.seat)
            elif isinstance(out, CNext):
                self._take_next(out)
        if self.core is not None and outs:
            self.core.set_next_seats(list(self.ceremonies.committees()))
            self._put_in_force()

    def _take_next(self, out: CNext) -> None:
        """A share that counts once a policy, or a succession, names its committee."""
        self.tell("share", "a new share is here; it is not in force yet", digest=out.digest.hex())
        if out.genesis:
            group_key = out.seat.public.group_key.hex()
            self.ledger.set_meta(FOUNDERS + group_key, out.digest)
        elif self.core is None or not self.core.is_seated:
            # what was promised while it did not govern, it is told before it promises anything
            self.ledger.set_meta(NEW_SINCE, b"")
        self.takeover.add(out, self.ceremonies.title(out.ceremony))
        if self.core is None:
            self.newcomer.wait(out.seat, self.ceremonies.partners(out.ceremony))

    def _put_in_force(self) -> None:
        if self.core is None or not self.core.is_seated:
            return
        for problem in self.takeover.tick(self.core, self.propose):
            self.tell("problem", problem)

    def _join(self) -> None:
        """Ask for the charter, without which a newcomer's core cannot begin."""
        seat = self.newcomer.seat
        if seat is not None and self.ledger.capsules.charter() is not None:
            self._seat(seat)
        else:
            self.link.post_all(self.newcomer.tick(self.link.peers))

    def _seat(self, seat: Seat) -> None:
        """Go on with this seat: a core, and the node that serves the scope."""
        governors = seat.roster.governors
        self.former.leave(self._governors(), governors)
        self._numbers = {
            one.node_key: number
            for number, one in enumerate(governors, 1)
            if one.name != self.identity.name
        }
        before = self.core.pool.table if self.core is not None else None
        self.core = Core(self.identity, seat, self.ledger, self.clock_s)
        self.core.context.send_now = self._hurry
        if self.core.is_seated:
            # of a newcomer whose committee was in force before it heard of it
            self.ceremonies.activate(committee_digest(seat))
        self.core.set_next_seats(list(self.ceremonies.committees()))
        self._open_node()
        self._set_peers()
        name, count = self.core.context.chain.charter.name, len(governors)
        self.tell(
            "seated" if self.core.is_seated else "learning",
            f"governor {seat.key.identifier} of {count} of {name},"
            f" {seat.public.threshold} certify, epoch {self.core.epoch}",
            scope=name,
            number=seat.key.identifier,
            governors=count,
            threshold=seat.public.threshold,
            epoch=self.core.epoch,
        )
        self.carry_out(self.core.start(self.now_ms(), before))

    def _reseat(self, name: bytes) -> None:
        if len(name) == GROUP_KEY_BYTES:
            # before the new share is in force: nobody would do it after a restart
            self.ledger.capsules.add(self.takeover.genesis(name))
        try:
            seat = self.ceremonies.activate(name)
        except NoSuchSeat:
            # whoever comes, and is not in force yet, keeps the share that waits
            if self.ceremonies.seat is not None:
                # enough of the old shares together would sign for ever
                self.ceremonies.retire()
                text = "other governors are in force; this one goes on serving devices"
                self.tell("retired", text)
            return
        if len(name) == GROUP_KEY_BYTES:
            self.ledger.set_meta(FOUNDERS + name.hex(), committee_digest(seat))
        self.takeover.clear()
        self._seat(seat)

    # --- the scope node ---------------------------------------------------------------------------

    def _open_node(self) -> None:
        """Make or complete the node's folder, and let it serve."""
        scope = bytes(self.the_core().context.chain.charter.scope)
        if self.node_dir is None:
            path = self.folder.node
            path.mkdir(mode=0o700, exist_ok=True)
            has_config = (path / nodeconfig.NAME).exists()
            config = nodeconfig.read(path) if has_config else {}
            config.update(name=self.identity.name, scope=scope.hex(), listen=self.settings.listen)
            provision.write_config(path, config)
            bound = self.settings.bound(self.settings.listen)
            self._kept.close()
            self.node_dir = NodeFolder(path, listen=bound, make=self._make_node)
            self.selector.register(
                self._node().socket, selectors.EVENT_READ, lambda _: self._node().serve_ready()
            )
        self._node().catch_up()

    def _make_node(self, store: NodeStore, config: dict[str, Any]) -> ScopeNode:
        private = self.identity.node_private
        return ScopeNode(store, config, self._tell_of_node, private, self.ledger.capsules, self.ask)

    def _node(self) -> ScopeNode:
        assert self.node is not None
        return self.node

    def _close_node(self) -> None:
        if self.node_dir is not None:
            self._node().settle()
            self.selector.unregister(self._node().socket)
            self.node_dir.close()
            self.node_dir = None
