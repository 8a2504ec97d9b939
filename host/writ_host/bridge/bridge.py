"""The bridge: one loop that steps its node, reads, and publishes.

The node is a member like any other, and judged by the policy of each node that it reads. The
broker is trusted with nothing but the readings that it is sent.
"""

import contextlib
import time
from pathlib import Path
from typing import Any, cast

from writ.authority.capsule import Member, node_id
from writ.authority.store import Store
from writ.crypto import p256_public

from ..errors import HostError
from ..node import meshmetrics
from ..node.agent import OnEvent, ReportingNode
from ..node.folder import NodeFolder
from ..node.refusallog import RefusalLog
from ..scrape import Exporter, Samples
from ..service import notify
from . import spool as spools
from . import topics, values
from .announce import Announcer
from .broker import Acknowledged, Broker, Connected, Subscription, Unsubscribed
from .carrier import Carrier
from .discovery import Device
from .inbox import Received
from .kept import KeptMembers
from .members import Members, Outcome
from .metrics import exporter
from .publisher import TOO_LONG, Publisher
from .reader import Reader
from .requests import Reply, Requests
from .settings import BadSettings, Reading, Settings
from .spool import Spool, SpoolFailed

# The loop waits for datagrams so long at a time; the broker's messages wait for it.
STEP_MS = 50
HOUSEKEEPING_MS = 1_000
# Messages of the broker that are handled between two steps of the node, so that a flood from the
# broker leaves the node its time.
MESSAGES_A_STEP = 16
# Home Assistant's topic below the prefix of discovery, and what it says at its start. Any client
# may say so: it is heeded this often.
_HA_STATUS, _HA_ONLINE = "status", b"online"
ANNOUNCE_MS = 10_000
# How long a bridge that stops waits for acknowledgements.
STOP_S = 5.0


def open_folder(
    path: Path, settings: Settings, listen: str | None, on_event: OnEvent
) -> NodeFolder:
    """The open folder of a bridge's node, which must belong to a scope.

    Raises `HostError`, also for a reading of the bridge itself.
    """

    def make(store: Store, config: dict[str, Any]) -> ReportingNode:
        return ReportingNode(store, config, on_event)

    folder = NodeFolder(path, listen=listen, make=make)
    try:
        name = _name(folder)
        if name in settings.nodes:
            message = f"{settings.path}: {name} is the bridge itself"
            raise BadSettings(message, "Read other nodes: its own resources need no bridge.")
        if folder.node.authority.scope is None:
            raise HostError(
                f"{path} belongs to no scope yet",
                "Request membership (writ member request), then writ member admit --out DIR.",
            )
    except BaseException:
        folder.close()
        raise
    return folder


def _name(folder: NodeFolder) -> str:
    me = folder.node.authority.me
    # a renamed member keeps its old name in config.json
    return str(me.name if me else folder.node.name)


def device_of(folder: NodeFolder) -> Device:
    """The bridge itself, as Home Assistant shows it."""
    node = folder.node
    charter = node.authority.charter
    model = f"Writ node of {charter.name}" if charter else "Writ node"
    return Device(_name(folder), bytes(node_id(p256_public(node.private)[0])), model)


class Bridge:
    """A bridge on an open folder. A context manager; `run` returns after `stop`.

    books: more folders with address books. Raises `HostError`, `OSError`.
    """

    def __init__(
        self,
        folder: NodeFolder,
        settings: Settings,
        books: tuple[Path, ...] = (),
        metrics: str | None = None,
    ) -> None:
        self.settings = settings
        self.node = cast(ReportingNode, folder.node)
        self.me = device_of(folder)
        self.scope = bytes(self.node.authority.scope)
        self._prefix = topics.capsules(self.scope)
        self._capsules = Subscription(f"{self._prefix}#")
        self.metrics: Exporter = exporter()
        self.connections = 0
        self.readings = 0
        self.problems: dict[str, float] = {}  # reads without a value, by reason
        self._log = RefusalLog(self.node.report, "problem")
        self._is_running = True
        self._housekeeping_ms = 0
        self._is_announcing = False  # whether Home Assistant waits for the discovery
        self._announced_ms = -ANNOUNCE_MS
        self._missed = 0  # messages about capsules that were dropped
        self._dropped = 0  # readings and messages that the log has told of
        with contextlib.ExitStack() as stack:
            spool = settings.spool
            self.spool = Spool(folder.path / spools.NAME, spool.bytes_max, spool.age_max_s)
            stack.callback(self.spool.close)
            self.broker = self._make_broker()
            self.publisher = Publisher(self.spool, self.broker, self._refused)
            self.announcer = Announcer(settings, self.scope, self.me, self.spool, self._publish)
            members = Members(folder, books)
            self.requests = self._make_requests(members)
            self.carrier = self._make_carrier()
            self._kept = KeptMembers(self.node.authority, self.spool)
            self._kept.restore(int(self.node.clock.now_ms()))
            self.reader = Reader(members, settings.readings, self._read, self._failed, unix_ms)
            if metrics or settings.metrics:
                self.metrics.serve(str(metrics or settings.metrics))
                stack.callback(self.metrics.close)
            self._stack = stack.pop_all()

    def _make_requests(self, members: Members) -> Requests | None:
        found = self.settings.requests
        if found is None:
            return None
        changed = self._changed
        return Requests(found, self.scope, members, self._answer, self._refuse_request, changed)

    def _make_carrier(self) -> Carrier | None:
        if not self.settings.capsules:
            return None
        again = [self._capsules]

        def publish(slot: str, raw: bytes) -> bool:
            return self.broker.publish(self._prefix + slot, raw, True) is not None

        authority, members = self.node.authority, self.settings.members
        return Carrier(authority, members, publish, lambda: self.broker.subscribe(again))

    def _make_broker(self) -> Broker:
        will = topics.state(self.scope, self.me.name), topics.OFFLINE.encode()
        # one that nothing answers: a connection begins with the answer to a subscription
        subscriptions = [Subscription(topics.check(self.scope, self.me.name), stored=False)]
        if self.settings.discovery:
            # what is stored there would be an old start of Home Assistant
            status = f"{self.settings.discovery}/{_HA_STATUS}"
            subscriptions.append(Subscription(status, stored=False))
        if self.settings.requests:
            # what is stored there is refused, and need not be sent
            filters = topics.request_filters(self.scope)
            subscriptions += [Subscription(one, stored=False) for one in filters]
        if self.settings.capsules:
            subscriptions.append(self._capsules)
        client_id = f"writ-{self.me.node_id.hex()}"
        return Broker(self.settings.broker, client_id, will, subscriptions, self._prefix)

    def __enter__(self) -> "Bridge":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- the loop ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Let `run` return after the present turn."""
        self._is_running = False

    def run(self) -> None:
        """Bridge until `stop` is called."""
        self._report_start()
        self.broker.start()
        notify("READY=1")
        try:
            while self._is_running:
                self._turn()
        finally:
            notify("STOPPING=1")
            self._finish()
        self.node.report("stopped", "stopped")

    def _report_start(self) -> None:
        broker, count = self.settings.broker, len(self.settings.readings)
        where = f"{broker.host}:{broker.port}{' with TLS' if broker.tls else ' without TLS'}"
        self.node.report(
            "started",
            f"{self.me.name} reads {count} resources of {len(self.settings.nodes)} nodes and"
            f" publishes them at {where} below {topics.ROOT}/{self.scope.hex()}",
            name=self.me.name,
            node_id=self.me.node_id,
            scope=self.scope,
            broker=where,
            readings=count,
        )
        if self.node.authority.me is None:
            self.node.report(
                "waiting", "not a member yet: waiting for capsules (writ member admit)"
            )

    def _turn(self) -> None:
        has_messages = len(self.broker.inbox) or len(self.broker.bulk_inbox)
        self.node.step(0 if has_messages else STEP_MS)
        now_ms = int(self.node.clock.now_ms())
        self._take_events(now_ms)
        for inbox in (self.broker.inbox, self.broker.bulk_inbox):
            for _ in range(MESSAGES_A_STEP):
                message = inbox.take()
                if message is None:
                    break
                self._receive_safely(message, now_ms)
        if self.carrier:
            self.carrier.tick(now_ms, is_idle=not len(self.broker.bulk_inbox))
        if self.node.authority.me is not None:
            self.reader.tick(now_ms)
            if self.requests:
                self.requests.tick(now_ms)
        self._commit()
        self.publisher.pump()
        if now_ms >= self._housekeeping_ms:
            self._housekeeping_ms = now_ms + HOUSEKEEPING_MS
            self._housekeep(now_ms)

    def _receive_safely(self, message: Received, now_ms: int) -> None:
        try:
            self._receive(message, now_ms)
        except (HostError, MemoryError):
            # of this machine
            raise
        except Exception as error:  # noqa: BLE001 - one message must not end a bridge
            self.node.count(error)
            self.node.defects.report(error, f"topic {message.topic}", message.payload)

    def _receive(self, message: Received, now_ms: int) -> None:
        if message.topic.startswith(self._prefix):
            if self.carrier:
                slot = message.topic.removeprefix(self._prefix)
                self.carrier.receive(slot, message.payload, message.retain, now_ms)
        elif message.topic == f"{self.settings.discovery}/{_HA_STATUS}":
            if message.payload == _HA_ONLINE:
                # Home Assistant has started, and forgot what is not stored at the broker
                self._is_announcing = True
        elif self.requests:
            self.requests.receive(message, now_ms)

    def _finish(self) -> None:
        """Commit, say goodbye, and give what is under way a moment."""
        self._commit()
        self.announcer.stopping()
        self.publisher.pump()
        deadline = time.monotonic() + STOP_S
        # else the next start would publish once more what is acknowledged too late
        while self.publisher.is_busy and self.broker.is_connected and time.monotonic() < deadline:
            time.sleep(0.01)
            self._take_events(int(self.node.clock.now_ms()))
        self.broker.stop()
        self._commit()

    def _commit(self) -> None:
        try:
            self.spool.commit(unix_ms())
        except SpoolFailed as error:
            self._note("spool", "SpoolFailed", f"{error}. {error.advice}")

    def _take_events(self, now_ms: int) -> None:
        while self.broker.events:
            event = self.broker.events.popleft()
            if isinstance(event, Acknowledged):
                self.publisher.acknowledged(event)
            elif isinstance(event, Connected):
                self.connections += 1
                self.node.report("connected", f"connected to {self.settings.broker.host}")
                self.announcer.connected()
                if self.carrier:
                    self.carrier.connected(now_ms)
            elif isinstance(event, Unsubscribed):
                self._note("unsubscribed", event.reason, event.reason)
            else:
                self._disconnected(event.reason, event.reason)

    def _disconnected(self, reason: str, text: str) -> None:
        self.announcer.disconnected()
        if self.carrier:
            self.carrier.disconnected()
        self._note("disconnected", reason, text)

    def _housekeep(self, now_ms: int) -> None:
        self._log.tick(now_ms)
        if not self.broker.is_running:
            # an exception in paho's code
            self._disconnected("ClientFailed", "the MQTT client ended: it is started again")
            self.broker.stop()
            self.publisher.restart()
            self.broker.start()
        if self._is_announcing and now_ms - self._announced_ms >= ANNOUNCE_MS:
            self._is_announcing, self._announced_ms = False, now_ms
            if self.broker.is_connected:
                self.announcer.connected()
        if self.carrier and self.broker.bulk_inbox.dropped > self._missed:
            self._missed = self.broker.bulk_inbox.dropped
            self.carrier.missed(now_ms)
        dropped = self.spool.dropped + self.broker.dropped
        if dropped > self._dropped:
            count = dropped - self._dropped
            self._dropped = dropped
            self._note("dropped", "Dropped", f"dropped {count} readings or messages: see metrics")
        if self.carrier and self.node.authority.charter:
            self._kept.update(self.carrier.held)
        samples = self.samples()
        meshmetrics.add(samples, self.node)
        self.metrics.publish(samples)

    def samples(self) -> Samples:
        """All metrics of this moment."""
        return Samples(
            {
                "connected": float(self.broker.is_connected),
                "nodes_online": self.announcer.online,
                "epoch": self.node.authority.epoch,
                "spool_messages": self.spool.count,
                "spool_bytes": self.spool.bytes,
            },
            {
                "connections": self.connections,
                "readings": self.readings,
                "published": self.publisher.published,
                "dropped": self.spool.dropped,
                "refused_by_broker": self.publisher.refused,
                "inbox_dropped": self.broker.dropped,
                "defects": self.node.defects.count,
                "requests": self.requests.answered if self.requests else 0,
                "capsules_taken": self.carrier.taken if self.carrier else 0,
                "capsules_published": self.carrier.published if self.carrier else 0,
            },
            {
                ("capsules_refused", "reason"): dict(self.carrier.refused if self.carrier else {}),
                ("requests_refused", "reason"): dict(
                    self.requests.refused if self.requests else {}
                ),
                ("read_problems", "reason"): dict(self.problems),
                ("rejections", "name"): dict(self.node.counters),
            },
        )

    # --- what the parts report --------------------------------------------------------------------

    def _read(self, reading: Reading, member: Member, payload: bytes, time_ms: int) -> None:
        self.readings += 1
        topic = topics.reading(self.scope, reading.node, reading.resource)
        self.spool.add(topic, values.encode(payload, time_ms), self.settings.retain, time_ms)
        self.announcer.answered(member)

    def _failed(self, reading: Reading, outcome: Outcome) -> None:
        self.problems[outcome.problem] = self.problems.get(outcome.problem, 0) + 1
        if outcome.is_reached and outcome.member:
            self.announcer.answered(outcome.member)
        else:
            self.announcer.silent(reading.node)
        text = f"{reading.name}: {describe(outcome)}"
        self._note("unread", f"{outcome.problem} {reading.node}", text, reading=reading.name)

    def _answer(self, message: Received, reply: Reply) -> None:
        """Publish the answer to a request; without a connection its sender has given up."""
        if self.broker.is_connected:
            more: dict[str, Any] = {"UserProperty": reply.properties} if reply.properties else {}
            if message.correlation:
                more["CorrelationData"] = message.correlation
            self.broker.publish(message.response_topic, reply.payload, False, **more)

    def _refuse_request(self, reason: str, topic: str) -> None:
        self._note("refused", f"request {reason}", f"request at {topic}: {reason}", topic=topic)

    def _changed(self, node: str, resource: str) -> None:
        self.reader.refresh(node, resource)

    def _publish(self, topic: str, payload: bytes) -> None:
        if self.broker.publish(topic, payload, True) is None:
            fits = self.broker.fits(topic, payload)
            self._refused(topic, "the broker acknowledges nothing" if fits else TOO_LONG)

    def _refused(self, topic: str, reason: str) -> None:
        self._note("unpublished", reason, f"{topic}: not published: {reason}", topic=topic)

    def _note(self, event: str, reason: str, text: str, **facts: object) -> None:
        """Log once a reason and minute."""
        self._log.add(event, reason, "", text, int(self.node.clock.now_ms()), **facts)


def describe(outcome: Outcome) -> str:
    """The problem of an outcome as text."""
    number = f" ({outcome.number})" if outcome.number else ""
    if not outcome.is_reached:
        return f"no value: {outcome.problem}{number}"
    return f"refused: {outcome.problem}{number}"


def unix_ms() -> int:
    """The time of this machine, Unix milliseconds."""
    return time.time_ns() // 1_000_000
