"""The watchdog: hardware that resets the chip, and a timer that feeds it on credit.

1. `machine.WDT` cannot be stopped. Its timeout is 8 s: an RP2040 allows 8,388 ms at most
   (MicroPython, "class WDT").
2. One step of a node may take longer: it checks several signatures, and a chip takes a second or
   more for each. So a timer feeds the watchdog once a second. It runs between two bytecodes, and
   does not run when the interpreter hangs.
3. Each step of the node gives the timer credit for a minute. A program that makes no step for so
   long is reset.
4. At a prompt, and after a soft reset into it, the credit is unlimited: boot.py starts the timer
   again.

An RP2 that sleeps by config.json's "sleep_s" has no watchdog: its timers stop in a light sleep, and
the watchdog of an RP2040 does not.
"""

import json
import sys

from ..compat import const
from ..limits import STEP_S_MAX

WDT_MS = 8000
_PERIOD_MS = const(1000)
# an ESP32-C3 has the timers 0 and 1; programs use 0 first. An RP2 has timers in software
_TIMER_ESP32 = const(1)
_TIMER_RP2 = const(-1)

# the one watchdog of the chip, or None
current = None


class Watchdog:
    """A running watchdog. machine: the module; platform: `sys.platform`.

    credit: how often the timer still feeds it; None: without end.
    """

    def __init__(self, machine, platform):
        self.credit = None
        self._wdt = machine.WDT(timeout=WDT_MS)
        self._timer = machine.Timer(_TIMER_RP2 if platform == "rp2" else _TIMER_ESP32)
        self._timer.init(period=_PERIOD_MS, mode=machine.Timer.PERIODIC, callback=self._tick)

    def _tick(self, timer):
        # no allocation: this may run anywhere
        if self.credit is not None:
            if self.credit <= 0:
                return
            self.credit -= 1
        self._wdt.feed()

    def renew(self):
        """The program is alive: feed, and allow the timer to do so for STEP_S_MAX."""
        self.credit = STEP_S_MAX
        self._wdt.feed()

    def release(self):
        """Feed without end: a person is at the prompt."""
        self.credit = None
        self._wdt.feed()


def is_for(platform, config):
    """Whether a chip with this config.json (a dict, or None) gets a watchdog."""
    return platform != "rp2" or not (config or {}).get("sleep_s")


def start():
    """Start the chip's watchdog once; the `Watchdog`, or None where there is none."""
    global current
    import machine

    if current is None and hasattr(machine, "WDT") and is_for(sys.platform, _config()):
        current = Watchdog(machine, sys.platform)
    return current


def _config():
    # config.json, or None: what is wrong with it is the agent's to say
    try:
        with open("/node/config.json") as handle:
            config = json.load(handle)
    except (OSError, ValueError, RuntimeError):
        return None
    return config if isinstance(config, dict) else None
