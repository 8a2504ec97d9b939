"""The drivers of LoRa modems on real ports: ptys with emulated modems, in real time.

One end runs here, on CPython; the other is a process on MicroPython or CPython.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import build_mpy
import pytest
from modem_rig import channel
from radio.scene import Scene

from writ.compat import Clock
from writ.link.links import open_link

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
MICROPYTHON = build_mpy.find_micropython()
ECHO = Path(__file__).with_name("echo_modem.py")
PROMPT_S = 60
FRAMES = [bytes([13, 10, 0, 255, 44, 58]), bytes(range(150)), b"\0" * 30]

CHANNELS = {
    "rylr998": channel(modem="rylr998"),
    "rak3172": channel(modem="rak3172"),
    # the registers of the factory: Writ sets them by pins, and a pty has none
    "e22": channel(
        modem="e22",
        frequency_khz=868125,
        spreading_factor=11,
        bandwidth_khz=500,
        power_dbm=22,
    ),
}


class Here:
    """A link in this process, served while something is awaited."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.link = open_link(config)
        self._clock = Clock()
        self.frames: list[bytes] = []

    def now_ms(self) -> int:
        """The link's time."""
        return self._clock.now_ms()

    def until(self, is_done: Callable[[], Any], what: str) -> None:
        """Serve the link until something is the case."""
        end_s = time.monotonic() + PROMPT_S
        while not is_done():
            assert time.monotonic() < end_s, f"{what}: {self.link.error}, {self.link.counters}"
            found = self.link.receive(self._clock.now_ms())
            if found:
                self.frames.append(found[0])
            else:
                time.sleep(0.002)

    def send(self, frame: bytes) -> None:
        """Send a frame as soon as the link takes it."""
        self.until(lambda: self.link.send(frame, self._clock.now_ms()), "a frame is taken")

    def exchange(self, frame: bytes) -> None:
        """Send a frame until the other end has answered it; LoRa may lose any."""
        self.frames.clear()
        answer = bytes(reversed(frame))
        for _ in range(5):
            self.send(frame)
            end_s = time.monotonic() + 4
            self.until(
                lambda: answer in self.frames or time.monotonic() > end_s,  # noqa: B023
                "an answer",
            )
            if answer in self.frames:
                return
        raise AssertionError(f"no answer: {self.link.error}, {self.link.counters}")


@pytest.fixture(params=CHANNELS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Scene, str]]:
    """Two modems of a kind in one room, at ports a and b of `tmp_path`."""
    kind = str(request.param)
    nodes = [
        {"name": name, "modem": kind, "port": name, "position": [x, 0.0]}
        for name, x in (("a", 0.0), ("b", 50.0))
    ]
    with Scene.parse({"shadowing": False, "node": nodes}, tmp_path) as made:
        yield made, kind


@pytest.mark.parametrize("interpreter", ["micropython", "cpython"])
def test_frames_cross_and_a_replugged_modem_works_again(
    scene: tuple[Scene, str], interpreter: str, tmp_path: Path
) -> None:
    air, kind = scene
    program = sys.executable if interpreter == "cpython" else MICROPYTHON
    if program is None:
        pytest.skip("no micropython here")
    config = CHANNELS[kind]
    firmware = str(build_mpy.FIRMWARE)
    with subprocess.Popen(
        [program, str(ECHO), json.dumps({**config, "port": str(tmp_path / "b")})],
        env={
            "MICROPYPATH": f"{firmware}:.frozen",
            "PYTHONPATH": firmware,
            "PYTHONUNBUFFERED": "1",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as there:
        assert there.stdin and there.stdout
        assert there.stdout.readline() == "ready\n"
        here = Here({**config, "port": str(tmp_path / "a")})
        here.until(lambda: here.link.error is None, "the modem is set up")
        for frame in FRAMES:
            here.exchange(frame)
        if kind != "e22":
            # an E22 sleeps by its pins, which a pty does not have
            here.until(lambda: here.link.sleep(here.now_ms()), "the modem sleeps")
            assert air.nodes["a"].modem.radio.state == "sleeping"
            here.link.wake(here.now_ms())
            here.exchange(b"awake")
        for name in ("a", "b"):
            air.call(lambda: air.unplug(name))  # noqa: B023
            here.until(lambda: here.link.error or name == "b", "the loss is noticed")  # noqa: B023
            air.call(lambda: air.plug(name))  # noqa: B023
            here.until(lambda: here.link.error is None, "the modem is set up again")
            here.exchange(b"again " + name.encode())
        assert here.link.counters["Reopened"] == 1
        there.stdin.close()
        counters = json.loads(there.stdout.readline())
        assert counters["Reopened"] == 1 and "BadLine" not in counters
        here.link.close()
