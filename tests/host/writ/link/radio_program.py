"""The link of an SPI radio with micropython-lib's package `lora` on a model of the chip.

A program for MicroPython: arguments are the modem and the name of a function below. Run by
test_lora_package.py.
"""

import sys

import machine
from sx1262_rig import Sx1262
from sx1276_rig import Pin, Sx1276

from writ.link.links import open_link

MODEM = sys.argv[1]
FRAME = bytes(range(255))
# the longest airtime of these settings, and the pause of a closed radio
LONG_MS = 20000
RETRY_MS = 1000

chip = Sx1276() if MODEM == "sx1276" else Sx1262()
antenna_levels = []


class BoardPin(Pin):
    """The pins of the chip, by the numbers of the entry."""

    def __new__(cls, number):
        if number == 8:
            return Pin(watch=antenna_levels.append)
        return {5: chip.cs, 6: getattr(chip, "busy", None), 7: chip.interrupt}[number]


class Machine:
    """In the place of the module `machine`."""

    Pin = BoardPin
    idle = machine.idle
    SPI = staticmethod(lambda number, baudrate: chip)


sys.modules["machine"] = Machine


class Air:
    """The link, in time that does not pass by itself."""

    def __init__(self, **other):
        entry = {"kind": "lora", "modem": MODEM, "spi": 1, "cs": 5, "busy": 6}
        entry.update({"frequency_khz": 868100, "spreading_factor": 12, "bandwidth_khz": 125})
        entry.update({"coding_rate": 6, "power_dbm": 14})
        entry.update(other)
        self.link = open_link(entry)
        self.now_ms = 1000
        assert self.run(0) == [] and self.link.error is None, self.link.error
        assert chip.is_receiving()

    def run(self, for_ms, until=None):
        """Frames of that time; it ends sooner when `until()` is true."""
        frames = []
        end_ms = self.now_ms + for_ms
        while not (until and until()):
            found = self.link.receive(self.now_ms)
            if found:
                frames.append(found)
            wait_ms = self.link.next_ms(self.now_ms)
            if found:
                continue
            assert wait_ms, "the link never rests"
            if self.now_ms + wait_ms > end_ms:
                self.now_ms = end_ms
                return frames
            self.now_ms += wait_ms
        return frames

    def send(self, frame, is_active=False):
        """Give it a frame, and end the detection."""
        assert self.link.send(frame, self.now_ms), self.link.error
        assert chip.is_detecting() and not chip.is_sending()
        self.run(4)
        chip.detect(is_active)
        self.run(4)

    def opened_again(self):
        """Whether it is, with its settings."""
        self.run(3 * RETRY_MS)
        assert self.link.error is None, self.link.error
        check_settings()
        chip.hear(b"after")
        assert self.run(20) == [(b"after", 0)]
        return True


def check_settings():
    """868.1 MHz, factor 12, 125 kHz, 4/6, optimisation, preamble, CRC: by the data sheets."""
    if MODEM == "sx1276":
        frequency = int.from_bytes(bytes(chip.registers[6:9]), "big")
        # steps of 32 MHz / 2**19
        assert abs(frequency * 32000000 // 524288 - 868100000) < 62
        assert chip.registers[0x1D] == 0x74 and chip.registers[0x1E] & 0xF4 == 0xC4
        assert chip.registers[0x26] & 8 and chip.registers[0x20:0x22] == bytes((0, 8))
        assert chip.registers[0x39] == 0x12 and chip.registers[9] == 0x80 | 12
        return
    frequency = int.from_bytes(chip.settings[0x86], "big")
    # steps of 32 MHz / 2**25
    assert abs(frequency * 32000000 // 33554432 - 868100000) < 2
    assert chip.settings[0x8B] == bytes((12, 4, 2, 1)), chip.settings[0x8B]
    assert chip.settings[0x8C] == bytes((0, 8, 0, 255, 1, 0)), chip.settings[0x8C]
    assert (chip.registers[0x740], chip.registers[0x741]) == (0x14, 0x24)
    # 14 dBm by table 13-21; continuous reception
    assert chip.settings[0x95] == bytes((2, 2, 0, 1)) and chip.settings[0x8E][0] == 22
    assert chip.settings[0x82] == bytes((255, 255, 255))


def frames():
    """Frames both ways."""
    air = Air()
    check_settings()
    chip.hear(FRAME, 38)
    assert air.run(20) == [(FRAME, 10)]
    chip.hear(b"a", -30)
    assert air.run(20) == [(b"a", -7)]
    chip.hear(b"damaged", is_whole=False)
    assert air.run(20) == [] and air.link.counters == {"BadFrame": 1}

    air.send(FRAME)
    assert chip.on_air == [FRAME] and chip.is_sending()
    chip.hear(b"lost")
    assert air.run(20) == [] and not air.link.send(b"no", air.now_ms)
    chip.finish()
    assert air.run(20) == [] and chip.is_receiving() and not air.link.is_sending(air.now_ms)
    chip.hear(b"before")
    air.send(b"second")
    # it was read before the detection emptied the radio
    assert chip.on_air == [FRAME, b"second"] and air.link.counters == {"BadFrame": 1}


def antenna():
    """The antenna is connected before the radio works."""
    Air(antenna=8)
    assert antenna_levels == [1]


def before():
    """A frame that has arrived is kept when another one is sent."""
    air = Air()
    chip.hear(b"before")
    assert air.link.send(b"mine", air.now_ms) and air.link.receive(air.now_ms) == (b"before", 0)


def interrupts():
    """A pin for interrupts does not keep the link awake."""
    air = Air(dio0=7, dio1=7)
    for _ in range(3):
        chip.hear(b"a")
        assert air.run(1000) == [(b"a", 0)]
    air.send(b"mine")
    chip.finish()
    assert air.run(1000) == [] and not air.link.is_sending(air.now_ms)


def listening():
    """The link sends when the channel is free, and receives until then."""
    air = Air()
    air.send(b"mine", is_active=True)
    assert chip.on_air == [] and chip.is_receiving() and air.link.is_sending(air.now_ms)
    assert not air.link.send(b"no", air.now_ms) and not air.link.sleep(air.now_ms)
    chip.hear(b"theirs")
    assert air.run(20) == [(b"theirs", 0)]
    air.run(LONG_MS, chip.is_detecting)
    assert chip.is_detecting()
    chip.detect(False)
    air.run(20)
    assert chip.on_air == [b"mine"] and air.link.counters == {}


def arriving():
    """A detection does not interrupt a frame that is arriving."""
    air = Air()
    chip.begin_frame()
    assert air.link.send(b"mine", air.now_ms) and chip.is_receiving()
    air.run(1000)
    assert chip.is_receiving() and chip.on_air == []
    chip.hear(b"theirs")
    assert air.run(20) == [(b"theirs", 0)]
    air.run(LONG_MS, chip.is_detecting)
    chip.detect(False)
    air.run(20)
    assert chip.on_air == [b"mine"] and air.link.counters == {}


def busy():
    """A frame is dropped when the channel stays busy, and the next one is not."""
    for begin in (lambda: None, chip.begin_frame):
        air = Air()
        begin()
        assert air.link.send(b"mine", air.now_ms)
        for _ in range(100):
            chip.detect(True)
            air.run(LONG_MS // 20)
            begin()
        assert air.link.counters == {"ChannelBusy": 1} and chip.on_air == []
        chip.hear(b"end")
        assert air.run(20) == [(b"end", 0)] and not air.link.is_sending(air.now_ms)
        air.send(b"next")
        assert chip.on_air == [b"next"]
        chip.finish()
        air.run(20)
        chip.on_air.clear()


def deaf():
    """A detection without an end: the radio is opened again, and the frame is not sent."""
    air = Air()
    assert air.link.send(b"mine", air.now_ms)
    air.run(3000, lambda: air.link.error)
    assert air.link.counters == {"NoAnswer": 1, "FrameLost": 1} and air.link.error
    assert air.opened_again() and chip.on_air == []
    assert air.link.counters["Reopened"] == 1
    air.send(b"next")
    assert chip.on_air == [b"next"]


def endless():
    """A frame without an end: the radio is stopped, and opened again."""
    air = Air()
    air.send(b"mine")
    air.run(LONG_MS, lambda: air.link.error)
    assert air.link.error and not chip.is_sending()
    assert air.opened_again()
    assert air.link.counters == {"NoAnswer": 1, "FrameLost": 1, "Reopened": 1}
    assert chip.on_air == [b"mine"]


def late():
    """A frame whose end comes late was sent."""
    air = Air()
    air.send(b"mine")
    air.run(air.link.airtime_us(4) // 1000 + 300)
    chip.finish()
    air.run(20)
    assert air.link.error is None and air.link.counters == {} and not air.link.is_sending(0)
    assert chip.is_receiving()


def resets():
    """A chip that was reset, at any time, sends nothing with its own settings."""
    air = Air()
    chip.reset()
    assert not air.link.send(b"mine", air.now_ms) and air.link.error
    assert air.opened_again()
    chip.reset()
    # without a frame to send it is found out, too
    air.run(LONG_MS, lambda: air.link.error)
    assert air.link.error and air.opened_again()
    assert air.link.counters == {"Reset": 2, "Reopened": 2}

    assert air.link.send(b"mine", air.now_ms) and chip.is_detecting()
    chip.reset()
    air.run(LONG_MS, lambda: air.link.error)
    assert air.link.error and air.opened_again()
    air.send(b"mine")
    assert chip.on_air == [b"mine"]
    chip.reset()
    air.run(LONG_MS, lambda: air.link.error)
    assert air.link.error and air.opened_again()
    assert air.link.counters == {"Reset": 2, "NoAnswer": 2, "FrameLost": 2, "Reopened": 4}

    assert air.link.sleep(air.now_ms)
    chip.reset()
    air.link.wake(air.now_ms)
    assert air.link.error and air.opened_again()
    assert chip.on_air == [b"mine"]


def lines():
    """A broken line gives no frame, and nothing is sent."""
    for level in (0, 255):
        air = Air()
        chip.line = level
        assert air.run(LONG_MS) == [] and air.link.error
        assert not air.link.send(b"mine", air.now_ms)
        chip.line = None
        air.run(2 * LONG_MS)
        assert air.opened_again()
        chip.line = level
        # before it is found out otherwise
        assert not air.link.send(b"mine", air.now_ms) and air.link.error
        chip.line = None
        assert air.opened_again()
        assert air.link.send(b"mine", air.now_ms)
        chip.line = level
        air.run(LONG_MS)
        assert air.link.error and chip.on_air == []
        chip.line = None
        air.run(2 * LONG_MS)
        assert air.opened_again() and chip.on_air == []


def hangs():
    """A chip that hangs, with BUSY high, is opened again, and hinders nothing."""
    if MODEM != "sx1262":
        return
    air = Air()
    chip.busy.level = 1
    assert air.run(20) == [] and "BUSY" in air.link.error
    air.run(LONG_MS)
    chip.busy.level = 0
    air.run(2 * LONG_MS)
    assert air.opened_again()
    chip.busy.level = 1
    assert not air.link.send(b"mine", air.now_ms)
    chip.busy.level = 0
    assert air.opened_again()
    chip.busy.level = 1
    assert air.link.sleep(air.now_ms)
    air.link.wake(air.now_ms)
    chip.busy.level = 0
    assert air.opened_again()
    chip.busy.level = 1
    air.link.close()
    assert air.link.next_ms(air.now_ms) is None


def closing():
    """A closed link neither receives nor sends."""
    air = Air()
    air.send(b"mine")
    assert chip.is_sending()
    air.link.close()
    assert not chip.is_receiving() and not chip.is_sending()


if __name__ == "__main__":
    globals()[sys.argv[2]]()
    print("done")
