"""One governor: its seat, from founding or joining to hand-over, and the parts that the seat needs.

The governor connects the ceremonies, the core of its seat, the scope node and the other governors.
It has no loop and no socket: daemon.py calls it when messages arrive and time passes.

    no seat   takes part in ceremonies and waits for an invitation
    learning  its seat is not in force yet, as far as it knows: its core only follows the chain
    seated    its seat is in force: its core decides and signs
    retired   its seat is no longer in force: its core only follows the chain

Everything that a message depends on is in the ledger before the message leaves (peering/outbox.py).
"""

from collections.abc import Callable, Sequence
from typing import cast

from writ.errors import ResourceFailed
from writ.wire import coap

from ..ceremony.storage import SeatStore
from ..defects import Defects, Emit
from ..errors import HostError
from ..keys.identity import Identity, PublicIdentity
from ..keys.roster import Seat, committee_digest
from ..node.addresscheck import AddressCheck
from ..node.folder import NodeFolder
from .activation import Activation
from .announcements import Announcements, News
from .ceremonies.gossip import CeremonySend
from .ceremonies.manager import Ceremonies
from .ceremonies.seats import NoSuchSeat
from .ceremonies.views import (
    CeremonyEvent,
    CeremonyOutput,
    ScopeFounded,
    SeatReady,
    SendInvitation,
)
from .core.context import NEW_WAITED, Outgoing, Output, Reseat
from .core.core import FOUNDERS, Core
from .folder import GovernorFolder, Settings
from .join import CharterExchange, FormerGovernors, LedgerLost, seat_lost, write_genesis
from .ledger.ledger import Ledger
from .metrics import Metrics
from .node import ScopeNode
from .peering.endpoint import PeerEndpoint
from .peering.outbox import Urgency
from .proposals import messages
from .renewal import Renewal

NO_SEAT, LEARNING, SEATED, RETIRED = "no seat", "learning", "seated", "retired"
GROUP_KEY_BYTES = 32
_BIND_ADVICE = (
    'bind = "0.0.0.0" in governor.toml survives a change of address; the peers find a governor that'
    " moved when it sends"
)


class Governor:
    """A governor in a running process. Raises `HostError` for damaged files.

    open_node: opens the folder and the socket of the scope node with this id, once there is a
    scope; now_ms: milliseconds that only grow; clock_s: the time, Unix seconds; emit: writes to
    the log and to operators who watch, never a secret. defects: of this process.
    """

    def __init__(
        self,
        folder: GovernorFolder,
        settings: Settings,
        identity: Identity,
        seat_store: SeatStore,
        ledger: Ledger,
        endpoint: PeerEndpoint,
        metrics: Metrics,
        emit: Emit,
        open_node: Callable[[bytes], NodeFolder],
        now_ms: Callable[[], int],
        clock_s: Callable[[], int],
    ) -> None:
        self.folder, self.settings, self.identity = folder, settings, identity
        self.ledger, self.endpoint = ledger, endpoint
        self.now_ms, self.clock_s = now_ms, clock_s
        self.ceremonies = Ceremonies(identity, seat_store, ledger.files, clock_s)
        self.core: Core | None = None
        self.node_folder: NodeFolder | None = None
        self.news = Announcements(metrics, emit, self._enqueue, now_ms)
        self._emit = emit
        self.defects = Defects(emit, now_ms)
        self._open_node = open_node
        self._charter_exchange = CharterExchange(ledger)
        self._former = FormerGovernors(ledger)
        self._activation = Activation()
        self._renewal = Renewal(identity, ledger, self.propose, self.handle_statement)
        self._numbers: dict[bytes, int] = {}  # of the other governors, by node key
        self._next_seat_id: bytes | None = None  # of the seat to take at the end of this turn
        self._has_ticked = False
        self._is_retired = False
        self._problem = ""  # the newest one that was logged
        self.address_check = AddressCheck(endpoint.socket.getsockname()[0], _BIND_ADVICE)

    # --- state ------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """NO_SEAT, LEARNING, SEATED or RETIRED."""
        if self.core is None:
            return NO_SEAT
        if self.core.is_seated:
            return SEATED
        return RETIRED if self._is_retired else LEARNING

    @property
    def seat(self) -> Seat | None:
        """The seat of the core."""
        return self.core.context.seat if self.core else None

    @property
    def node(self) -> ScopeNode | None:
        """The scope node, None before there is a scope."""
        return cast(ScopeNode, self.node_folder.node) if self.node_folder else None

    @property
    def is_deciding(self) -> bool:
        """Whether other governors wait for this one's part in a decision."""
        return self.core is not None and self.core.is_deciding

    def require_core(self) -> Core:
        """The core. Raises `HostError` before there is one."""
        if self.core is None:
            raise HostError("this governor has no seat yet", "Found a scope: writ scope create.")
        return self.core

    # --- time -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Continue with the seat and the ceremonies that are on the disk.

        Raises `LedgerLost` for a seat without its ledger.
        """
        seat = self.ceremonies.seat
        has_charter = self.ledger.capsules.charter() is not None
        if seat is not None and has_charter:
            self._take_seat(seat)
        elif seat is not None:
            if not self.ceremonies.is_founding:
                raise LedgerLost.of(self.folder.ledger, self.folder.seat(self.identity.name))
        elif has_charter and self.ceremonies.seats.is_lost:
            self._emit("seat-lost", seat_lost(self.folder.seat(self.identity.name)))
        else:
            self._emit("waiting", "no seat yet: waiting for an invitation (writ scope create)")
        self._set_peers()

    def tick(self, now_ms: int) -> None:
        """Do what is due in the core and in the ceremonies."""
        if self.core is not None and self.core.next_ms(now_ms) == 0:
            self.handle_outputs(self.core.tick(now_ms))
        if self.ceremonies.next_ms(now_ms) == 0 or not self._has_ticked:
            self._has_ticked = True
            self.tick_ceremonies()

    def next_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has work, None for never."""
        times = [self.ceremonies.next_ms(now_ms)]
        if self.core is not None:
            times.append(self.core.next_ms(now_ms))
        return min((one for one in times if one is not None), default=None)

    def tick_ceremonies(self) -> None:
        """Advance the ceremonies."""
        self.handle_ceremony_outputs(self.ceremonies.tick(self.now_ms()))

    def take_next_capsule(self) -> None:
        """Use idle time: give one new capsule to the scope node."""
        if self.node is not None:
            self.node.take_next()

    def do_housekeeping(self) -> None:
        """The work of each second: addresses, joining, activation, renewal, the node's files."""
        self.ledger.database.failstop.check_file()
        if news := self.address_check.tick(self.now_ms()):
            self._emit("address", news)
        self.endpoint.learn([*self._others(), *self._former.listed()])
        self._set_peers()
        if self.core is None:
            self._join()
        self._activate_shares()
        node = self.node
        if node is not None:
            # one capsule also while a decision takes long
            node.take_next()
            if not self.is_deciding:
                node.write_deferred()
        self._learn_from_node()
        if self.core is not None:
            self._log_problem(self._renewal.tick(self.core, self.now_ms()))

    def _learn_from_node(self) -> None:
        """Take a policy that devices have brought to the scope node.

        A governor that was removed while it was offline may have no peer that reports it.
        """
        core, node = self.core, self.node
        if core is not None and node is not None and node.authority.epoch > core.epoch:
            raw = node.authority.capsule_for(core.epoch)
            if raw is not None:
                self.handle_outputs(core.add_capsule(bytes(raw), self.now_ms()))

    def _log_problem(self, problem: str | None) -> None:
        # a problem that each retry meets again is logged once
        if problem is None:
            return
        if problem and problem != self._problem:
            self._emit("problem", problem)
        self._problem = problem

    # --- other governors --------------------------------------------------------------------------

    def receive(self, sender: bytes, message: bytes, now_ms: int) -> None:
        """Handle a message of the peer with node key `sender` (33 B).

        What it raises that is no refusal is logged as a defect, and the message is dropped.
        """
        try:
            self._receive(sender, message, now_ms)
        except (HostError, OSError):
            # of this machine: its files, its disk
            raise
        except Exception as error:  # noqa: BLE001 - one message must not end a governor
            self._drop(error, sender.hex()[:16], message)

    def _drop(self, error: Exception, source: str, message: bytes) -> None:
        """Log a defect. A core that it has ended starts again, as after a crash, from the disk."""
        self.defects.report(error, source, message)
        if self.core is not None and self.core.failure is not None:
            self._take_seat(self.core.context.seat)

    def _receive(self, sender: bytes, message: bytes, now_ms: int) -> None:
        type_ = messages.type_of(message)
        if type_ >= messages.CEREMONY_TYPE_MIN:
            self.handle_ceremony_outputs(self.ceremonies.receive(sender, message, now_ms))
            return
        number = self._numbers.get(sender)
        if self.core is not None and number is not None:
            self.handle_outputs(self.core.receive(number, message, now_ms))
        elif type_ == messages.SUMMARY:
            self.endpoint.post_all(self._former.receive(sender))
        elif type_ in (messages.PULL, messages.CAPSULES):
            known = self._former.keys() | self.ceremonies.trusted()
            self.endpoint.post_all(self._charter_exchange.receive(sender, message, known))

    def _others(self) -> list[PublicIdentity]:
        """The other governors of the seat's roster."""
        if self.seat is None:
            return []
        return [one for one in self.seat.roster.governors if one.name != self.identity.name]

    def _set_peers(self) -> None:
        governors = [*self._others(), *self._former.listed()]
        ceremonies = self.ceremonies
        self.endpoint.set_peers(governors, ceremonies.peers(), ceremonies.trusted())

    # --- the core ---------------------------------------------------------------------------------

    def propose(self, payloads: Sequence[bytes], title: str, evidence: bytes) -> bytes:
        """Propose payloads; returns the proposal's id. Raises as `Core.propose`."""
        now_ms = self.now_ms()
        id, outputs = self.require_core().propose(payloads, title, evidence, now_ms)
        self.news.add_proposal(id, now_ms)
        self.handle_outputs(outputs)
        return id

    def handle_statement(self, statement: bytes, _: int) -> tuple[int, bytes]:
        """Answer a member's signed statement: (CoAP code, body).

        The time that the scope node passes is ignored: the core uses the governor's own clock.
        """
        if self.core is None:
            return coap.UNAVAILABLE, b""
        try:
            code, body, outputs = self.core.handle_statement(statement, self.now_ms())
        except HostError:
            raise
        except Exception as error:  # noqa: BLE001 - one statement must not end a governor
            self._drop(error, "a member's statement", statement)
            raise ResourceFailed() from None
        self.handle_outputs(outputs)
        return code, body

    def handle_outputs(self, outputs: Sequence[Output]) -> None:
        """Send the core's messages; keep its news until their messages have left."""
        for one in outputs:
            if isinstance(one, Outgoing):
                for key in self._receivers(one.to):
                    self.endpoint.post(key, one.data, _urgency(one))
            elif isinstance(one, Reseat):
                self._next_seat_id = one.seat_id
            else:
                self.news.add(one)

    def _send_now(self, outgoing: Sequence[Outgoing]) -> None:
        self.handle_outputs(outgoing)
        self.endpoint.flush_early()

    def _receivers(self, to: int | None) -> list[bytes]:
        if to is not None:
            return [key for key, number in self._numbers.items() if number == to]
        # the proposer first, since it has most work to do, then those who sign after it
        first, count = (self.core.proposer, self.core.context.count) if self.core else (0, 1)
        return sorted(self._numbers, key=lambda key: (self._numbers[key] - first) % count)

    def announce(self, news: Sequence[News]) -> None:
        """Log the events, and hand the capsules to the scope node."""
        self.news.announce(news, self.core)

    def _enqueue(self, raw: bytes) -> None:
        if self.node is not None:
            self.node.enqueue(raw)

    # --- ceremonies -------------------------------------------------------------------------------

    def handle_ceremony_outputs(self, outputs: Sequence[CeremonyOutput]) -> None:
        """Send messages and invitations, log events, and take the seats that ceremonies made."""
        if outputs:
            self._set_peers()
        for one in outputs:
            if isinstance(one, CeremonySend):
                self.endpoint.post(one.to, one.data)
            elif isinstance(one, CeremonyEvent):
                self.ledger.log(one.name, one.text, **one.facts)
                self._emit(one.name, one.text, **one.facts)
            elif isinstance(one, SendInvitation):
                self.endpoint.invite(one.address, one.data)
            elif isinstance(one, ScopeFounded):
                if self.core is None:
                    write_genesis(self.ledger, one.seat, one.genesis)
                    self._take_seat(one.seat)
            elif isinstance(one, SeatReady):
                self._keep_share(one)
        if self.core is not None and outputs:
            self.core.set_next_seats(list(self.ceremonies.seats.committees()))
            self._activate_shares()

    def _keep_share(self, share: SeatReady) -> None:
        """Keep a new share until a policy, or a succession, names its committee."""
        self._emit("share", "a new share is ready, not in force yet", digest=share.digest.hex())
        if share.genesis:
            group_key = share.seat.public.group_key.hex()
            self.ledger.set_meta(FOUNDERS + group_key, share.digest)
        elif self.core is None or not self.core.is_seated:
            # it must learn the reservations that others made meanwhile before it makes its own
            self.ledger.set_meta(NEW_WAITED, b"")
        self._activation.add(share, self.ceremonies.title(share.ceremony))
        if self.core is None:
            partners = self.ceremonies.partners(share.ceremony)
            self._charter_exchange.wait(share.seat, partners)

    def _activate_shares(self) -> None:
        """Propose to put the new shares in force."""
        if self.core is None or not self.core.is_seated:
            return
        for problem in self._activation.tick(self.core, self.propose):
            self._emit("problem", problem)

    def _join(self) -> None:
        """Ask for the charter, without which the core of a new governor cannot start."""
        seat = self._charter_exchange.seat
        if seat is not None and self.ledger.capsules.charter() is not None:
            self._take_seat(seat)
        else:
            self.endpoint.post_all(self._charter_exchange.tick(self.endpoint.peers))

    # --- the seat ---------------------------------------------------------------------------------

    def _take_seat(self, seat: Seat) -> None:
        """Start a core with this seat, and the scope node."""
        governors = seat.roster.governors
        self._former.replace(self._others(), governors)
        self._numbers = {
            one.node_key: number
            for number, one in enumerate(governors, 1)
            if one.name != self.identity.name
        }
        known = self.core.pool.proposals if self.core is not None else None
        self.core = core = Core(self.identity, seat, self.ledger, self.clock_s)
        core.context.send_now = self._send_now
        core.context.on_defect = self.defects.report
        if core.is_seated:
            # the committee of a new governor may be in force before the governor learns of it
            self.ceremonies.seats.activate(committee_digest(seat))
        core.set_next_seats(list(self.ceremonies.seats.committees()))
        scope = core.context.chain.charter
        if self.node_folder is None:
            self.node_folder = self._open_node(bytes(scope.scope))
        cast(ScopeNode, self.node_folder.node).catch_up()
        self._set_peers()
        number, count, threshold = seat.key.identifier, len(governors), seat.public.threshold
        self._emit(
            "seated" if core.is_seated else "learning",
            f"governor {number} of {count} of {scope.name}, threshold {threshold},"
            f" epoch {core.epoch}",
            scope=scope.name,
            number=number,
            governors=count,
            threshold=threshold,
            epoch=core.epoch,
        )
        self.handle_outputs(core.start(self.now_ms(), known))

    def change_seat(self) -> None:
        """At the end of a turn: go on with the seat that is in force now, or retire."""
        if self.core is not None and self.core.has_defect:
            # of an operator's request, which was answered with it
            self._take_seat(self.core.context.seat)
        if self._next_seat_id is None:
            return
        # the last messages of the old seat go to its committee, members who leave included
        self.endpoint.release_deferred()
        self.endpoint.flush()
        seat_id, self._next_seat_id = self._next_seat_id, None
        is_succession = len(seat_id) == GROUP_KEY_BYTES
        if is_succession:
            # before the new share is in force: after a restart it would be too late
            self.ledger.capsules.add(self._activation.genesis(seat_id))
        try:
            seat = self.ceremonies.seats.activate(seat_id)
        except NoSuchSeat:
            self._retire()
            return
        if is_succession:
            self.ledger.set_meta(FOUNDERS + seat_id.hex(), committee_digest(seat))
        self._activation.clear()
        self._is_retired = False
        self._take_seat(seat)

    def _retire(self) -> None:
        # a new governor, whose share is not in force yet, has no seat and keeps its share
        if self.ceremonies.seat is not None:
            self._is_retired = True
            # a quorum of old shares could sign without end: this one is deleted
            self.ceremonies.seats.retire()
            self._emit(
                "retired", "other governors are in force; this one only serves devices from now on"
            )


def _urgency(outgoing: Outgoing) -> Urgency:
    if outgoing.is_deferrable:
        return Urgency.DEFERRABLE
    return Urgency.EARLY if outgoing.is_early else Urgency.AFTER_COMMIT
