"""A channel whose levels are chosen by hand, and modems whose output is kept."""

from typing import TypeVar

from radio.channel import Channel
from radio.modems import Modem
from radio.outcome import Happening
from radio.pathloss import LogDistance
from radio.phy import Settings
from radio.timeline import Timeline
from radio.transceiver import Radio

M = TypeVar("M", bound=Modem)

# Loss = 20 log10(distance in metres): a distance of 10**(loss/20) has that loss exactly.
PLAIN = LogDistance(exponent=2.0, reference_m=1.0, reference_db=0.0, shadowing_db=0.0)


class Line:
    """A receiver at the origin, and senders at distances that give the wanted levels there.

    `story` has what happened: (what, sender, receiver, reason) at the receiver.
    """

    def __init__(self, settings: Settings | None = None, seed: int = 0) -> None:
        self.timeline = Timeline()
        self.channel = Channel(self.timeline, PLAIN, seed)
        self.settings = settings or Settings()
        self.receiver = self.channel.add("receiver", (0.0, 0.0), self.settings)
        self.receiver.listen()
        self.story: list[tuple[str, str, str]] = []
        self.channel.watch = self._note

    def _note(self, event: Happening) -> None:
        if event.receiver == "receiver":
            self.story.append((event.what, event.sender, event.reason))

    def sender(self, name: str, rssi_dbm: float, settings: Settings | None = None) -> Radio:
        """A radio whose frames arrive with this level."""
        settings = settings or self.settings
        distance_m = 10 ** ((settings.power_dbm - rssi_dbm) / 20)
        return self.channel.add(name, (distance_m, 0.0), settings)


class Bench:
    """Modems in one place, each with the list of what it has said."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.channel = Channel(self.timeline, PLAIN)
        self.said: dict[str, list[bytes]] = {}

    def modem(self, kind: type[M], name: str, x_m: float = 100.0) -> M:
        """A modem that has booted; what it said until then is dropped."""
        found: list[bytes] = []
        self.said[name] = found
        modem = kind(self.channel.add(name, (x_m, 0.0)), self.timeline, found.append)
        modem.power_on()
        self.wait_ms(1000)
        found.clear()
        return modem

    def wait_ms(self, time_ms: float) -> None:
        """Let virtual time pass."""
        self.timeline.advance(self.timeline.now_us + int(1000 * time_ms))

    def ask(self, modem: Modem, data: bytes) -> bytes:
        """Feed bytes, wait 10 ms, and return what the modem said meanwhile."""
        said = self.said[modem.radio.name]
        said.clear()
        modem.feed(data)
        self.wait_ms(10)
        return b"".join(said)
