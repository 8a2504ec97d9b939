"""A node on a host: the device's agent, which reports events to the operator.

Events say who requested what and how it was answered. They never contain a payload or a key.
"""

import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from writ import errors
from writ.authority.store import Store
from writ.errors import Rejection
from writ.mesh.permit import GOVERNANCE
from writ.wire.coap import METHOD_NAMES

from ..defects import Defects
from ..errors import HostError
from ..humanize import moment
from ..refusals import meaning
from . import sensors as hostsensors
from .addresscheck import CHECK_MS, AddressCheck
from .airtimecheck import AirtimeCheck
from .folder import HostNode
from .linkcheck import LinkCheck
from .metrics import NodeMetrics
from .refusallog import RefusalLog

_LISTEN_ADVICE = '"listen": "0.0.0.0:5683" in config.json survives a change of address'
OnEvent = Callable[[dict[str, object], str], None]


class ReportingNode(HostNode):
    """An agent that calls `on_event({"time": ..., "event": name, ...}, text)` for each event.

    reports_address: whether it says that the address of its socket has vanished.
    """

    reports_address = True

    def __init__(self, store: Store, config: dict[str, Any], on_event: OnEvent) -> None:
        self._on_event = on_event
        self.defects = Defects(self.report, lambda: int(self.now_ms))
        # of frames: see `writ.framelinks`
        self.on_defect = self.defects.report
        super().__init__(store, config)
        self._reported = self._facts()
        self._network_ms = 0  # when addresses and interfaces are checked
        self._address_check: AddressCheck | None = None
        self._undiscoverable = ""  # as reported last
        self._link_check: LinkCheck | None = None
        self._airtime_check: AirtimeCheck | None = None
        self._problems: dict[str, str] = {}  # of files, as reported last, by event
        self._is_silent = False  # whether it was reported that the frame links are silent
        # rejections by name that are reported already
        self._counted = dict(self.counters)
        # the sender of the datagram that is being handled, None outside `receive`
        self._source: str | None = None
        # whether that datagram has asked for more than capsules
        self._has_request = False
        self._refusals = RefusalLog(self.report)
        # every authorisation passes here: who requested what, and which rule decided
        self._authorise_silently = self.authority.authorise
        self.authority.authorise = self._authorise  # type: ignore[method-assign]

    def report(self, event: str, text: str, **facts: object) -> None:
        """Report one event, with its time (UTC)."""
        self._on_event({"time": moment(int(time.time())), "event": event, **facts}, text)

    def serve(self, sensors: Iterable[str]) -> None:
        """Serve these sensors of the machine (names of sensors.SENSORS)."""
        for name in sensors:
            read = hostsensors.SENSORS[name]
            self.resource(name, period_s=hostsensors.PERIOD_S)(lambda _, read=read: read() or "")

    def serve_metrics(self, address: str) -> None:
        """Serve metrics at "host:port", until the process ends. Raises `UsageError`, `OSError`."""
        found = NodeMetrics(self)
        found.exporter.serve(address)
        self._lan.append(found)

    def announce(self) -> None:
        """Do nothing: the event `started` reports name and address."""

    def show_changes(self) -> None:
        """Do nothing: events report what changes."""

    def serve_until_signalled(self) -> None:
        """Run until SIGTERM or SIGINT, or until `stop`."""
        handlers = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            handlers[number] = signal.signal(number, lambda *_: self.stop())
        try:
            self.run()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    # --- events -----------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, now_ms: int) -> list[tuple[str, bytes]]:
        """As the core does; reports rejections with their source."""
        self._source, self._has_request = source, False
        out: list[tuple[str, bytes]] = []
        try:
            out = super().receive(datagram, source, now_ms)
        except (HostError, MemoryError):
            # of this machine
            raise
        except Exception as error:  # noqa: BLE001 - one datagram must not end a node
            self.count(error)
            self.defects.report(error, source, datagram)
        finally:
            self._report_rejections(now_ms)
            self._source = None
        return out

    def next_ms(self, now_ms: int) -> int | None:
        """As the core does; includes the time of the next count of refusals."""
        times = [super().next_ms(now_ms), self._refusals.next_ms(now_ms)]
        if self.link:
            times.append(max(0, self._network_ms - now_ms))
        return min((one for one in times if one is not None), default=None)

    def tick(self, now_ms: int) -> list[tuple[str, bytes]]:
        """As the core does; checks this machine's addresses and interfaces, too."""
        out: list[tuple[str, bytes]] = super().tick(now_ms)
        if self.link and now_ms >= self._network_ms:
            self._network_ms = now_ms + CHECK_MS
            self._check_network(now_ms)
        return out

    def _check_network(self, now_ms: int) -> None:
        self.join_groups()
        if self.undiscoverable != self._undiscoverable:
            self._undiscoverable = self.undiscoverable
            text = f"searches on the network do not find this node: {self.undiscoverable}"
            if not self.undiscoverable:
                text = "searches on the network find this node again"
            self.report("discoverable", text, problem=self.undiscoverable or None)
        if self._address_check is None and self.reports_address:
            self._address_check = AddressCheck(self.link.host, _LISTEN_ADVICE)
        if self._address_check and (news := self._address_check.tick(now_ms)):
            self.report("address", news, problem=self._address_check.problem or None)

    def step(self, wait_ms: int = 1000) -> None:
        """As the agent does; reports what changed in its authority."""
        super().step(wait_ms)
        self.report_changes()

    def report_changes(self) -> None:
        """Report what has changed since the last call."""
        self._report_rejections(self.now_ms)
        self._refusals.tick(self.now_ms)
        facts = self._facts()
        if facts != self._reported:
            self._report_facts(facts)
            self._reported = facts
        self._report_links()
        self._report_silence()
        self._report_problem("ways", self.ways_problem, "the ways in the mesh are")
        self._report_problem("airtime", self.airtime_problem, "the airtime of the last hour is")

    def _report_problem(self, event: str, problem: str, subject: str) -> None:
        """Report once that something is not kept over a restart, and once that it is again."""
        if problem != self._problems.get(event, ""):
            self._problems[event] = problem
            text = f"{subject} kept over a restart again"
            if problem:
                text = f"{subject} not kept over a restart: {problem}"
            self.report(event, text, problem=problem or None)

    def _report_links(self) -> None:
        if self.frames is None:
            return
        if self._link_check is None or self._airtime_check is None:
            self._link_check = LinkCheck(self.frames.links, self.config["links"])
            self._airtime_check = AirtimeCheck(self.frames.mesh.outbox)
        for number, problem, text in self._link_check.tick(self.now_ms):
            self.report("link", text, link=number, problem=problem or None)
        for number, is_used_up, text in self._airtime_check.tick(self.now_ms):
            self.report("duty", text, link=number, used_up=is_used_up)

    def _report_silence(self) -> None:
        policy = self.authority.policy
        if not policy or not self.config.get("links"):
            return
        is_silent = all(route[0] != GOVERNANCE for route in policy.routes)
        if is_silent != self._is_silent:
            self._is_silent = is_silent
            text = "the policy has a route of class 0: the links of config.json are in use"
            if is_silent:
                text = (
                    "config.json has links, but the policy has no route of class 0: no frame is"
                    " sent. Add the routes of docs/mesh.md to policy.toml, and certify it"
                )
            self.report("mesh", text, silent=is_silent)

    def _facts(self) -> dict[str, object]:
        authority = self.authority
        return {
            "scope": authority.charter and authority.charter.name,
            "expires": authority.me and authority.me.expires,
            "epoch": authority.epoch,
            "beacon": authority.beacon and authority.beacon.time,
        }

    def _report_facts(self, facts: dict[str, object]) -> None:
        texts = {
            "scope": "received the charter of {}",
            "expires": "admitted as a member until {}",
            "epoch": "policy epoch {} is in force",
            "beacon": "received a beacon of {}",
        }
        for key, value in facts.items():
            if value != self._reported[key]:
                if value is None:
                    # a succession takes back a beacon of a wrong clock
                    self.report(key, f"the {key} is void", **{key: value})
                    continue
                shown = moment(value) if isinstance(value, int) and key != "epoch" else value
                self.report(key, texts[key].format(shown), **{key: value})

    def _authorise(
        self, member: Any, method: int, path: str, now_ms: int, has_action: bool = False
    ) -> int:
        # notifications are authorised too, outside `receive`: too many to report each
        if self._source is None:
            return int(self._authorise_silently(member, method, path, now_ms, has_action))
        self._has_request = True
        request = f"{METHOD_NAMES[method] if method < len(METHOD_NAMES) else method} {path}"
        facts = {"peer": member.name, "address": self._source, "request": request}
        try:
            rule = int(self._authorise_silently(member, method, path, now_ms, has_action))
        except Rejection as rejection:
            name = type(rejection).__name__
            text = f"{member.name}: {request} refused: {name}"
            self._refusals.add("refused", name, member.name, text, now_ms, **facts)
            # this event says more than the counter's would
            self._counted[name] = self._counted.get(name, 0) + 1
            raise
        self.report("request", f"{member.name}: {request} allowed by rule {rule + 1}", **facts)
        return rule

    def _report_rejections(self, now_ms: int) -> None:
        for name, count in self.counters.items():
            new = count - self._counted.get(name, 0)
            self._counted[name] = count
            # a request for an Echo option is a precaution, and peers ask for capsules that may not
            # exist: neither is a refusal
            if name != "EchoRequired" and (name != "NotFound" or self._has_request):
                for _ in range(new):
                    self._report_rejection(name, now_ms)

    def _report_rejection(self, name: str, now_ms: int) -> None:
        kind = getattr(errors, name, None)
        what = f"{name} ({meaning(kind)})" if kind else f"{name} in the code of a resource"
        where = f" from {self._source}" if self._source else ""
        source = (self._source or "").rpartition(":")[0]
        text = f"rejected{where}: {what}"
        self._refusals.add("rejected", name, source, text, now_ms, address=self._source)
