"""The order of a boot, and the agent's loop with what a board does besides.

1. Reset cause and number of the start go to the log.
2. Three starts in a row that did not run well, or the button held: safe mode, without app.py.
3. The node is loaded, then the app. The loop is `agent.Node.run`; each step renews the watchdog's
   credit and shows the LED.
4. An exception that ends the program is logged with its traceback; the chip is reset after a pause.
   Ctrl-C ends the program and leads to the prompt.
"""

import builtins
import io
import json
import os
import sys
import time

from ..compat import Clock, const, unload
from ..errors import Rejection, UsageError
from ..limits import STARTS_MAX
from . import watchdog
from .bootstate import BootState
from .log import Log

# A start has run well after so long
_WELL_MS = const(60000)
# Waiting lines are written so often, and not more often than the second time if they are many
_FLUSH_MS = const(60000)
_FLUSH_FULL_MS = const(10000)
# A node that is no member prints its request so often; whether it is one is looked up so often
_REQUEST_MS = const(30000)
_LOOK_MS = const(2000)

_CAUSES = (
    ("PWRON_RESET", "power-on"),
    ("HARD_RESET", "reset"),
    ("WDT_RESET", "watchdog"),
    ("DEEPSLEEP_RESET", "deep sleep"),
    ("SOFT_RESET", "soft reset"),
)


def reset_cause(machine):
    """Why the chip has started, as text; "unknown" where the port does not say."""
    if hasattr(machine, "reset_cause"):
        cause = machine.reset_cause()
        for name, text in _CAUSES:
            if getattr(machine, name, None) == cause:
                return text
    return "unknown"


def read_json(path):
    """The object in a JSON file, {} if there is no such file. Raises `ValueError` or `OSError`."""
    folder, _, name = path.rpartition("/")
    if name not in os.listdir(folder or "/"):
        return {}
    with open(path) as handle:
        found = json.load(handle)
    if not isinstance(found, dict):
        raise ValueError("not an object {...}")
    return found


def moment(unix_s):
    """Unix seconds as UTC: "2027-01-15 08:00:00Z"."""
    # MicroPython counts from 2000 on ESP32, and from 1970 on RP2 and unix
    epoch_s = 946684800 if time.gmtime(0)[0] == 2000 else 0
    return "%d-%02d-%02d %02d:%02d:%02dZ" % tuple(time.gmtime(unix_s - epoch_s)[:6])


class Program:
    """The start of a board. machine: MicroPython's module, or its stand-in in a test."""

    def __init__(self, machine):
        self.machine = machine
        self.node = None
        self.led = None
        self._station = None
        self.is_safe = False
        self._print = builtins.print
        self._clock = Clock()
        self._watchdog = watchdog.start()
        self._log = None
        self._state = None
        self._member_line = None  # what was printed last
        self._request = None
        self._led_state = "start"
        self._has_time = False
        self._is_well = False
        # when each of these is due
        self._request_ms = self._look_ms = self._flush_ms = 0
        self._flushed_ms = 0

    # --- the log ------------------------------------------------------------------------------

    def _now_text(self):
        # the log's time: the beacon's if there was one since the start, else seconds since it
        node = self.node
        if node and node.authority.beacon_age_s(node.now_ms) is not None:
            return moment(node.authority.now_s(node.now_ms))
        return "+%d.%d s" % (self._clock.now_ms() // 1000, self._clock.now_ms() // 100 % 10)

    def _print_and_log(self, *values, **how):
        self._print(*values, **how)
        if not how:
            self._log.add(" ".join([str(value) for value in values]))

    def open_log(self):
        """From now on what is printed is logged, too."""
        try:
            self._log = Log("/", self._now_text)
        except OSError as error:
            print("no log: " + str(error))
            return
        builtins.print = self._print_and_log

    def close_log(self):
        """Write what waits, and leave `print` as it was."""
        builtins.print = self._print
        if self._log:
            self._log.flush()
            self._log = None

    # --- the start ----------------------------------------------------------------------------

    def start(self):
        """Decide how to start, and load node and app."""
        cause = reset_cause(self.machine)
        self.open_log()
        self._state = state = BootState("/boot.state")
        is_wake = cause == "deep sleep"
        print("start after %s, %d before it failed" % (cause, state.failed))
        if not is_wake:
            state.begin()
        button = self._find_parts()
        is_held = self._is_held(button)
        self._start_wifi()
        from .boardnode import BoardNode

        self._alive()
        self.node = node = BoardNode.load("/node")
        node.board = self
        self._alive()
        # a button that starts the chip's loader when it is held at the reset is pressed after it
        if is_held or self._is_held(button):
            self._be_safe("the button is held")
        elif state.is_failing():
            self._be_safe("%d starts failed" % STARTS_MAX)
        else:
            print("normal mode")
            self._start_app()

    def _be_safe(self, reason):
        self.is_safe = True
        print("safe mode, app.py is not started: " + reason)

    def _find_parts(self):
        # the LED, switched on, and the button of board.json
        try:
            board = read_json("/board.json")
            button = board.get("button")
            if board.get("led"):
                from .led import Led

                led = board["led"]
                pin = self.machine.Pin(led["pin"], self.machine.Pin.OUT)
                self.led = Led(pin, led.get("active_low", False))
                self.led.show(True)
            if button:
                pull = self.machine.Pin.PULL_DOWN
                is_low = button.get("active_low", False)
                if is_low:
                    pull = self.machine.Pin.PULL_UP
                return self.machine.Pin(button["pin"], self.machine.Pin.IN, pull), is_low
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # a device works without its LED
            print("board.json: " + repr(error))
        return None

    def _start_wifi(self):
        # before the node is loaded: see `wlan.switch_on`
        document = None
        try:
            document = read_json("/wifi.json")
            if document:
                from .wifijson import check_wifi

                check_wifi(document)
                unload("board.wifijson")
        except UsageError as error:
            print(str(error))
            document = None
        except (OSError, ValueError) as error:
            print("wifi.json: " + repr(error))
        if document:
            import network

            from .wlan import Station

            self._station = Station(network, document, self._name())
        elif sys.platform == "esp32":
            import network

            from .wlan import switch_on

            switch_on(network)

    def _name(self):
        try:
            name = read_json("/node/config.json").get("name")
        except (OSError, ValueError):
            # the node says what is wrong
            name = None
        return name if isinstance(name, str) else "writ"

    def _is_held(self, button):
        return button is not None and button[0].value() == (0 if button[1] else 1)

    def _start_app(self):
        if "app.py" in os.listdir("/") or "app.mpy" in os.listdir("/"):
            __import__("app").setup(self.node)

    # --- the loop -----------------------------------------------------------------------------

    def _alive(self):
        if self._watchdog:
            self._watchdog.renew()

    def tick(self, now_ms):
        """Do what is due; the ms until more is."""
        self._alive()
        if self._station:
            self._station.tick(now_ms)
        if now_ms >= self._look_ms:
            self._look_ms = now_ms + _LOOK_MS
            self._look(now_ms)
        if not self._is_well and now_ms >= _WELL_MS:
            self.be_well()
        self._flush_if_due(now_ms)
        wait_ms = 1000
        if self.led:
            wait_ms = min(wait_ms, self.led.tick(self._led_state, now_ms))
        return wait_ms

    def be_well(self):
        """This start has run well: the next one is the first again."""
        self._is_well = True
        self._state.clear()

    def _flush_if_due(self, now_ms):
        log = self._log
        if log and (
            now_ms >= self._flush_ms
            or (log.is_half_full() and now_ms >= self._flushed_ms + _FLUSH_FULL_MS)
        ):
            self._flushed_ms = now_ms
            self._flush_ms = now_ms + _FLUSH_MS
            log.flush()

    def _look(self, now_ms):
        node = self.node
        is_member = node.authority.me is not None
        if is_member:
            self._request = None
            if self._member_line is None:
                from .introduce import member_line

                self._member_line = member_line(node)
                unload("board.introduce")
                self._print(self._member_line)
        elif now_ms >= self._request_ms:
            self._request_ms = now_ms + _REQUEST_MS
            self._member_line = None
            self._introduce()
        if not self._has_time and node.authority.beacon_age_s(now_ms) is not None:
            self._has_time = True
            print("the time is that of the newest beacon")
        self._led_state = self._find_state(is_member, now_ms)

    def _introduce(self):
        if self._request is None:
            from .introduce import request_lines

            try:
                self._request = request_lines(self.node)
            except MemoryError as error:
                self.node.make_room(error)
                return
            finally:
                unload("board.introduce")
                unload("node.statement")
        for line in self._request:
            self._print(line)

    def _find_state(self, is_member, now_ms):
        node = self.node
        if self.is_safe:
            return "safe mode"
        try:
            if not is_member:
                return "no member"
            node.authority.check_member(node.authority.me, now_ms)
        except Rejection:
            return "no member"
        return "member" if self._has_link() else "no link"

    def _has_link(self):
        frames = getattr(self.node, "frames", None)
        works = [link for link in frames.links if not link.error] if frames else []
        if self._station:
            return self._station.wifi.is_up or works != []
        return works != [] or not frames

    def rest(self):
        """Before a sleep: nothing waits in memory, and the LED is off."""
        if self.led:
            self.led.show(False)
        if self._log:
            self._log.flush()

    # --- the end ------------------------------------------------------------------------------

    def fault(self, error):
        """Log what has ended the program, wait, and reset the chip."""
        text = io.StringIO()
        if hasattr(sys, "print_exception"):
            sys.print_exception(error, text)
        else:
            text.write(repr(error))
        pause_s = self._state.pause_s() if self._state else 5
        print("fault: " + text.getvalue() + "reset in %d s" % pause_s)
        self.close_log()
        for _ in range(pause_s):
            self._alive()
            time.sleep(1)
        if hasattr(self.machine, "reset"):
            self.machine.reset()

    def end(self):
        """The program ends, and a prompt follows."""
        self.rest()
        self.close_log()
        if self._watchdog:
            self._watchdog.release()


def run():
    """As `board.run`."""
    import machine

    program = Program(machine)
    try:
        try:
            program.start()
            program.node.run()
        except SystemExit as error:
            # without arguments: a deep sleep where a chip does not reset
            if error.args:
                program.fault(error)
            raise
        except Exception as error:
            # the last resort: no person is near a device in the field to start it again
            program.fault(error)
            raise
    finally:
        program.end()
