"""Who receives what when frames overlap, by hand calculation.

SF7 at 125 kHz: a symbol takes 1.024 ms, a frame of 20 bytes 56.576 ms, and its critical section
begins 3.072 ms after its start (8 - 5 symbols of preamble). Capture needs 6 dB.
"""

import pytest
from radio.outcome import COLLISION, Reception
from radio.phy import Settings
from radio_rig import Line

FRAME_US, FREE_US = 56_576, 3_072
GOT, LOST = ("received", ""), ("lost", COLLISION)


def overlap(
    first_dbm: float,
    second_dbm: float,
    delay_us: int,
    second: Settings | None = None,
    first: Settings | None = None,
) -> dict[str, tuple[str, str]]:
    """What becomes of two frames of 20 bytes, of which the second begins so much later."""
    line = Line()
    one = line.sender("first", first_dbm, first)
    two = line.sender("second", second_dbm, second)
    one.send(bytes(20))
    line.timeline.at(delay_us, two.send, bytes(20))
    line.timeline.run()
    return {sender: (what, reason) for what, sender, reason in line.story}


@pytest.mark.parametrize(
    ("first_dbm", "second_dbm", "first", "second"),
    [
        (-90.0, -90.0, LOST, LOST),
        (-90.0, -95.99, LOST, LOST),
        (-90.0, -96.01, GOT, LOST),
        (-95.99, -90.0, LOST, LOST),
        (-96.01, -90.0, LOST, GOT),
        # too weak to be received, strong enough to disturb: -123 dBm is the sensitivity
        (-120.0, -124.0, LOST, ("lost", "too weak")),
        # and too weak for that
        (-120.0, -126.01, GOT, ("lost", "too weak")),
        # 6 dB below what can be received, nothing is left of it
        (-120.0, -129.01, GOT, None),
    ],
)
def test_capture(first_dbm: float, second_dbm: float, first: object, second: object) -> None:
    found = overlap(first_dbm, second_dbm, 20_000)
    assert (found["first"], found.get("second")) == (first, second)


@pytest.mark.parametrize(
    ("delay_us", "first", "second"),
    [
        (0, LOST, LOST),
        # the second's last five symbols of preamble begin before the first's end
        (FRAME_US - FREE_US - 1, LOST, LOST),
        # ... at the first's end: the second is whole, but it has disturbed the first's last bytes
        (FRAME_US - FREE_US, LOST, GOT),
        (FRAME_US - 1, LOST, GOT),
        (FRAME_US, GOT, GOT),
    ],
)
def test_timing_of_equal_signals(delay_us: int, first: object, second: object) -> None:
    assert overlap(-90, -90, delay_us) == {"first": first, "second": second}


def test_only_the_first_symbols_of_a_preamble_may_be_disturbed() -> None:
    # The weak one began earlier and ends within the strong one's first three symbols.
    assert overlap(-100, -90, FRAME_US - FREE_US) == {"first": LOST, "second": GOT}
    # Then the strong one comes first: both are received.
    assert overlap(-90, -100, FRAME_US - FREE_US) == {"first": GOT, "second": GOT}


@pytest.mark.parametrize(
    ("second", "first"),
    [
        (Settings(spreading_factor=8), GOT),
        (Settings(frequency_hz=868_100_000 + 30_000), LOST),
        (Settings(frequency_hz=868_100_000 + 30_001), GOT),
        (Settings(sync_word=0x34), LOST),
    ],
)
def test_other_settings_disturb_if_factor_and_frequency_meet(
    second: Settings, first: object
) -> None:
    assert overlap(-90, -70, 20_000, second)["first"] == first


def test_three_frames_are_judged_in_pairs() -> None:
    line = Line()
    # 6.5 dB above each of the others, which collide with each other
    for name, level in (("strong", -80.0), ("one", -86.5), ("two", -86.5)):
        line.sender(name, level).send(bytes(20))
    line.timeline.run()
    assert sorted(line.story) == [
        ("lost", "one", COLLISION),
        ("lost", "two", COLLISION),
        ("received", "strong", ""),
    ]


def test_each_receiver_is_judged_by_its_own_levels() -> None:
    # a and b at both ends of a line: each receiver hears the near one 20 log10(900/100) = 19 dB
    # stronger
    line = Line()
    left = line.channel.add("left", (100_000.0, 0.0))
    right = line.channel.add("right", (100_900.0, 0.0))
    near_left = line.channel.add("near left", (100_100.0, 0.0))
    near_right = line.channel.add("near right", (100_800.0, 0.0))
    heard: dict[str, list[str]] = {"near left": [], "near right": []}
    for radio in (near_left, near_right):
        radio.listen()
        radio.received = lambda reception, name=radio.name: heard[name].append(reception.sender)
    left.send(bytes(20))
    right.send(bytes(20))
    line.timeline.run()
    assert heard == {"near left": ["left"], "near right": ["right"]}


def test_a_collision_reaches_the_receiver_as_a_damaged_frame() -> None:
    line = Line()
    good: list[Reception] = []
    bad: list[str] = []
    line.receiver.received = good.append
    line.receiver.damaged = lambda reception: bad.append(reception.sender)
    line.sender("a", -90).send(bytes(20))
    line.sender("b", -91).send(bytes(20))
    line.sender("weak", -122, Settings(spreading_factor=9)).send(bytes(20))
    line.timeline.run()
    assert (good, bad) == ([], ["a", "b"])
    assert line.receiver.counters[COLLISION] == 2
