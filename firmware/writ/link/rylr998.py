"""REYAX RYLR998 (868/915 MHz) and RYLR498 (433/470 MHz) as a frame link.

Source: REYAX, "LoRa AT Command Guide", RYLR998 and RYLR498, 56312E33, 23 October 2023:
- AT+SEND=ADDRESS,LENGTH,DATA takes at most 240 bytes of ASCII. A frame may contain CR and LF, which
  end a command, so it travels in base64 (RFC 4648, section 4) without padding: 180 bytes at most.
- "The payload part will increase more 8 bytes than the actual data length": airtime counts them.
- Address 0 receives from all and sends to all. The network id 18 is the default, and the only one
  that allows a preamble other than 12 symbols.
- Spreading factors 7 to 9 at 125 kHz, to 10 at 250 kHz, to 11 at 500 kHz; 0 to 22 dBm.
- No channel activity detection. +RCV gives RSSI and SNR. The guide does not say that it changes a
  payload, so that of another radio may have line feeds.
- AT+MODE=1 is sleep. Any input on RXD wakes the module; what it answers then is not said: +MODE=0
  and +OK count.

The guide does not say whether +OK follows the command or the transmission; both work here.
"""

from binascii import a2b_base64, b2a_base64

from ..compat import const
from .lora import PREAMBLE
from .modem import BUSY, OK, REFUSED, RESET, AtModem

_ASCII_BYTES = const(240)
_HEADER_BYTES = const(8)
_NETWORK = const(18)
# bandwidth_khz: (value of AT+PARAMETER, largest spreading factor)
_BANDWIDTHS = {125: (7, 9), 250: (8, 10), 500: (9, 11)}
# Result codes of received frames, which answer no command: CRC error, header error
_RECEIVING = (b"+ERR=12", b"+ERR=19")
# "Last TX was not completed"
_NOT_COMPLETED = b"+ERR=17"


def encode(frame):
    """base64 without padding."""
    return b2a_base64(frame).strip().rstrip(b"=")


def decode(text):
    """The frame of `encode`. Raises `ValueError` for what `encode` never gives."""
    frame = a2b_base64(text + b"=" * (-len(text) % 4))
    # decoders differ in what they tolerate
    if encode(frame) != text:
        raise ValueError("base64")
    return frame


class Rylr998(AtModem):
    """See `AtModem`."""

    mtu = _ASCII_BYTES * 3 // 4

    def __init__(self, config, port=None):
        super().__init__(config, port)
        one = self.settings
        highest = _BANDWIDTHS[one.bandwidth_khz][1]
        one.check(one.spreading_factor <= highest, "spreading factors to %d here" % highest)
        one.check(0 <= one.power_dbm <= 22, "0 to 22 dBm")

        bandwidth = _BANDWIDTHS[one.bandwidth_khz][0]
        parameters = (one.spreading_factor, bandwidth, one.coding_rate - 4, PREAMBLE)
        # those that a check asks for: a reset may set them back
        self._values = (
            b"BAND=%d" % (one.frequency_khz * 1000),
            b"PARAMETER=%d,%d,%d,%d" % parameters,
            b"CRFOP=%d" % one.power_dbm,
        )

    def set_up(self):
        """See `AtModem`."""
        # the network id first: it decides which preambles are allowed
        commands = [b"AT", b"AT+MODE=0", b"AT+ADDRESS=0", b"AT+NETWORKID=%d" % _NETWORK]
        return commands + [b"AT+" + value for value in self._values]

    def check(self):
        """See `AtModem`."""
        return [b"AT+" + value[: value.find(b"=")] + b"?" for value in self._values]

    def dozing(self):
        """See `AtModem`."""
        return [b"AT+MODE=1"]

    def waking(self):
        """See `AtModem`."""
        return [b"AT"]

    def missing(self, line):
        """See `AtModem`."""
        if not line.startswith(b"+RCV="):
            return -1
        fields = line.split(b",", 2)
        try:
            return max(0, min(int(fields[1]), _ASCII_BYTES) - len(fields[2]))
        except (IndexError, ValueError):
            return 0

    def sending(self, frame):
        """See `AtModem`."""
        text = encode(frame)
        return [b"AT+SEND=0,%d,%s" % (len(text), text)]

    def airtime_us(self, length):
        """Microseconds on air of a frame of `length` bytes."""
        return self.settings.airtime_us((4 * length + 2) // 3 + _HEADER_BYTES)

    def read_line(self, line):
        """See `AtModem`."""
        if line in (b"+OK", b"+MODE=0"):
            return OK
        if line.startswith(b"+RCV="):
            return _received(line)
        if line == b"+READY":
            return RESET
        if line == _NOT_COMPLETED:
            return BUSY
        for value in self._values:
            # the answer of a check; another value: the modem was reset
            if line.startswith(b"+" + value[: value.find(b"=") + 1]):
                return OK if line[1:] == value else RESET
        if line in _RECEIVING:
            raise ValueError("damaged on air")
        return REFUSED if line.startswith(b"+ERR=") else None


def _received(line):
    # +RCV=ADDRESS,LENGTH,DATA,RSSI,SNR
    begin = line.find(b",") + 1
    end = line.find(b",", begin)
    if end < 0:
        raise ValueError("+RCV")
    length = int(line[begin:end])
    if length > _ASCII_BYTES:
        raise ValueError("+RCV")
    stop = end + 1 + length
    fields = line[stop:].split(b",")
    if len(fields) != 3 or fields[0]:
        raise ValueError("+RCV")
    return decode(line[end + 1 : stop]), int(fields[2])
