"""A LoRa modem with AT commands as a frame link: lines, commands and their answers, time-outs.

Rules:
1. A modem is set up by a list of commands, one at a time. Any missing answer or refusal begins the
   list again after a pause, which doubles up to half a minute. Late answers come in the pause.
2. What a modem says after a reset begins the list again, as does a port that was opened again. That
   line may be lost, so a modem from which nothing was heard for a minute is asked for its settings.
3. One frame is under way at a time. It is sent again only if the modem says that it did not send
   it; without an answer it counts as sent, since its airtime may be spent.
4. Lines that are no answer and no frame are ignored: an echo, a banner, noise. So are those within
   the payload of a frame, which a stranger's radio may have written.
5. A modem that was put to sleep counts as asleep, whatever it answers. One whose answer is missing
   when it is woken is set up again.

A driver (rylr998.py, rak3172.py) gives the commands and reads the lines.
"""

from ..compat import const
from ..errors import UsageError
from ..limits import MODEM_LINE_BYTES_MAX, MODEM_TRIES_MAX, SERIAL_CHUNKS
from .lora import LORA, Settings, channel_pause_ms
from .port import Port
from .splitter import Splitter

# What a line means, as `read_line` of a driver returns it; or a frame as (bytes, SNR)
OK = 1
REFUSED = 2
BUSY = 3  # the frame was not sent: the channel or the modem is busy
SENT = 4
RESET = 5

# An answer to a command, the time on the serial line included
_ANSWER_MS = const(1500)
# Before the next set-up: the first pause, and the longest
_PAUSE_MS = const(250)
_PAUSE_LONGEST_MS = const(30000)
# From the computed end of a frame to that at a modem that does not report it
_TAIL_MS = const(10)
# A modem that has said nothing for so long is asked for its settings
_QUIET_MS = const(60000)

# States
_CLOSED = const(0)  # no port
_PAUSED = const(1)  # before the set-up
_SETTING_UP = const(2)
_ASLEEP = const(3)
_READY = const(4)
_SENDING = const(5)  # the commands of a frame
_ON_AIR = const(6)
_HOLDING = const(7)  # a frame that is tried again
_REARMING = const(8)  # the commands after a frame, of a check, or of waking
_DOZING = const(9)  # the commands that put it to sleep


class AtModem:
    """A frame link. config: its entry of "links" in config.json; port: in the place of `Port`.

    counters: "BadFrame" (damaged, or not one of ours), "BadLine" (too long), "NoAnswer", "Refused"
    (by the modem), "ChannelBusy" (a frame dropped after limits.MODEM_TRIES_MAX tries), "FrameLost"
    (by a reset, or without an answer), "Reset" (of the modem), "Reopened" (the port).
    """

    kind = LORA
    mtu = 0

    def __init__(self, config, port=None):
        self.settings = Settings(config)
        self.duty_cycle_permille = self.settings.duty_cycle_permille
        self._port = port or Port(config)
        self.counters = self._port.counters
        self._lines = Splitter(b"\n", MODEM_LINE_BYTES_MAX, lambda: self._count("BadLine"))
        self._state = _CLOSED
        self._inside = 0  # bytes of a received payload, with line feeds, that are still to come
        self._commands = []  # the first one is under way
        self._due_ms = None  # when the state ends unless something comes first; None: never
        self._pause_ms = _PAUSE_MS
        self._frame = None  # the frame that is being sent
        self._tries = 0
        self._sent_ms = 0
        self._refusal = None  # the last command that the modem has refused, as text

    # What a driver gives

    def set_up(self):
        """The commands (bytes, without the end of line) that make the modem ready."""
        raise UsageError("a driver gives these")

    def sending(self, frame):
        """The commands that send a frame. The frame is under way after the last one."""
        raise UsageError("a driver gives these")

    def read_line(self, line):
        """What a line (bytes) means: see above; None for nothing."""
        raise UsageError("a driver reads these")

    def missing(self, line):
        """How many bytes of a received payload come after this line; -1: it begins no frame."""
        return -1

    def after_frame(self):
        """The commands after a frame, sent or not."""
        return []

    def check(self):
        """The questions to a quiet modem: OK if the answer is right, RESET if it is not."""
        return []

    def dozing(self):
        """The commands that stop its reception. It answers the last one before it sleeps."""
        raise UsageError("a driver gives these")

    def waking(self):
        """The commands that make a sleeping modem receive again."""
        raise UsageError("a driver gives these")

    def is_optional(self, command):
        """Whether the set-up goes on if the modem refuses this command."""
        return False

    # The interface of a frame link

    @property
    def handle(self):
        """What select.poll can wait for; None while the port is closed. It may change."""
        return self._port.handle

    @property
    def error(self):
        """Why the link is not ready, as text; None if it is."""
        if self._state >= _READY:
            return None
        if self._state == _ASLEEP:
            return "the modem sleeps"
        return self._port.error or self._refusal or "the modem is being set up"

    def receive(self, now_ms):
        """(frame, SNR in dB) or None. Never waits."""
        for _ in range(SERIAL_CHUNKS):
            if not self._lines.has_rest():
                data = self._port.read(now_ms)
                self._lines.feed(data)
                self._follow_port(now_ms)
                if not data:
                    break
            frame = self._next_frame(now_ms)
            if frame:
                # the answer that is due may be behind it
                return frame
        if self._due_ms is not None and now_ms >= self._due_ms:
            self._go_on(now_ms)
        return None

    def send(self, frame, now_ms):
        """Send a frame (bytes). False if the modem is not ready or sends another one.

        A frame may be lost later: the channel may stay busy. Raises `UsageError` unless the frame
        has 1 to `mtu` bytes.
        """
        if not 0 < len(frame) <= self.mtu:
            raise UsageError("a frame of %d bytes" % len(frame))
        if self._state != _READY or not self._port.is_ready():
            return False
        self._frame = frame
        self._tries = 0
        self._try(now_ms)
        return True

    def is_sending(self, now_ms):
        """Whether a frame is under way: it waits for the channel, or is on air."""
        return self._frame is not None

    def sleep(self, now_ms):
        """Stop receiving. False if that takes time: `receive`, and call this again."""
        if self._state == _READY:
            self._commands = self.dozing()
            self._enter(_DOZING, None)
            self._command(now_ms, _ANSWER_MS)
        return self._state in (_ASLEEP, _CLOSED, _PAUSED)

    def wake(self, now_ms):
        """Receive again. Frames are taken when the modem has answered."""
        if self._state in (_ASLEEP, _DOZING):
            self._rearm(now_ms, self.waking())

    def airtime_us(self, length):
        """Microseconds on air of a frame of `length` bytes."""
        return self.settings.airtime_us(length)

    def next_ms(self, now_ms):
        """In how many ms `receive` should be called though `handle` is not readable, or None."""
        if self._lines.has_rest():
            return 0
        soonest = self._port.next_ms(now_ms)
        if self._due_ms is not None:
            left_ms = max(0, self._due_ms - now_ms)
            soonest = left_ms if soonest is None else min(soonest, left_ms)
        return soonest

    def close(self):
        """Close the port."""
        self._port.close()
        self._enter(_CLOSED, None)

    # The state

    def _enter(self, state, due_ms):
        self._state = state
        self._due_ms = due_ms
        if state <= _READY and self._frame is not None:
            self._frame = None
            self._count("FrameLost")

    def _follow_port(self, now_ms):
        change = self._port.take_change()
        if change is None:
            return
        self._lines.drop()
        self._pause_ms = _PAUSE_MS
        if change:
            self._set_up(now_ms)
        else:
            self._enter(_CLOSED, None)

    def _set_up(self, now_ms):
        # a payload that lost bytes on the line has no more by now
        self._inside = 0
        self._commands = self.set_up()
        self._enter(_SETTING_UP, None)
        self._command(now_ms, _ANSWER_MS)

    def _pause(self, now_ms):
        self._enter(_PAUSED, now_ms + self._pause_ms)
        self._pause_ms = min(2 * self._pause_ms, _PAUSE_LONGEST_MS)

    def _command(self, now_ms, answer_ms):
        # a port that takes nothing is as a modem that does not answer
        self._port.write(self._commands[0] + b"\r\n")
        self._due_ms = now_ms + answer_ms

    def _go_on(self, now_ms):
        # the time of a state is over
        if self._state == _PAUSED:
            self._set_up(now_ms)
        elif self._state == _ON_AIR:
            self._finish(now_ms)
        elif self._state == _HOLDING:
            self._try(now_ms)
        elif self._state == _READY:
            self._rearm(now_ms, self.check())
        elif self._state == _DOZING:
            self._count("NoAnswer")
            self._enter(_ASLEEP, None)
        else:
            self._count("NoAnswer")
            self._pause(now_ms)

    def _try(self, now_ms):
        self._tries += 1
        self._commands = self.sending(self._frame)
        self._enter(_SENDING, None)
        self._sent_ms = now_ms
        self._command(now_ms, _ANSWER_MS + self._airtime_ms())

    def _airtime_ms(self):
        return self.airtime_us(len(self._frame)) // 1000 + 1

    def _finish(self, now_ms):
        # the frame is done: sent, or dropped
        self._frame = None
        if not self._rearm(now_ms, self.after_frame()):
            self._enter(_READY, now_ms + _QUIET_MS)

    def _rearm(self, now_ms, commands):
        self._commands = commands
        if commands:
            self._enter(_REARMING, None)
            self._command(now_ms, _ANSWER_MS)
        return commands

    def _take(self, meaning, now_ms):
        if meaning == RESET:
            self._count("Reset")
            self._set_up(now_ms)
        elif meaning == SENT:
            if self._state == _ON_AIR:
                self._finish(now_ms)
        elif self._state not in (_SETTING_UP, _SENDING, _REARMING, _DOZING):
            # a late answer
            pass
        elif meaning == OK:
            self._succeed(now_ms)
        elif self._state == _SENDING and meaning == BUSY:
            self._hold(now_ms)
        elif self._state == _SENDING:
            self._count("Refused")
            self._finish(now_ms)
        elif self._state == _DOZING:
            self._count("Refused")
            self._enter(_ASLEEP, None)
        elif self.is_optional(self._commands[0]):
            self._succeed(now_ms)
        else:
            self._count("Refused")
            self._refusal = "the modem refuses " + self._commands[0].decode()
            self._pause(now_ms)

    def _succeed(self, now_ms):
        self._commands.pop(0)
        if self._commands:
            airtime_ms = self._airtime_ms() if self._state == _SENDING else 0
            self._sent_ms = now_ms
            self._command(now_ms, _ANSWER_MS + airtime_ms)
        elif self._state == _DOZING:
            self._enter(_ASLEEP, None)
        elif self._state == _SENDING:
            self._enter(_ON_AIR, self._air_ends_ms(now_ms))
        elif self._frame is not None:
            self._wait_for_channel(now_ms)
        else:
            self._pause_ms = _PAUSE_MS
            self._refusal = None
            self._enter(_READY, now_ms + _QUIET_MS)

    def _air_ends_ms(self, now_ms):
        # without an event at the end: when the frame must have been sent
        return max(now_ms, self._sent_ms + self._airtime_ms() + _TAIL_MS)

    def _hold(self, now_ms):
        if self._tries >= MODEM_TRIES_MAX:
            self._count("ChannelBusy")
            self._finish(now_ms)
        elif not self._rearm(now_ms, self.after_frame()):
            self._wait_for_channel(now_ms)

    def _wait_for_channel(self, now_ms):
        self._enter(_HOLDING, now_ms + _TAIL_MS + channel_pause_ms(self))

    # Lines

    def _next_frame(self, now_ms):
        # the next frame in what was read, or None if there is no other
        while True:
            length = self._lines.next()
            if length is None:
                return None
            frame = self._take_line(length, now_ms)
            if frame:
                return frame

    def _take_line(self, length, now_ms):
        line = bytes(memoryview(self._lines.buffer)[:length])
        missing = self.missing(line)
        if self._inside > 0:
            self._inside -= length + 1
            if missing < 0:
                return None
        elif missing > 0:
            # the line feed is one of them
            self._inside = missing - 1
        line = line.strip()
        meaning = None
        try:
            meaning = self.read_line(line)
        except ValueError:
            # no number, no base64 or no hex where there should be
            self._count("BadFrame")
        if isinstance(meaning, tuple):
            if 0 < len(meaning[0]) <= self.mtu and -128 <= meaning[1] <= 127:
                if self._state == _READY:
                    self._due_ms = now_ms + _QUIET_MS
                return meaning
            self._count("BadFrame")
        elif meaning is not None:
            self._take(meaning, now_ms)
        return None

    def _count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1
