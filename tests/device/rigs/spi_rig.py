"""In the place of the radios of micropython-lib's package `lora`, on MicroPython and CPython."""

import struct

from modem_rig import Time, channel
from sx1262_rig import Sx1262
from sx1276_rig import Sx1276

from writ.link.radio import SpiLink


class Packet(bytearray):
    """As `lora.RxPacket`: the payload with its SNR in quarters of a dB."""

    snr = 0


class Radio:
    """The low-level API of the package's modems (its README.md)."""

    def __init__(self):
        self.packets = []
        self.sent = []
        self.calls = []
        self.is_sending = False
        self.is_receiving = False
        self.is_broken = False
        self.crc_errors = 0

    def _work(self, name):
        if self.is_broken:
            raise RuntimeError("BUSY timeout")
        self.calls.append(name)

    def start_recv(self, timeout_ms=None, continuous=False, rx_length=0xFF):
        """Receive from now on."""
        self._work("start_recv")
        self.is_receiving = continuous

    def poll_recv(self, rx_packet=None):
        """A packet; True: receiving; False: not."""
        self._work("poll_recv")
        if not self.is_receiving:
            return False
        if self.packets and not self.is_sending:
            return self.packets.pop(0)
        return True

    def prepare_send(self, packet):
        """What has arrived and was not read is lost, as in the radio."""
        self._work("prepare_send")
        self.packets = []
        self.sent.append(bytes(packet))

    def start_send(self):
        """Send what was prepared."""
        self._work("start_send")
        self.is_sending = True

    def poll_send(self):
        """True while it sends, then once the time of the end."""
        self._work("poll_send")
        return True if self.is_sending else 12345

    def standby(self):
        """Stop."""
        self._work("standby")
        self.is_sending = self.is_receiving = False

    def sleep(self):
        """Stop, with less current."""
        self._work("sleep")

    def irq_triggered(self):
        """Whether there is something to poll."""
        return bool(self.packets)


def packet(data, snr):
    """A received packet; snr in quarters of a dB."""
    made = Packet(data)
    made.snr = snr
    return made


class Sx1262Radio(Radio):
    """One with the package's way in, `_cmd`, to a model of the chip."""

    def __init__(self):
        super().__init__()
        self.chip = Sx1262()
        # LoRa
        self._cmd("BB", 0x8A, 1)

    def _cmd(self, layout, *values, n_read=0):
        self._work("_cmd")
        data = bytearray(struct.pack(layout, *values) + bytes(n_read))
        self.chip.cs(0)
        self.chip.write_readinto(data, data)
        self.chip.cs(1)
        return data[len(data) - n_read :]

    def standby(self):
        """See `Radio`."""
        super().standby()
        self._cmd("BB", 0x80, 0)
        self._cmd(">BH", 0x02, 0xFFFF)

    def start_recv(self, timeout_ms=None, continuous=False, rx_length=0xFF):
        """See `Radio`."""
        super().start_recv(timeout_ms, continuous)
        self._cmd(">BBH", 0x82, 0xFF, 0xFFFF)


class Sx1276Radio(Radio):
    """One with the package's way in, `_reg_read` and `_reg_write`, to a model of the chip."""

    def __init__(self):
        super().__init__()
        self.chip = Sx1276()
        # factor 7, with CRC
        self._reg_write(0x1E, 0x74)

    def _reg_read(self, address):
        self._work("_reg_read")
        data = bytearray((address, 0))
        self.chip.cs(0)
        self.chip.write_readinto(data, data)
        self.chip.cs(1)
        return data[1]

    def _reg_write(self, address, value):
        self._work("_reg_write")
        self.chip.cs(0)
        self.chip.write(bytes((address | 0x80, value)))
        self.chip.cs(1)

    def standby(self):
        """See `Radio`."""
        super().standby()
        self._reg_write(0x01, 0x81)

    def start_recv(self, timeout_ms=None, continuous=False, rx_length=0xFF):
        """See `Radio`."""
        super().start_recv(timeout_ms, continuous)
        self._reg_write(0x01, 0x85)


def entry(**other):
    """An entry of "links"."""
    config = channel(modem="sx1262", spi=1, cs=5, busy=6)
    config.update(other)
    return config


def ready(radio=None, **other):
    """(link, radio, time). radio: by default one without a way in to the chip."""
    radio = radio or Radio()
    link = SpiLink(entry(**other), lambda config, settings: radio)
    time = Time(link)
    assert link.receive(time.now_ms) is None
    assert radio.is_receiving
    return link, radio, time
