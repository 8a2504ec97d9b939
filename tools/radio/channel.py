"""The air: who receives a transmission, and why others do not.

Rules, for each receiver by itself:
1. A frame is received if its signal is at least the sensitivity of its settings, the receiver
   listens with matching settings, and its critical section is undisturbed: from the last five
   symbols of the preamble to the end (Bor et al., MSWiM 2016, section 3.2).
2. It is disturbed by another frame of the same spreading factor on nearby frequencies that is on
   air in that section, unless it is 6 dB stronger (capture effect). Each of two frames is judged by
   its own section: LoRaSim's code looks at the later one only, the paper defines both.
3. Half duplex: who sends in the critical section receives nothing.
4. A link that is cut carries neither frame nor disturbance. Added loss takes whole frames, after
   all other rules; what it takes still disturbs others.

Signals are compared in pairs; several weak ones do not add up. Propagation takes no time. The same
seed, names and calls give the same outcomes: random choices depend on the seed, the names and the
count of a sender's frames alone.
"""

import math
from bisect import insort
from collections.abc import Callable

from radio.outcome import ADDED_LOSS, COLLISION, WEAK, Happening, Reception
from radio.pathloss import MODELS, LogDistance, Position, mix, shadowing_db, share
from radio.phy import CAPTURE_DB, Settings, can_receive, disturbs
from radio.timeline import Timeline
from radio.transceiver import Arrival, Radio, Transmission


class Channel:
    """All radios, and what is between them."""

    def __init__(
        self, timeline: Timeline, model: LogDistance = MODELS["oulu"], seed: int = 0
    ) -> None:
        self.timeline = timeline
        self.model = model
        self._seed = mix(seed)
        self.loss = 0.0  # share of frames that are lost besides, 0 to 1
        self.radios: dict[str, Radio] = {}
        self.watch: Callable[[Happening], object] | None = None
        self._cuts: set[frozenset[str]] = set()
        # The neighbours are complete to this loss. It grows with the strongest settings in use.
        self._budget_db = -math.inf
        self._reach_m = 0.0

    def add(
        self, name: str, position: tuple[float, ...] = (0.0, 0.0), settings: Settings | None = None
    ) -> Radio:
        """Add a radio at (x, y) or (x, y, z) in metres. Raises `ValueError` for a name twice."""
        if name in self.radios:
            raise ValueError(f"there is a radio {name} already")
        radio = Radio(self, name, _three(position), settings or Settings())
        self.radios[name] = radio
        self._relink(radio)
        return radio

    def move(self, name: str, position: tuple[float, ...]) -> None:
        """Put a radio elsewhere, for frames that begin from now on."""
        radio = self.radios[name]
        radio.position = _three(position)
        self._relink(radio)

    def cut(self, one: str, other: str) -> None:
        """Cut the link between two radios, both ways, for frames that begin from now on."""
        self._cuts.add(self._pair(one, other))
        self._relink(self.radios[one])

    def mend(self, one: str, other: str) -> None:
        """Restore a link that was cut."""
        self._cuts.discard(self._pair(one, other))
        self._relink(self.radios[one])

    def path_loss_db(self, one: Radio, other: Radio) -> float:
        """The loss between two radios, with shadowing."""
        median = self.model.median_db(math.dist(one.position, other.position))
        return median + shadowing_db(self.model, self._seed, one.hash, other.hash)

    def audience(self, radio: Radio, settings: Settings | None = None) -> list[Radio]:
        """The radios that a frame is strong enough for, nearest first: who can hear whom at all.

        Their states and settings do not matter here.
        """
        settings = settings or radio.settings
        self._grow(settings.power_dbm - settings.sensitivity_dbm + CAPTURE_DB)
        most_db = settings.power_dbm - settings.sensitivity_dbm
        return [other for loss_db, _, other in radio.neighbours if loss_db <= most_db]

    def start(
        self,
        radio: Radio,
        payload: bytes,
        settings: Settings,
        done: Callable[[], object] | None,
    ) -> int:
        """What `Radio.send` calls."""
        transmission = Transmission(radio, radio.counters["sent"], payload, settings)
        radio.begin(transmission)
        # Weaker signals neither are received nor disturb what is.
        floor_dbm = settings.sensitivity_dbm - CAPTURE_DB
        self._grow(settings.power_dbm - floor_dbm)
        heard: list[Arrival] = []
        for loss_db, _, other in radio.neighbours:
            rssi_dbm = settings.power_dbm - loss_db
            if rssi_dbm < floor_dbm:
                break
            arrival = Arrival(other, transmission, rssi_dbm)
            if other.arrivals:
                _collide(arrival, other.arrivals)
            other.arrivals.append(arrival)
            heard.append(arrival)
        self.timeline.at(transmission.end_us, self._finish, transmission, heard, done)
        if self.watch is not None:
            self.watch(self._happening("sent", transmission))
        return transmission.end_us - transmission.start_us

    def _finish(
        self,
        transmission: Transmission,
        heard: list[Arrival],
        done: Callable[[], object] | None,
    ) -> None:
        transmission.radio.end()
        settings = transmission.settings
        sensitivity_dbm = settings.sensitivity_dbm
        # All are judged before any of them acts on it.
        judged = []
        for arrival in heard:
            radio = arrival.radio
            radio.arrivals.remove(arrival)
            if radio.settings is not settings and not can_receive(radio.settings, settings):
                continue
            if arrival.rssi_dbm >= sensitivity_dbm:
                judged.append((arrival, self._judge(arrival)))
            elif self.watch is not None:
                judged.append((arrival, WEAK))
        if done is not None:
            done()
        for arrival, reason in judged:
            self._deliver(arrival, reason)

    def _judge(self, arrival: Arrival) -> str | None:
        transmission, radio = arrival.transmission, arrival.radio
        reason = radio.missed(transmission)
        if reason is not None:
            return reason
        if arrival.disturber is not None:
            return COLLISION
        if self.loss:
            key = mix(transmission.radio.hash) ^ radio.hash
            if share(mix(mix(key ^ self._seed) ^ transmission.number)) < self.loss:
                return ADDED_LOSS
        return None

    def _deliver(self, arrival: Arrival, reason: str | None) -> None:
        transmission, radio = arrival.transmission, arrival.radio
        if reason != WEAK:
            radio.counters[reason or "received"] += 1
        if self.watch is not None:
            what = "lost" if reason else "received"
            self.watch(self._happening(what, transmission, arrival, reason or ""))
        if reason is None:
            call = radio.received
        elif reason == COLLISION:
            call = radio.damaged
        else:
            return
        if call is not None:
            snr_db = transmission.settings.snr_db(arrival.rssi_dbm)
            name = transmission.radio.name
            call(Reception(name, transmission.payload, arrival.rssi_dbm, snr_db))

    def _happening(
        self,
        what: str,
        transmission: Transmission,
        arrival: Arrival | None = None,
        reason: str = "",
    ) -> Happening:
        by = arrival.disturber.name if reason == COLLISION and arrival and arrival.disturber else ""
        rssi_dbm = arrival.rssi_dbm if arrival else 0.0
        return Happening(
            time_us=self.timeline.now_us,
            what=what,
            sender=transmission.radio.name,
            number=transmission.number,
            length=len(transmission.payload),
            airtime_us=transmission.end_us - transmission.start_us,
            settings=transmission.settings,
            receiver=arrival.radio.name if arrival else "",
            rssi_dbm=rssi_dbm,
            snr_db=transmission.settings.snr_db(rssi_dbm) if arrival else 0.0,
            reason=reason,
            by=by,
        )

    def _pair(self, one: str, other: str) -> frozenset[str]:
        for name in (one, other):
            if name not in self.radios:
                raise ValueError(f"there is no radio {name}; there are {', '.join(self.radios)}")
        return frozenset((one, other))

    def _grow(self, budget_db: float) -> None:
        # Rebuild all neighbours if this budget is larger.
        if budget_db <= self._budget_db:
            return
        self._budget_db = budget_db
        self._reach_m = self.model.reach_m(budget_db)
        radios = list(self.radios.values())
        for radio in radios:
            radio.neighbours = []
        for index, radio in enumerate(radios):
            for other in radios[index + 1 :]:
                self._link(radio, other)
        for radio in radios:
            radio.neighbours.sort(key=_by_loss)

    def _relink(self, radio: Radio) -> None:
        # One radio is new, or has moved, or has links cut or mended.
        if self._budget_db == -math.inf:
            return
        radio.neighbours = []
        for other in self.radios.values():
            if other is radio:
                continue
            other.neighbours = [entry for entry in other.neighbours if entry[2] is not radio]
            loss_db = self._link(radio, other)
            if loss_db is not None:
                entry = other.neighbours.pop()
                insort(other.neighbours, entry, key=_by_loss)
        radio.neighbours.sort(key=_by_loss)

    def _link(self, one: Radio, other: Radio) -> float | None:
        # Make two radios neighbours if their loss is within the budget.
        distance_m = math.dist(one.position, other.position)
        if distance_m > self._reach_m:
            return None
        if self._cuts and frozenset((one.name, other.name)) in self._cuts:
            return None
        loss_db = self.model.median_db(distance_m)
        loss_db += shadowing_db(self.model, self._seed, one.hash, other.hash)
        if loss_db > self._budget_db:
            return None
        one.neighbours.append((loss_db, other.name, other))
        other.neighbours.append((loss_db, one.name, one))
        return loss_db


def _by_loss(entry: tuple[float, str, Radio]) -> tuple[float, str]:
    return entry[0], entry[1]


def _three(position: tuple[float, ...]) -> Position:
    x, y, *rest = (float(value) for value in position)
    return x, y, rest[0] if rest else 0.0


def _collide(new: Arrival, others: list[Arrival]) -> None:
    # `new` begins now; each of the others is on air, or ends now.
    one = new.transmission
    for arrival in others:
        two = arrival.transmission
        if two.end_us <= one.start_us:
            continue
        if one.settings is not two.settings and not disturbs(one.settings, two.settings):
            continue
        advantage_db = new.rssi_dbm - arrival.rssi_dbm
        if advantage_db < CAPTURE_DB and two.end_us > one.critical_us:
            new.disturber = two.radio
        if -advantage_db < CAPTURE_DB and one.end_us > two.critical_us:
            arrival.disturber = one.radio
