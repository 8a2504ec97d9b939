"""The drivers of LoRa modems against the emulated modems of tools/radio, in virtual time.

Both sides were written from the vendors' manuals, independently of each other.
"""

from collections.abc import Callable
from typing import Any

import pytest
from modem_rig import channel
from radio.modems import E22 as EmulatedE22
from radio.modems import Modem, Rak3172, Rylr998
from radio_rig import Bench

from writ.link import e22, rak3172, rylr998

STEP_MS = 5


class EmulatedPort:
    """In the place of a `Port`: an emulated modem at its other end."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.error = None
        self.modem: Modem | None = None
        self.said: list[bytes] = []
        self._change: bool | None = True

    @property
    def handle(self) -> object:
        """Open from the start."""
        return self.modem

    def read(self, now_ms: int) -> bytes:
        """All that the modem has said."""
        data = b"".join(self.said)
        self.said.clear()
        return data

    def is_ready(self) -> bool:
        """Always."""
        return True

    def write(self, data: bytes) -> bool:
        """To the modem."""
        assert self.modem
        self.modem.feed(bytes(data))
        return True

    def next_ms(self, now_ms: int) -> int | None:
        """0 while the modem has said more."""
        return 0 if self.said else None

    def take_change(self) -> bool | None:
        """True once."""
        change, self._change = self._change, None
        return change

    def close(self) -> None:
        """Nothing."""


class Pins:
    """In the place of `e22.Pins`."""

    def __init__(self, modem: EmulatedE22) -> None:
        self._modem = modem

    def set_mode(self, m0: int, m1: int) -> None:
        """Set both pins of the emulated module."""
        self._modem.set_pins(m0, m1)

    def is_free(self) -> bool:
        """AUX is not emulated."""
        return True


class Pair(Bench):
    """Two modems of a kind that hear each other, their links, and what these have received."""

    def __init__(self, kind: type[Modem], driver: Callable[..., Any], **settings: int) -> None:
        super().__init__()
        self.links: list[Any] = []
        self.modems: list[Any] = []
        self.received: list[list[tuple[bytes, int | None]]] = [[], []]
        for number in range(2):
            port = EmulatedPort()
            modem = self.modem(kind, f"m{number}", 1_000_000.0 * number)
            modem.write = port.said.append
            port.modem = modem
            more = (Pins(modem),) if isinstance(modem, EmulatedE22) else ()
            self.modems.append(modem)
            self.links.append(driver(channel(modem="any", **settings), port, *more))
        self.run(3000)
        assert [link.error for link in self.links] == [None, None]
        for link in self.links:
            # the RAK3172 is in LoRaWAN mode at first, and is rebooted
            assert set(link.counters) <= {"Reset"}
            link.counters.clear()

    @property
    def now_ms(self) -> int:
        """Virtual time."""
        return self.timeline.now_us // 1000

    def run(self, for_ms: int) -> None:
        """Let time pass, and serve both links."""
        for _ in range(0, for_ms, STEP_MS):
            self.wait_ms(STEP_MS)
            for link, frames in zip(self.links, self.received, strict=True):
                while True:
                    found = link.receive(self.now_ms)
                    if found:
                        frames.append(found)
                    elif link.next_ms(self.now_ms) != 0:
                        break

    def send(self, number: int, frame: bytes) -> None:
        """Send a frame as soon as the link takes it."""
        for _ in range(2000):
            if self.links[number].send(frame, self.now_ms):
                return
            self.run(STEP_MS)
        raise AssertionError("the link takes no frame")

    def frames(self, number: int) -> list[bytes]:
        """The frames that a link has received."""
        return [frame for frame, _ in self.received[number]]


KINDS = {
    "rylr998": (Rylr998, rylr998.Rylr998, {}),
    "rylr998-slow": (Rylr998, rylr998.Rylr998, {"spreading_factor": 9, "coding_rate": 8}),
    "rak3172": (Rak3172, rak3172.Rak3172, {}),
    "rak3172-slow": (Rak3172, rak3172.Rak3172, {"spreading_factor": 12, "bandwidth_khz": 250}),
    "e22": (
        EmulatedE22,
        e22.E22,
        {
            "frequency_khz": 868125,
            "spreading_factor": 11,
            "bandwidth_khz": 500,
            "power_dbm": 22,
        },
    ),
}


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Two modems of each kind."""
    kind, driver, settings = KINDS[request.param]
    return Pair(kind, driver, **settings)


def test_frames_of_all_sizes_cross(pair: Pair) -> None:
    mtu = pair.links[0].mtu
    sent = [bytes((i * 37 + size) & 255 for i in range(size)) for size in (1, 2, 30, 100, mtu)]
    for frame in (*sent, bytes(mtu), b"\r\n+OK\r\n", b"\xff" * mtu):
        pair.send(0, frame)
    pair.run(15000)
    assert pair.frames(1) == [*sent, bytes(mtu), b"\r\n+OK\r\n", b"\xff" * mtu]
    for link in pair.links:
        assert link.counters == {} and link.error is None


def test_an_rylr998_that_answers_at_the_end_of_a_frame() -> None:
    pair = Pair(Rylr998, rylr998.Rylr998)
    for modem in pair.modems:
        modem.is_ok_late = True
    for size in (1, 180, 50):
        pair.send(0, bytes(size))
    pair.run(3000)
    assert pair.frames(1) == [bytes(1), bytes(180), bytes(50)]
    assert pair.links[0].counters == {}


def test_both_directions_in_turn(pair: Pair) -> None:
    for number in range(6):
        pair.send(number % 2, b"frame %d" % number)
        pair.run(4000)
    assert pair.frames(0) == [b"frame 1", b"frame 3", b"frame 5"]
    assert pair.frames(1) == [b"frame 0", b"frame 2", b"frame 4"]


def test_the_airtime_of_a_frame_is_what_the_channel_sees(pair: Pair) -> None:
    radio = pair.modems[0].radio
    for size in (1, 10, 51, 100, pair.links[0].mtu):
        before_us = radio.airtime_last_hour_us()
        pair.send(0, bytes(size))
        pair.run(6000)
        assert radio.airtime_last_hour_us() - before_us == pair.links[0].airtime_us(size), size


def test_the_snr_is_the_modems(pair: Pair) -> None:
    pair.send(0, b"frame")
    pair.run(3000)
    ((frame, snr),) = pair.received[1]
    assert frame == b"frame"
    if isinstance(pair.modems[1], EmulatedE22):
        assert snr is None
    else:
        assert snr is not None and 5 <= snr <= 30


def test_a_power_cut_under_a_frame_is_survived(pair: Pair) -> None:
    pair.send(0, bytes(100))
    pair.run(STEP_MS)
    pair.modems[0].power_off()
    pair.run(10000)
    pair.modems[0].power_on()
    pair.run(40000)
    pair.send(0, b"received")
    pair.run(3000)
    assert pair.frames(1)[-1:] == [b"received"]


def put_to_sleep(pair: Pair, number: int) -> None:
    """Call `sleep` until it is done."""
    while not pair.links[number].sleep(pair.now_ms):
        pair.run(STEP_MS)


def test_a_sleeping_modem_hears_nothing_and_wakes(pair: Pair) -> None:
    pair.send(1, b"before")
    put_to_sleep(pair, 1)
    assert pair.links[1].error == "the modem sleeps"
    assert not pair.links[1].send(b"no", pair.now_ms)
    listened_us = pair.modems[1].radio.usage().listening_us
    pair.send(0, b"missed")
    # longer than a modem is quiet before it is asked for its settings
    pair.run(70000)
    assert pair.modems[1].radio.usage().listening_us == listened_us
    assert pair.frames(0) == [b"before"] and pair.frames(1) == []
    assert pair.modems[1].radio.counters["asleep"] == 1
    pair.links[1].wake(pair.now_ms)
    pair.run(200)
    pair.send(0, b"heard")
    pair.run(5000)
    pair.send(1, b"after")
    pair.run(5000)
    assert pair.frames(0) == [b"before", b"after"] and pair.frames(1) == [b"heard"]
    assert pair.links[1].counters == {} and pair.links[1].error is None


AT_KINDS = [name for name in KINDS if name != "e22"]


@pytest.fixture(params=AT_KINDS)
def at_pair(request: pytest.FixtureRequest) -> Pair:
    """Two modems with AT commands."""
    kind, driver, settings = KINDS[request.param]
    return Pair(kind, driver, **settings)


def test_a_power_cut_of_the_modem_costs_no_more_than_its_set_up(at_pair: Pair) -> None:
    at_pair.modems[1].power_off()
    at_pair.run(2000)
    at_pair.send(0, b"lost")
    at_pair.run(3000)
    at_pair.modems[1].power_on()
    at_pair.run(2000)
    at_pair.send(0, b"received")
    at_pair.run(5000)
    at_pair.send(1, b"sent")
    at_pair.run(5000)
    assert at_pair.frames(1) == [b"received"] and at_pair.frames(0) == [b"sent"]
    assert at_pair.links[1].counters == {"Reset": 1}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["garbled", "missing", "late"])
def test_a_spoiled_answer_is_survived(at_pair: Pair, fault: str) -> None:
    for count in range(1, 4):
        at_pair.modems[0].break_next(fault, count, delay_us=3_000_000)
        at_pair.send(0, b"perhaps %d" % count)
        at_pair.run(20000)
    at_pair.send(0, b"received")
    at_pair.run(5000)
    assert at_pair.frames(1)[-1] == b"received"
    # what was sent has not been sent twice
    assert len(at_pair.frames(1)) == len(set(at_pair.frames(1)))
    assert at_pair.links[0].error is None


@pytest.mark.parametrize("when", ["asleep", "awake"])
@pytest.mark.parametrize("fault", ["garbled", "missing", "late"])
def test_a_modem_whose_answer_is_spoiled_sleeps_and_wakes(
    at_pair: Pair, fault: str, when: str
) -> None:
    link, modem = at_pair.links[1], at_pair.modems[1]
    if when == "asleep":
        modem.break_next(fault, delay_us=3_000_000)
    put_to_sleep(at_pair, 1)
    at_pair.run(5000)
    assert modem.radio.state == "sleeping"
    if when == "awake":
        modem.break_next(fault, delay_us=3_000_000)
    link.wake(at_pair.now_ms)
    at_pair.run(8000)
    at_pair.send(0, b"heard")
    at_pair.run(5000)
    assert at_pair.frames(1) == [b"heard"] and link.error is None
    assert set(link.counters) == {"NoAnswer"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["garbled", "missing", "late"])
def test_spoiled_answers_in_the_set_up_are_survived(at_pair: Pair, fault: str) -> None:
    modem = at_pair.modems[0]
    for skipped in (1, 2, 3, 5, 8):
        # the set-up begins again when the module has booted
        modem.power_off()
        modem.power_on()
        modem.break_next(fault, skipped, delay_us=2_500_000)
        at_pair.run(180000)
        assert at_pair.links[0].error is None, skipped
        at_pair.send(0, b"frame %d" % skipped)
        at_pair.run(5000)
        assert at_pair.frames(1)[-1] == b"frame %d" % skipped


def test_a_rak3172_waits_for_a_free_channel() -> None:
    pair = Pair(Rak3172, rak3172.Rak3172, spreading_factor=9)
    long, short = bytes(200), b"short"
    pair.send(0, long)
    pair.run(50)
    pair.send(1, short)
    pair.run(10000)
    assert pair.frames(0) == [short]
    assert pair.links[1].counters == {}
