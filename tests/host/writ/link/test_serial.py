"""The serial link on real ttys: ptys between this process and another one, on both interpreters."""

import json
import os
import subprocess
import termios
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random

import build_mpy
import pytest
import serial_rig
from pty_rig import INTERPRETERS, SECONDS, Cable, Near, Noise, build, far, start

from writ.link.serial import SerialLink, pack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, linked for a device."""
    folder = tmp_path_factory.mktemp("serial")
    build(folder)
    return folder


@pytest.fixture(params=INTERPRETERS)
def interpreter(request: pytest.FixtureRequest) -> str:
    """What runs the other end."""
    if request.param == "micropython" and build_mpy.find_micropython() is None:
        pytest.skip("no micropython here")
    return str(request.param)


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    """Two serial ports."""
    made = Cable(tmp_path)
    yield made
    made.close()


def test_frames_cross_between_two_processes(cable: Cable, built: Path, interpreter: str) -> None:
    random = Random(1)
    with far(cable, interpreter, built):
        near = Near(cable)
        near.sync()
        for size in (1, 2, 100, 252, 253, 254, 500, near.link.mtu - 1, near.link.mtu):
            for frame in (random.randbytes(size), bytes(size), b"\xff" * size):
                assert near.call(frame) == frame[::-1]
        assert near.report()["counters"] == {}
        assert near.link.counters == {}


@pytest.mark.parametrize("seed", range(3))
def test_noise_makes_no_frame_and_costs_few(
    cable: Cable, built: Path, interpreter: str, seed: int
) -> None:
    random = Random(seed)
    sent = [random.randbytes(random.randrange(4, 120)) for _ in range(400)]
    with far(cable, interpreter, built):
        near = Near(cable)
        near.sync()
        cable.alter = noise = Noise(seed, sum(map(len, sent)))
        found = []
        for frame in sent:
            found += near.send(frame)
        found += near.sync()
        assert noise.count > 50
        # only what was sent, and in that order
        places = iter([frame[::-1] for frame in sent])
        assert all(frame in places for frame in found)
        assert len(found) > len(sent) // 2
        assert near.report()["counters"]["BadFrame"] > 10
        assert near.link.counters["BadFrame"] > 10


def test_the_other_end_is_unplugged_and_plugged_in_again(
    cable: Cable, built: Path, interpreter: str
) -> None:
    with far(cable, interpreter, built):
        near = Near(cable)
        for count in (1, 2):
            near.sync()
            # in the middle of a frame
            cable.alter = lambda end, data: data[:9] if end == 0 else data
            near.send(bytes(300))
            cable.unplug(1)
            near.send(b"lost")
            cable.alter = lambda end, data: data
            cable.plug(1)
            near.sync()
            assert near.report()["counters"]["Reopened"] == count
        assert near.link.counters == {}


def test_the_own_end_is_unplugged_and_plugged_in_again(cable: Cable, built: Path) -> None:
    with far(cable, "cpython", built):
        near = Near(cable)
        near.sync()
        handle = near.link.handle
        cable.unplug(0)
        list(near.frames(lambda: near.link.handle is None))
        assert near.link.error and not near.link.send(b"no", near.clock.now_ms())
        # the path is missing at the next try, and there at the one after it
        list(near.frames(lambda: "No such file" in str(near.link.error)))
        cable.plug(0)
        assert near.sync() == []
        assert near.link.counters == {"Reopened": 1} and near.link.error is None
        assert near.link.handle is not handle


def test_a_port_that_is_missing_at_the_start_is_used_later(
    cable: Cable, built: Path, interpreter: str
) -> None:
    cable.unplug(1)
    with far(cable, interpreter, built):
        near = Near(cable)
        cable.plug(1)
        near.sync()
        assert near.report()["counters"] == {}


def test_a_flood_of_garbage_holds_no_memory(cable: Cable, built: Path, interpreter: str) -> None:
    random = Random(5)
    with far(cable, interpreter, built):
        near = Near(cable)
        near.sync()
        cable.inject(1, random.randbytes(50_000) + b"\x07" * 50_000)
        near.sync()
        before = near.report()
        cable.inject(1, random.randbytes(500_000) + b"\x07" * 500_000)
        assert near.sync() == []
        after = near.report()
        assert after["used"] == before["used"]
        counters = after["counters"]
        assert counters["BadFrame"] > 1000 and counters["TooLarge"] >= 2


def test_ten_thousand_frames_hold_no_memory(cable: Cable, built: Path, interpreter: str) -> None:
    frames = [b"a reading \0 %4d" % number for number in range(100)]
    stream = b"".join(pack(frame) for frame in frames)
    with far(cable, interpreter, built):
        near = Near(cable)
        near.sync()
        for count in (1, 100):
            for _ in range(count):
                cable.inject(1, stream)
                found = []
                for frame in near.frames(lambda found=found: len(found) == len(frames)):
                    found.append(frame[::-1])
                assert found == frames
            if count == 1:
                before = near.report()["used"]
        assert near.report()["used"] == before


def test_frames_and_garbage_hold_no_memory_here() -> None:
    link, memory = serial_rig.link()
    random = Random(6)
    line = pack(bytes(range(200)))
    tracemalloc.start()
    try:
        used = []
        for count in (100, 5000):
            for _ in range(count):
                memory.chunks += [random.randbytes(256), b"\x07" * 256, line]
                assert serial_rig.received(link) == [bytes(range(200))]
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # the counters may have grown into larger integers
    assert used[1] - used[0] < 500


def test_a_line_that_takes_no_more_does_not_hold_the_sender_up(
    cable: Cable, built: Path, interpreter: str
) -> None:
    cable.hold(1)
    process = start(cable, interpreter, built, "flood")
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0 and int(output) > 0


def test_a_frame_that_the_line_took_in_parts_arrives_whole(cable: Cable) -> None:
    near, other = Near(cable), SerialLink({"port": str(cable.paths[1])})
    other.receive(0)
    cable.hold(1)
    frame = Random(7).randbytes(other.mtu)
    count = 0
    while other.send(frame, 0):
        count += 1
    # what did not fit is flushed by `receive`, in a few ms each
    assert 0 < (other.next_ms(0) or 0) < 100
    cable.release(1)
    found: list[bytes] = []
    for each in near.frames(lambda: len(found) == count or bool(other.receive(0)), wait_ms=5):
        found.append(each)
    assert found == [frame] * count
    for link in (near.link, other):
        assert link.counters == {}
    other.close()


@pytest.mark.parametrize("baud", [9600, 115200, 921600])
def test_the_tty_has_its_baud_rate_and_is_raw(
    cable: Cable, built: Path, interpreter: str, baud: int
) -> None:
    cooked = termios.tcgetattr(cable.slaves[1])
    cooked[0] |= termios.ICRNL | termios.IXON
    cooked[1] |= termios.OPOST
    cooked[3] |= termios.ECHO | termios.ICANON | termios.ISIG
    termios.tcsetattr(cable.slaves[1], termios.TCSANOW, cooked)
    with far(cable, interpreter, built, baud=baud):
        near = Near(cable, baud=baud)
        near.sync()
        frame = bytes(range(256))
        assert near.call(frame) == frame[::-1]
        for slave in cable.slaves:
            iflag, oflag, cflag, lflag, ispeed, ospeed, _ = termios.tcgetattr(slave)
            assert ispeed == ospeed == getattr(termios, f"B{baud}")
            assert not iflag & (termios.ICRNL | termios.IXON) and not oflag & termios.OPOST
            assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
            assert cflag & termios.CSIZE == termios.CS8 and not cflag & termios.PARENB


def test_a_baud_rate_that_micropython_does_not_know_is_named(cable: Cable) -> None:
    found = build_mpy.find_micropython()
    if found is None:
        pytest.skip("no micropython here")
    code = "from writ.link.serial import SerialLink\n"
    code += f"one = SerialLink({{'port': {str(cable.paths[0])!r}, 'baud': 1234}})\n"
    code += "print(one.receive(0), one.handle, one.error)\n"
    done = subprocess.run(
        [found, "-c", code],
        env={"MICROPYPATH": f"{build_mpy.FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("None None") and "1234" in done.stdout, done.stdout + done.stderr


def test_a_port_in_use_is_taken_when_it_is_free(cable: Cable) -> None:
    config = {"port": str(cable.paths[0])}
    first, second = SerialLink(config), SerialLink(config)
    first.receive(0)
    second.receive(0)
    assert second.handle is None and "lock" in second.error
    assert not second.send(b"frame", 0)
    first.close()
    second.receive(1000)
    assert second.handle is not None and second.error is None
    second.close()


def test_a_file_that_is_no_tty_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pack(b"frame"))
    link = SerialLink({"port": str(tmp_path / "file")})
    assert link.receive(0) is None and link.handle is None and link.error
    assert (tmp_path / "file").read_bytes() == pack(b"frame")


def test_no_file_stays_open(cable: Cable) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        link = SerialLink({"port": str(cable.paths[0])})
        link.receive(0)
        assert link.handle is not None
        link.close()
    link = SerialLink({"port": json.dumps("missing")})
    link.receive(0)
    assert len(os.listdir("/proc/self/fd")) == before
