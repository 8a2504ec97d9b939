"""A node that runs on a host: the device's agent, with events for the operator.

Events say who asked what and what came of it; never a payload, never a key.
"""

import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from writ import errors
from writ.authority.store import Store
from writ.errors import Rejection
from writ.node.node import METHOD_NAMES

from ..humanize import moment
from ..refusals import meaning
from . import sensors as hostsensors
from .folder import HostNode

# More refusals than this of one name in one second are counted, not listed.
_BURST_MAX = 5

OnEvent = Callable[[dict[str, object], str], None]


class ReportingNode(HostNode):
    """An agent that tells `on_event({"event": name, ...}, text)` what happens to it."""

    def __init__(self, store: Store, config: dict[str, Any], on_event: OnEvent) -> None:
        self._on_event = on_event
        super().__init__(store, config)
        self._told = self._facts()
        self._counted = dict(self.counters)
        self._source: str | None = None
        self._window_ms = 0
        self._listed = 0
        # every judgement passes here: who asked what, and by which rule it was answered
        self._authorise_untold = self.authority.authorise
        self.authority.authorise = self._authorise_told  # type: ignore[method-assign]

    def tell(self, event: str, text: str, **facts: object) -> None:
        """One event, with its time (UTC)."""
        self._on_event({"time": moment(int(time.time())), "event": event, **facts}, text)

    def serve(self, sensors: Iterable[str]) -> None:
        """Serve these sensors of the machine (names of hostsensors.SENSORS)."""
        for name in sensors:
            read = hostsensors.SENSORS[name]
            self.resource(name, period_s=hostsensors.PERIOD_S)(lambda _, read=read: read() or "")

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

    # --- what happens -----------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: str, now_ms: int) -> list[tuple[str, bytes]]:
        """As the core; what it refuses is told with its source."""
        self._source = source
        try:
            out: list[tuple[str, bytes]] = super().receive(datagram, source, now_ms)
        finally:
            self._tell_refusals(now_ms)
            self._source = None
        return out

    def step(self, wait_ms: int = 1000) -> None:
        """As the agent; what changed in its authority is told."""
        super().step(wait_ms)
        self.tell_changes()

    def tell_changes(self) -> None:
        """Tell what has changed since the last time."""
        self._tell_refusals(self.now_ms)
        facts = self._facts()
        if facts != self._told:
            self._tell_changes(facts)
            self._told = facts

    def _facts(self) -> dict[str, object]:
        authority = self.authority
        return {
            "scope": authority.charter and authority.charter.name,
            "expires": authority.me and authority.me.expires,
            "epoch": authority.epoch,
            "beacon": authority.beacon and authority.beacon.time,
        }

    def _tell_changes(self, facts: dict[str, object]) -> None:
        texts = {
            "scope": "the charter of {} arrived",
            "expires": "admitted as a member until {}",
            "epoch": "policy epoch {} is in force",
            "beacon": "newest beacon is of {}",
        }
        for key, value in facts.items():
            if value != self._told[key]:
                shown = moment(value) if isinstance(value, int) and key != "epoch" else value
                self.tell(key, texts[key].format(shown), **{key: value})

    def _authorise_told(
        self, member: Any, method: int, path: str, now_ms: int, has_action: bool = False
    ) -> int:
        # notifications are judged too, and are not worth a line each
        if self._source is None:
            return int(self._authorise_untold(member, method, path, now_ms, has_action))
        asked = f"{METHOD_NAMES[method] if method < len(METHOD_NAMES) else method} {path}"
        facts = {"peer": member.name, "address": self._source, "request": asked}
        try:
            rule = int(self._authorise_untold(member, method, path, now_ms, has_action))
        except Rejection as rejection:
            name = type(rejection).__name__
            if self._may_list(now_ms):
                self.tell(
                    "refused", f"{member.name}: {asked} refused: {name}", **facts, reason=name
                )
            # told better than by the counter
            self._counted[name] = self._counted.get(name, 0) + 1
            raise
        self.tell("request", f"{member.name}: {asked} allowed by rule {rule + 1}", **facts)
        return rule

    def _tell_refusals(self, now_ms: int) -> None:
        for name, count in self.counters.items():
            new = count - self._counted.get(name, 0)
            self._counted[name] = count
            # an Echo that is asked for is no refusal, only caution
            if new > 0 and name != "EchoRequired" and self._may_list(now_ms):
                self._tell_rejected(name)

    def _may_list(self, now_ms: int) -> bool:
        # a flood must not fill the disk: the counters have them all
        if now_ms - self._window_ms >= 1000:
            self._window_ms = now_ms
            self._listed = 0
        self._listed += 1
        return self._listed <= _BURST_MAX

    def _tell_rejected(self, name: str) -> None:
        kind = getattr(errors, name, None)
        what = f"{name} ({meaning(kind)})" if kind else f"{name} in a resource's own code"
        where = f" from {self._source}" if self._source else ""
        self.tell("rejected", f"rejected{where}: {what}", reason=name, address=self._source)
