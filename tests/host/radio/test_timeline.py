"""The order of callbacks, and that real time gives the outcomes of virtual time."""

import threading

from radio.channel import Channel
from radio.loop import Loop
from radio.outcome import Happening
from radio.pathloss import MODELS
from radio.phy import Settings
from radio.timeline import Timeline
from radio.transceiver import Radio

FAST = Settings(bandwidth_hz=500_000)


def test_callbacks_run_in_order_of_time_and_then_of_scheduling() -> None:
    timeline = Timeline()
    ran: list[tuple[str, int]] = []

    def note(name: str) -> None:
        ran.append((name, timeline.now_us))

    def first() -> None:
        note("first")
        timeline.after(5, note, "inner")
        timeline.at(3, note, "past")

    timeline.at(20, note, "last")
    timeline.at(10, first)
    timeline.at(10, note, "second")
    entry = timeline.at(12, note, "cancelled")
    timeline.cancel(entry)
    timeline.cancel(None)
    assert timeline.next_us() == 10
    timeline.advance(15)
    assert ran == [("first", 10), ("second", 10), ("past", 10), ("inner", 15)]
    assert (timeline.now_us, timeline.next_us()) == (15, 20)
    timeline.run()
    assert ran[-1] == ("last", 20) and timeline.next_us() is None


def story(is_real: bool) -> list[Happening]:
    """A busy field for 400 ms: each radio answers what it receives, and two fall asleep."""
    timeline = Timeline()
    channel = Channel(timeline, MODELS["oulu"], seed=11)
    channel.loss = 0.1
    found: list[Happening] = []
    channel.watch = found.append
    for index in range(8):
        radio = channel.add(f"n{index}", (400.0 * index, 0.0), FAST)
        radio.listen()

        def answer(_: object, radio: Radio = radio, index: int = index) -> None:
            timeline.after(1000 + 700 * index, reply, radio)

        radio.received = answer
        for turn in range(4):
            timeline.at(100_000 * turn + 4_100 * index, reply, radio)
    for index in (2, 5):
        timeline.at(150_000, channel.radios[f"n{index}"].sleep)
    if is_real:
        loop = Loop(timeline)
        loop.run(0.4)
        loop.close()
    else:
        timeline.advance(400_000)
    return [event for event in found if event.time_us <= 400_000]


def reply(radio: Radio) -> None:
    """Send, unless the radio sends already."""
    if radio.state != "sending" and radio.counters["sent"] < 20:
        radio.send(b"reply")


def test_real_time_has_the_outcomes_of_virtual_time() -> None:
    virtual = story(is_real=False)
    assert len(virtual) > 200
    assert {event.reason for event in virtual} >= {"", "collision", "half duplex", "added loss"}
    assert story(is_real=True) == virtual


def test_a_call_from_another_thread_runs_in_the_loop() -> None:
    loop = Loop(Timeline())
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        assert loop.call(threading.get_ident) == thread.ident
        try:
            loop.call(lambda: 1 // 0)
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("the error of a call is raised in the caller")
    finally:
        loop.stop()
        thread.join()
        loop.close()
