"""A board on MicroPython's unix port: its file system, its search order, boot.py and main.py.

The unix port has no `machine.WDT`, `Pin`, `Timer`, and no `network`, and here is no radio. A
recording module stands in for the chip, and
for nothing else: it prints each call as a line `chip: ...`.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import build_mpy
from interop_rig import free_port

MICROPYTHON = build_mpy.find_micropython()

# Boards look in the root folder first, where the data folder is, too
BOARD = """
import os
import sys

os.umount("/")
os.mount(os.VfsPosix({root!r}), "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
import chip
sys.modules["machine"] = chip
sys.modules["network"] = chip
try:
    for name in ("boot.py", "main.py"):
        with open("/" + name) as handle:
            exec(handle.read())
finally:
    chip.at_prompt()
"""
CHIP = """
PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET = 1, 2, 3, 4
CAUSE = PWRON_RESET
HELD = ()
wdts, timers = [], []

def say(*what):
    print("chip:", *what)

class Pin:
    IN, OUT, PULL_UP, PULL_DOWN = 0, 1, 2, 3

    def __init__(self, id, mode=-1, pull=-1):
        self.id, self.level = id, 0 if id in HELD else 1

    def value(self, x=None):
        if x is None:
            return self.level
        if x != self.level:
            self.level = x
            say("pin", self.id, x)

class WDT:
    def __init__(self, id=0, timeout=5000):
        say("watchdog", timeout)
        self.feeds = 0
        wdts.append(self)

    def feed(self):
        self.feeds += 1

class Timer:
    PERIODIC = 1

    def __init__(self, id=-1):
        timers.append(self)

    def init(self, *, mode=1, period=-1, callback=None):
        self.callback = callback

STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 0, 1, 3
STAT_CONNECT_FAIL, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = -1, -2, -3
AIR = {}

class WLAN:
    IF_STA = 0

    def __init__(self, interface_id):
        self.state = STAT_IDLE

    def active(self, is_active):
        say("radio", is_active)

    def scan(self):
        return [(ssid.encode(), b"", 1, -50, 3, 0) for ssid in AIR]

    def connect(self, ssid=None, key=None):
        say("connect", ssid)
        if ssid not in AIR:
            self.state = STAT_NO_AP_FOUND
        else:
            self.state = STAT_GOT_IP if AIR[ssid] == key else STAT_WRONG_PASSWORD

    def disconnect(self):
        self.state = STAT_IDLE

    def status(self):
        return self.state

    def isconnected(self):
        return self.state == STAT_GOT_IP

    def ipconfig(self, param=None, *, addr4=None, gw4=None, dhcp4=None):
        return ("192.0.2.7", "255.255.255.0") if param == "addr4" else None

def country(code):
    say("country", code)

def hostname(name):
    say("hostname", name)

def ipconfig(*, dns=None):
    say("dns", dns)

def reset_cause():
    return CAUSE

def reset():
    say("reset")
    raise SystemExit

def at_prompt():
    for wdt, timer in zip(wdts, timers):
        before = wdt.feeds
        for _ in range(1000):
            timer.callback(timer)
        say("fed", wdt.feeds - before, "of 1000, before", before)
"""
APP = """
def setup(node):
    print("app of", node.name)
"""


class Board:
    """A root folder, and the process that runs it. output: all that it has printed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = ""
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()
        build_mpy.build(root / "lib")
        for name in ("boot.py", "main.py"):
            shutil.copy(build_mpy.FIRMWARE / name, root)
        (root / "node").mkdir()
        self.configure(name="soil")
        self.write("app.py", APP)
        self.chip()

    def write(self, name: str, text: str) -> None:
        """Write a file of the board."""
        (self.root / name).write_text(text)

    def read(self, name: str) -> str:
        """A file of the board."""
        return (self.root / name).read_text()

    def configure(self, **config: object) -> None:
        """Write config.json."""
        config.setdefault("listen", f"127.0.0.1:{free_port()}")
        self.write("node/config.json", json.dumps(config))

    def chip(self, **changes: object) -> None:
        """Write the module that stands in for the chip, with other constants."""
        lines = [f"{name} = {value}" for name, value in changes.items()]
        self.write("chip.py", "\n".join([CHIP, *lines, ""]))

    def start(self) -> None:
        """Start the program."""
        script = self.root.parent / "board.py"
        script.write_text(BOARD.format(root=str(self.root)))
        self.output = ""
        self._process = subprocess.Popen(
            [str(MICROPYTHON), "-X", "heapsize=192k", str(script)],
            env={**os.environ, "MICROPYPATH": ""},
            # MicroPython creates files that all users can read
            umask=0o077,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process and self._process.stdout
        for line in self._process.stdout:
            self.output += line

    def wait_for(self, text: str, timeout_s: float = 60) -> str:
        """The line that begins with `text`, once it is printed."""
        waited = threading.Event()
        for _ in range(int(timeout_s * 20)):
            for line in self.output.splitlines():
                if line.startswith(text):
                    return line
            if not self._reader.is_alive():
                break
            waited.wait(0.05)
        raise AssertionError(f"no line {text!r} in:\n{self.output}")

    def wait(self, timeout_s: float = 60) -> str:
        """All output, once the program has ended."""
        assert self._process
        self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        return self.output

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        assert self._process
        self._process.send_signal(signal.SIGINT)

    def cut_power(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._reader.join(10)
