"""States of a radio, activity detection, cut links, added loss, airtime, and the seed."""

from collections.abc import Callable

import pytest
from radio.channel import Channel
from radio.outcome import ADDED_LOSS, ASLEEP, HALF_DUPLEX, RETUNED, Reception, Usage
from radio.pathloss import MODELS
from radio.phy import Settings, airtime_us
from radio.timeline import Timeline
from radio.transceiver import LISTENING, SENDING, SLEEPING, Busy, Radio
from radio_rig import Line

FRAME_US, FREE_US = 56_576, 3_072
SLOW = Settings(spreading_factor=12)


def heard_after(change_at_us: int, change: Callable[[Radio], object]) -> list[tuple[str, str, str]]:
    """The story of a frame at time 0 when the receiver does something at a time."""
    line = Line()
    line.sender("a", -90).send(bytes(20))
    line.timeline.at(change_at_us, change, line.receiver)
    line.timeline.run()
    return line.story


def test_levels_are_of_the_link() -> None:
    line = Line()
    found: list[Reception] = []
    line.receiver.received = found.append
    line.sender("a", -97.5).send(b"hello")
    line.timeline.run()
    # noise at 125 kHz: -174 + 10 log10(125000) + 6 = -117.03 dBm
    assert found[0].sender == "a" and found[0].payload == b"hello"
    assert found[0].rssi_dbm == pytest.approx(-97.5)
    assert found[0].snr_db == pytest.approx(19.53, abs=0.005)


def test_sensitivity_is_the_limit() -> None:
    line = Line()
    line.sender("weak", -123.01).send(b"x")
    line.timeline.run()
    line.sender("enough", -122.99).send(b"x")
    line.timeline.run()
    assert line.story == [("lost", "weak", "too weak"), ("received", "enough", "")]


def test_half_duplex() -> None:
    # a frame of 1 byte takes 25.856 ms
    assert airtime_us(Settings(), 1) == 25_856
    lost = [("lost", "a", HALF_DUPLEX)]
    assert heard_after(20_000, lambda radio: radio.send(b"x")) == lost
    assert heard_after(FRAME_US - 1, lambda radio: radio.send(b"x")) == lost
    assert heard_after(FRAME_US, lambda radio: radio.send(b"x")) == [("received", "a", "")]


def test_a_frame_that_begins_at_the_end_of_another_does_no_harm() -> None:
    # whichever of two callbacks at one time comes first
    for name in ("receiver", "b"):
        line = Line()
        sender = line.sender("a", -90)
        line.sender("b", -90)
        line.timeline.at(FRAME_US, line.channel.radios[name].send, bytes(20))
        sender.send(bytes(20))
        line.timeline.run()
        assert line.story[0] == ("received", "a", "")


def test_a_transmission_that_ends_in_the_first_symbols_does_no_harm() -> None:
    for delay_us, expected in (
        (25_856 - FREE_US, ("received", "a", "")),
        (25_856 - FREE_US - 1, ("lost", "a", HALF_DUPLEX)),
    ):
        line = Line()
        line.receiver.send(b"x")
        line.timeline.at(delay_us, line.sender("a", -90).send, bytes(20))
        line.timeline.run()
        assert line.story == [expected]


def test_a_receiver_must_listen_from_the_last_symbols_of_the_preamble_on() -> None:
    def wake(radio: Radio) -> None:
        radio.sleep()
        radio.listen()

    assert heard_after(FREE_US, wake) == [("received", "a", "")]
    assert heard_after(FREE_US + 1, wake) == [("lost", "a", ASLEEP)]
    assert heard_after(FRAME_US - 1, Radio.sleep) == [("lost", "a", ASLEEP)]


def test_other_settings_end_a_reception() -> None:
    def retune(radio: Radio) -> None:
        radio.listen(SLOW)
        radio.listen(Settings())

    assert heard_after(FREE_US, retune) == [("received", "a", "")]
    assert heard_after(FREE_US + 1, retune) == [("lost", "a", RETUNED)]
    # a receiver with other settings is not addressed at all
    assert heard_after(20_000, lambda radio: radio.listen(SLOW)) == []
    # the same settings again change nothing
    assert heard_after(20_000, lambda radio: radio.listen(Settings())) == [("received", "a", "")]


def test_a_radio_returns_to_the_state_of_before() -> None:
    line = Line()
    radio = line.sender("a", -90)
    assert radio.state == SLEEPING
    radio.send(b"x")
    assert radio.state == SENDING
    with pytest.raises(Busy):
        radio.send(b"y")
    line.timeline.run()
    assert radio.state == SLEEPING
    radio.listen()
    radio.send(b"x")
    line.timeline.run()
    assert radio.state == LISTENING
    radio.send(b"x")
    radio.sleep()
    assert radio.state == SENDING
    line.timeline.run()
    assert radio.state == SLEEPING


def test_done_comes_before_the_frame_is_received() -> None:
    line = Line()
    order: list[str] = []
    line.receiver.received = lambda reception: order.append("received")
    line.sender("a", -90).send(b"x", lambda: order.append("done"))
    line.timeline.run()
    assert order == ["done", "received"]


def test_activity_is_detected_after_two_symbols() -> None:
    line = Line()
    sender = line.sender("a", -90)
    assert not line.receiver.is_channel_active()
    sender.send(bytes(20))
    line.timeline.advance(2 * 1_024 - 1)
    assert not line.receiver.is_channel_active()
    line.timeline.advance(2 * 1_024)
    assert line.receiver.is_channel_active()
    # the sender does not hear itself; the signal is on other settings for this one
    other = line.channel.add("b", (1.0, 0.0), SLOW)
    assert not sender.is_channel_active() and not other.is_channel_active()
    line.timeline.advance(FRAME_US - 1)
    assert line.receiver.is_channel_active()
    line.timeline.advance(FRAME_US)
    assert not line.receiver.is_channel_active()


def test_activity_below_the_sensitivity_is_missed() -> None:
    line = Line()
    line.sender("a", -124).send(bytes(20))
    line.timeline.advance(20_000)
    assert not line.receiver.is_channel_active()


def test_rssi_is_the_strongest_signal_or_the_noise() -> None:
    line = Line()
    assert line.receiver.rssi_dbm() == pytest.approx(-117.03, abs=0.005)
    line.sender("a", -90).send(bytes(20))
    line.sender("b", -80, Settings(spreading_factor=9)).send(bytes(20))
    assert line.receiver.rssi_dbm() == pytest.approx(-80)
    line.timeline.run()
    assert line.receiver.rssi_dbm() == pytest.approx(-117.03, abs=0.005)


def test_a_link_is_cut_and_mended() -> None:
    line = Line()
    sender, other = line.sender("a", -90), line.sender("b", -90)
    line.channel.cut("a", "receiver")
    sender.send(bytes(20))
    # no disturbance either
    other.send(bytes(20))
    line.timeline.run()
    assert line.story == [("received", "b", "")]
    line.channel.mend("receiver", "a")
    sender.send(bytes(20))
    line.timeline.run()
    assert line.story[1:] == [("received", "a", "")]
    with pytest.raises(ValueError, match="no radio moon"):
        line.channel.cut("a", "moon")


def test_a_radio_moves() -> None:
    line = Line()
    sender = line.sender("a", -90)
    sender.send(b"x")
    line.timeline.run()
    line.channel.move("a", (10_000_000.0, 0.0))
    sender.send(b"x")
    line.timeline.run()
    assert line.story == [("received", "a", ""), ("lost", "a", "too weak")]


def test_a_radio_that_is_added_later_is_a_neighbour() -> None:
    line = Line()
    line.sender("a", -90).send(b"x")
    line.timeline.run()
    late = line.sender("late", -95)
    late.send(b"x")
    line.timeline.run()
    late.listen()
    line.channel.radios["a"].send(b"x")
    line.timeline.run()
    assert late.counters["received"] == 1
    assert line.story[-2:] == [("received", "late", ""), ("received", "a", "")]
    with pytest.raises(ValueError, match="late already"):
        line.channel.add("late")


def test_more_power_reaches_further() -> None:
    line = Line()
    sender = line.sender("a", -124)
    sender.send(b"x")
    line.timeline.run()
    sender.send(b"x", settings=Settings(power_dbm=22))
    line.timeline.run()
    assert line.story == [("lost", "a", "too weak"), ("received", "a", "")]


def test_the_audience_is_who_can_hear_at_all() -> None:
    line = Line()
    near, far = line.sender("near", -80), line.sender("far", -122.99)
    out = line.sender("out", -123.01)
    audience = line.channel.audience
    assert audience(line.receiver) == [near, far]
    assert audience(line.receiver, SLOW) == [near, far, out]
    line.channel.cut("near", "receiver")
    line.channel.move("out", (1.0, 1.0))
    assert audience(line.receiver) == [out, far]


def losses(seed: int, share: float) -> list[bool]:
    line = Line(seed=seed)
    line.channel.loss = share
    sender = line.sender("a", -90)
    for _ in range(400):
        sender.send(b"x")
        line.timeline.run()
    assert {reason for _, _, reason in line.story} <= {"", ADDED_LOSS}
    return [what == "lost" for what, _, _ in line.story]


def test_added_loss_is_a_share_and_of_the_seed() -> None:
    found = losses(1, 0.2)
    # the standard deviation is 8
    assert 50 < sum(found) < 110
    assert losses(1, 0.2) == found != losses(2, 0.2)
    assert not any(losses(1, 0.0)) and all(losses(1, 1.0))
    # what a lower share takes, a higher one takes too
    assert all(more >= less for less, more in zip(found, losses(1, 0.5), strict=True))


def test_usage_adds_up() -> None:
    line = Line()
    line.timeline.advance(1_000)
    line.receiver.send(bytes(20))
    line.timeline.advance(100_000)
    line.receiver.send(bytes(20), settings=Settings(power_dbm=20))
    line.timeline.advance(200_000)
    line.receiver.sleep()
    line.timeline.advance(300_000)
    assert line.receiver.usage() == Usage(
        sleeping_us=100_000,
        listening_us=200_000 - 2 * FRAME_US,
        sending_us={14: FRAME_US, 20: FRAME_US},
    )


def test_airtime_of_the_last_hour() -> None:
    line = Line()
    sender = line.sender("a", -90)
    hour_us = 3_600_000_000
    for at_us in (0, hour_us // 2, hour_us // 2 + 100_000):
        line.timeline.at(at_us, sender.send, bytes(20))
    line.timeline.advance(hour_us)
    assert sender.airtime_last_hour_us() == 3 * FRAME_US
    line.timeline.advance(hour_us + FRAME_US)
    assert sender.airtime_last_hour_us() == 2 * FRAME_US
    line.timeline.advance(2 * hour_us)
    assert sender.airtime_last_hour_us() == 0


def field(seed: int, names: list[str]) -> dict[str, dict[str, int]]:
    """The counters of a crowded field in which each radio sends ten times."""
    timeline = Timeline()
    channel = Channel(timeline, MODELS["oulu"], seed)
    channel.loss = 0.1
    for name in names:
        index = int(name[1:])
        channel.add(name, (700.0 * (index % 5), 700.0 * (index // 5))).listen()
    for name in sorted(names):
        index = int(name[1:])
        for turn in range(10):
            at_us = 1_000_000 * turn + (index * 7919) % 997 * 1000
            timeline.at(at_us, channel.radios[name].send, bytes(20))
    timeline.run()
    return {name: dict(channel.radios[name].counters) for name in sorted(names)}


def test_a_seed_gives_the_same_outcomes_whatever_the_order() -> None:
    names = [f"n{i}" for i in range(25)]
    found = field(5, names)
    assert sum(count.get("received", 0) for count in found.values()) > 500
    assert all(reason in str(found) for reason in ("collision", "half duplex", "added loss"))
    assert field(5, names) == field(5, names[::-1]) == found
    assert field(6, names) != found
