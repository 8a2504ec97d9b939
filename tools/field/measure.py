"""The measured course of a field: it forms, reports readings, and spreads an amendment.

1. Form: nodes are switched on one after the other, find parents, greet them and their gateway.
2. Readings: each node posts one to its gateway in each period, and gateways ask nodes back.
3. Rest: nothing but what the mesh does by itself; what is on air now is its idle cost. Nodes with
   the mesh core alone report their neighbours at its beginning, without frames.
4. Spread: the governors certify an amendment, gateways have it, and each frame counts until all
   nodes have it or the time is over, and what follows in `after_s`. What the field sends at rest in
   the same time, by the last ten minutes of the rest, is subtracted.
5. Flood: the same bytes by naive flooding.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from radio.energy import SX1262, charge_mah, lifetime_days
from radio.transceiver import HOUR_US

from field.field import Field, Plan, Sent
from field.flood import flood
from field.scope import READING, VALUE

MARKS = (0.5, 0.95, 1.0)
NO_RANK = 255
# What the field sends in the last part of its rest is no cost of the amendment, in seconds
CONTROL_S = 600.0
# Between two reports of a node with the mesh core alone: its gateway computes meanwhile
REPORT_S = 5.0
# Two cells of type 18650, for the lifetime of a node whose radio always listens
BATTERY_MAH = 6800
_COAP_POST, _COAP_GET = 2, 1


@dataclass(frozen=True)
class Course:
    """How long each part takes, in seconds of virtual time.

    form_s: from the first power-on; readings_s: 0 for no readings; period_s: of each node's
    readings; asks: requests of gateways to nodes in that time; rest_s: before the amendment;
    spread_s: at most, after it; change: of scope.CHANGES; after_s: after the last node has it.
    """

    form_s: float = 5400.0
    readings_s: float = 3600.0
    period_s: float = 900.0
    asks: int = 50
    rest_s: float = 3600.0
    spread_s: float = 14400.0
    change: str = "grant"
    after_s: float = 300.0


Progress = Callable[[str, float], object]


@dataclass
class Snapshot:
    """The epochs of all members at one time, for a picture. seconds: since the amendment."""

    seconds: float
    epochs: list[int]


class Run:
    """One field and what was measured. progress: called with the part's name and a share."""

    def __init__(self, plan: Plan, course: Course, progress: Progress | None = None) -> None:
        self.plan, self.course = plan, course
        self._progress = progress or (lambda part, share: None)
        self._progress("place nodes", 0)
        self.field = Field(plan)
        self.figures: dict[str, Any] = {"plan": asdict(plan), "course": asdict(course)}
        self.curve: list[tuple[float, float]] = []  # (seconds since the amendment, share)
        self.snapshots: list[Snapshot] = []

    def measure(self) -> dict[str, Any]:
        """Carry out all parts. Returns the figures: units are in their names."""
        course = self.course
        self._form()
        if course.readings_s:
            self._read()
        began_us = self.field.timeline.now_us
        if self.plan.is_core:
            # as each hour: the answer to the second report tells the choice by all first ones
            self.field.report()
            self._advance("rest", REPORT_S)
            self.field.report()
        self._advance("rest", began_us / 1e6 + course.rest_s - self.field.timeline.now_us / 1e6)
        idle = self._since(began_us)
        self.figures["rest"] = self._traffic(idle, course.rest_s)
        # the end of the rest: at its beginning a field may still form
        last_s = min(course.rest_s, CONTROL_S)
        last = self._since(self.field.timeline.now_us - round(1e6 * last_s))
        capsule = self._spread(sum(one.airtime_us for one in last) / last_s / 1e6)
        self._progress("flood", 0)
        self._compare(capsule)
        self._totals()
        return self.figures

    # --- parts ------------------------------------------------------------------------------------

    def _advance(self, part: str, seconds: float, until: Callable[[], bool] | None = None) -> None:
        field = self.field
        began_us = field.timeline.now_us

        def is_over() -> bool:
            self._progress(part, (field.timeline.now_us - began_us) / 1e6 / max(seconds, 1))
            return until is not None and until()

        field.run(seconds, is_over)

    def _since(self, began_us: int) -> list[Sent]:
        return [one for one in self.field.sent if one.time_us >= began_us]

    def _form(self) -> None:
        field = self.field
        formed: list[float] = []

        def is_formed() -> bool:
            if not formed and all(member.rank != NO_RANK for member in field.members):
                formed.append(field.timeline.now_us / 1e6)
            return False

        self._advance("form", self.course.form_s, is_formed)
        nodes = field.members[self.plan.gateway_count :]
        ranks = [member.rank for member in nodes if member.rank != NO_RANK]
        possible = field.hops[self.plan.gateway_count :]
        audience = [len(field.channel.audience(radio)) for radio in field.channel.radios.values()]
        self.figures["form"] = {
            "side_km": round(field.side_km, 2),
            "gateways": self.plan.gateway_count,
            "neighbours_mean": round(statistics.mean(audience), 1),
            "hops_possible_mean": round(statistics.mean(possible), 2),
            "hops_possible_max": max(possible),
            "with_parent": round(len(ranks) / len(nodes), 4),
            "all_with_parent_s": formed[0] if formed else None,
            "hops_mean": round(statistics.mean(ranks), 2) if ranks else None,
            "hops_max": max(ranks, default=None),
            **self._traffic(field.sent, self.course.form_s),
        }

    def _read(self) -> None:
        readings = _Readings(self.field, self.course)
        began_us = self.field.timeline.now_us
        self._advance("readings", self.course.readings_s)
        self._advance("readings", self.course.period_s)
        self.figures["readings"] = {
            **readings.figures(),
            **self._traffic(self._since(began_us), self.course.readings_s + self.course.period_s),
        }

    def _spread(self, rest_share: float) -> bytes:
        # rest_share: airtime of all nodes at rest, as a share of the time
        field, course = self.field, self.course
        subject = len(field.members) - 1
        without = subject if course.change == "revoke" else None
        epoch = field.scope.epoch + 1
        capsule = field.amend(course.change, subject)
        began_us = field.timeline.now_us
        counted = [
            who for who in range(self.plan.gateway_count, len(field.members)) if who != without
        ]
        self.snapshots.append(self._snapshot(began_us))
        shown = [0.25, 0.5, 0.75, 0.95, 1.0]

        def is_over() -> bool:
            share = sum(epoch in field.epoch_us[who] for who in counted) / len(counted)
            while shown and share >= shown[0]:
                del shown[0]
                if self.snapshots[-1].seconds * 1e6 + began_us < field.timeline.now_us:
                    self.snapshots.append(self._snapshot(began_us))
            return share >= 1

        self._advance("spread", course.spread_s, is_over)
        self.snapshots.append(self._snapshot(began_us))
        self._advance("after", course.after_s)
        times_us = sorted(
            field.epoch_us[who][epoch] for who in counted if epoch in field.epoch_us[who]
        )
        self.curve = [(0.0, 0.0)] + [
            ((at_us - began_us) / 1e6, (place + 1) / len(counted))
            for place, at_us in enumerate(times_us)
        ]
        sent = self._since(began_us)
        seconds: dict[str, float | None] = {}
        airtime: dict[str, float | None] = {}
        for mark in MARKS:
            needed = -int(-mark * len(counted) // 1)
            end_us = times_us[needed - 1] if needed <= len(times_us) else None
            key = f"{100 * mark:g}"
            seconds[key] = None if end_us is None else (end_us - began_us) / 1e6
            airtime[key] = None
            if end_us is not None:
                airtime[key] = sum(one.airtime_us for one in sent if one.time_us <= end_us) / 1e6
        lasted_s = (field.timeline.now_us - began_us) / 1e6
        all_s = sum(one.airtime_us for one in sent) / 1e6
        net: dict[str, float | None] = {}
        for key, used_s in airtime.items():
            took_s = seconds[key]
            net[key] = None if used_s is None or took_s is None else used_s - rest_share * took_s
        self.figures["spread"] = {
            "capsule_bytes": len(capsule),
            "reached": round(len(times_us) / len(counted), 4),
            "seconds": seconds,
            "airtime_s": airtime,
            "airtime_net_s": net,
            "airtime_net_all_s": all_s - rest_share * lasted_s,
            **self._traffic(sent, lasted_s),
        }
        return capsule

    def _snapshot(self, began_us: int) -> Snapshot:
        now_us = self.field.timeline.now_us
        return Snapshot((now_us - began_us) / 1e6, [one.epoch for one in self.field.members])

    def _compare(self, capsule: bytes) -> None:
        found = flood(self.field, capsule, MARKS)
        self.figures["flood"] = asdict(found)
        own = self.figures["spread"]
        share = _ratio(own["airtime_net_s"]["95"], found.airtime_s["95"])
        self.figures["share_amendment_airtime"] = share
        share = _ratio(own["airtime_net_all_s"], found.airtime_all_s)
        self.figures["share_amendment_airtime_all"] = share

    # --- figures ----------------------------------------------------------------------------------

    def _traffic(self, sent: Sequence[Sent], seconds: float) -> dict[str, Any]:
        # of frames that were sent within a period, in seconds
        count = len(self.field.members)
        airtime_us, length = [0] * count, [0] * count
        by_what: Counter[str] = Counter()
        for one in sent:
            airtime_us[one.who] += one.airtime_us
            length[one.who] += one.length
            by_what[one.what] += one.airtime_us
        total_us = sum(airtime_us)
        return {
            "frames": len(sent),
            "bytes_node": _spread_of(length),
            "airtime_ms_node": _spread_of([us / 1000 for us in airtime_us]),
            "airtime_share_mean": _ratio(total_us / count, seconds * 1e6),
            "airtime_by_kind_s": {what: round(us / 1e6, 1) for what, us in sorted(by_what.items())},
            "overhead_share": _ratio(total_us - by_what["messages"], total_us),
        }

    def _totals(self) -> None:
        field = self.field
        usages = [radio.usage() for radio in field.channel.radios.values()]
        hours = field.timeline.now_us / HOUR_US
        charges = [charge_mah(SX1262, usage) / hours for usage in usages[self.plan.gateway_count :]]
        counters: Counter[str] = Counter()
        for member in field.members:
            counters.update(member.node.counters)
        outcomes: Counter[str] = Counter()
        for radio in field.channel.radios.values():
            outcomes.update(radio.counters)
        self.figures["whole"] = {
            "virtual_s": field.timeline.now_us / 1e6,
            "events": field.timeline.events,
            "duty_cycle_permille": field.duty_cycle_permille,
            "hour_airtime_permille_max": round(max(_busiest_hours(field)) / HOUR_US * 1000, 3),
            "airtime_dropped_s": round(field.dropped_us() / 1e6, 1),
            "radio_ma_mean": round(statistics.mean(charges), 3),
            "battery_days_always_listening": round(
                lifetime_days(BATTERY_MAH, statistics.mean(charges)), 1
            ),
            "receptions": dict(sorted(outcomes.items())),
            "rejections": dict(sorted(counters.items())),
        }


class _Readings:
    """Readings from each node to its gateway, and requests from gateways to nodes."""

    def __init__(self, field: Field, course: Course) -> None:
        self._field = field
        self._course = course
        self._made = 0
        self._unsent = 0  # without a gateway
        self._asked = self._answered = 0
        self._made_us: dict[bytes, int] = {}
        self._received_s: dict[bytes, float] = {}
        self._confirmed = 0
        self._end_us = field.timeline.now_us + round(course.readings_s * 1e6)
        first = field.plan.gateway_count
        for gateway in field.members[:first]:
            gateway.node.resource(READING, ("POST",))(self._take)
        for who in range(first, len(field.members)):
            field.members[who].node.resource(VALUE)(lambda request: b"21.5")
            self._after(field.random.random() * course.period_s, self._post, who)
        for _ in range(course.asks):
            self._after(field.random.random() * course.readings_s, self._ask)

    def _after(self, seconds: float, function: Callable[..., object], *arguments: Any) -> None:
        self._field.timeline.after(round(seconds * 1e6), function, *arguments)

    def _take(self, request: Any) -> bytes:
        made_us = self._made_us.get(bytes(request.payload))
        if made_us is not None:
            seconds = (self._field.timeline.now_us - made_us) / 1e6
            self._received_s.setdefault(bytes(request.payload), seconds)
        return b""

    def _post(self, who: int) -> None:
        field = self._field
        if field.timeline.now_us >= self._end_us:
            return
        self._after(self._course.period_s, self._post, who)
        self._made += 1
        member = field.members[who]
        reading = who.to_bytes(4, "big") + self._made.to_bytes(4, "big") + bytes(4)
        self._made_us[reading] = field.timeline.now_us
        routing = member.frames and member.frames.mesh.routing
        gateway = routing and routing.gateway
        if not gateway:
            self._unsent += 1
            return

        def done(answer: Any) -> None:
            self._confirmed += answer.code >> 5 == 2

        member.request(_COAP_POST, READING, reading, f"mesh:{gateway:04x}", done)

    def _ask(self) -> None:
        # a node that the gateway has a route to, or had one
        field = self._field
        gateway = field.random.choice(field.members[: field.plan.gateway_count])
        known = sorted(gateway.frames.mesh.routes)
        if not known:
            return
        self._asked += 1

        def done(answer: Any) -> None:
            self._answered += answer.code >> 5 == 2

        address = f"mesh:{field.random.choice(known):04x}"
        gateway.request(_COAP_GET, VALUE, b"", address, done)

    def figures(self) -> dict[str, Any]:
        """What arrived."""
        times = sorted(self._received_s.values())
        return {
            "made": self._made,
            "without_gateway": self._unsent,
            "received": len(times),
            "delivery_share": _ratio(len(times), self._made),
            "confirmed_share": _ratio(self._confirmed, self._made),
            "latency_s": _spread_of(times),
            "asked": self._asked,
            "answered_share": _ratio(self._answered, self._asked),
        }


def _busiest_hours(field: Field) -> list[int]:
    # of each member: the most airtime (µs) of frames that began within one hour
    frames: list[list[tuple[int, int]]] = [[] for _ in field.members]
    for one in field.sent:
        frames[one.who].append((one.time_us, one.airtime_us))
    found = []
    for mine in frames:
        most = used = first = 0
        for time_us, airtime_us in mine:
            used += airtime_us
            while mine[first][0] <= time_us - HOUR_US:
                used -= mine[first][1]
                first += 1
            most = max(most, used)
        found.append(most)
    return found


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else round(part / whole, 4)


def _spread_of(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "mean": round(statistics.mean(ordered), 1),
        "p95": round(ordered[-int(-0.95 * len(ordered) // 1) - 1], 1),
        "max": round(ordered[-1], 1),
    }


def measure(plan: Plan, course: Course | None = None, progress: Progress | None = None) -> Run:
    """Measure a field. Returns the run, whose `figures` hold all that was measured.

    For a bench: figures["share_amendment_airtime"], figures["spread"]["seconds"]["95"].
    """
    run = Run(plan, course or Course(), progress)
    run.measure()
    return run
