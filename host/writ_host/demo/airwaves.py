"""The radio of the demonstration: emulated LoRa modems on a simulated channel, as a process.

The emulator is tools/radio, a program of the source tree: it runs beside the nodes, which drive its
modems by the same commands as real ones.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .loopback import clean_environment
from .process import START_S, Event, Process, Program

# The channel: the fastest settings of the modem, which the USA allow at 902 to 928 MHz (47 CFR
# 15.247: 500 kHz at least, no duty cycle), with a budget of its own: a tenth of an hour.
_CHANNEL: dict[str, Any] = {
    "kind": "lora",
    "modem": "rylr998",
    "frequency_khz": 915000,
    "spreading_factor": 7,
    "bandwidth_khz": 500,
    "coding_rate": 5,
    "power_dbm": 14,
    "duty_cycle_permille": 100,
}
# What a node may send in an hour, ms
BUDGET_MS = 3600 * _CHANNEL["duty_cycle_permille"]
NAME = "radio"
_DISTANCE_M = 300


class Airwaves(Process):
    """Modems in a row, each of which hears those beside it. names: of their nodes, in order."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        names: Sequence[str],
        on_event: Callable[[Process, Event], None] = lambda process, event: None,
    ) -> None:
        tool = ["-m", "writ_host.demo.child", "--run", str(root / "tools/radio"), "run"]
        paths = f"{root / 'host'}:{root / 'firmware'}"
        program = Program(
            [sys.executable, *tool], clean_environment(PYTHONPATH=paths), "LoRa emulator"
        )
        super().__init__(NAME, folder, program, on_event)
        self.names = names

    def start(self) -> None:
        """Plug all modems in. Raises `NoAnswer`."""
        scene = self.folder / "field.toml"
        scene.write_text(_scene(self.names))
        mark = self.mark()
        self.launch(str(scene), "--json")
        for name in self.names:
            self.wait_for("ready", mark, START_S, node=name)

    def link(self, name: str) -> dict[str, Any]:
        """The entry of `links` in config.json for this node's modem."""
        return {**_CHANNEL, "port": str(self.folder / name)}

    def sent(self, name: str, since: int = 0) -> list[dict[str, Any]]:
        """The frames that a node has sent since a mark, as the channel saw them."""
        found = [one.what for one in self.events[since:]]
        return [one for one in found if one["event"] == "sent" and one["from"] == name]

    def airtime_ms(self, name: str, since: int = 0) -> float:
        """How long a node's modem has sent since a mark."""
        return float(sum(one["airtime_ms"] for one in self.sent(name, since)))


def _scene(names: Sequence[str]) -> str:
    far = [
        f'["{one}", "{other}"]' for number, one in enumerate(names) for other in names[number + 2 :]
    ]
    lines = ["seed = 1", "shadowing = false", f"cut = [{', '.join(far)}]"]
    for number, name in enumerate(names):
        lines += ["[[node]]", f'name = "{name}"', 'modem = "rylr998"', f'port = "{name}"']
        lines += [f"position = [{number * _DISTANCE_M}, 0]"]
    return "\n".join(lines) + "\n"
