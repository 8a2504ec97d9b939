"""RAK3172 with RUI3 firmware in P2P mode as a frame link; other RUI3 modules speak the same.

Source: RAKwireless, "RUI3 AT Command Manual", sections "LoRa P2P commands" and "General commands",
and the firmware that RAKwireless publishes (RAK-STM32-RUI, RUI 5.0.0: atcmd_p2p.c,
service_lora_p2p.c), where the manual is silent:
- AT+PSEND takes hex, at most 239 bytes, and answers OK before the frame is on air; +EVT:TXP2P DONE
  follows. With AT+CAD=1 (RUI 4.0.6 and newer) a busy channel gives AT_BUSY_ERROR, and the radio no
  longer receives: AT+PRECV is given again.
- AT+PRECV=65534 receives until AT+PRECV=0. Neither parameters nor frames are accepted meanwhile.
  65533, which allows frames, is not in all versions, where it means 65 seconds.
- AT+NWM=0 (P2P) reboots the module, so the mode is asked for first.
- +EVT:RXP2P:RSSI:SNR:HEX is a frame.
- The radio sleeps while it does not receive, and the module's controller if AT+LPM=1 was set. Each
  AT+LPM is written to flash, so it is the operator's.
"""

from binascii import hexlify, unhexlify

from ..compat import const
from .lora import PREAMBLE
from .modem import BUSY, OK, REFUSED, RESET, SENT, AtModem

_RECEIVE = b"AT+PRECV=65534"
_STOP = b"AT+PRECV=0"
_CAD = b"AT+CAD=1"
# Of networks other than LoRaWAN, and the default of RUI 5.0.0; the manual's example is LoRaWAN's
_SYNC_WORD = b"AT+SYNCWORD=1424"
_FRAME = b"+EVT:RXP2P:"
_ON_AIR_MS = const(1000)


class Rak3172(AtModem):
    """See `AtModem`. has_cad: whether the firmware listens before it sends."""

    mtu = 239

    def __init__(self, config, port=None):
        super().__init__(config, port)
        self.settings.check(5 <= self.settings.power_dbm <= 22, "5 to 22 dBm")
        self.has_cad = False
        self._is_p2p = True

    def set_up(self):
        """See `AtModem`."""
        one = self.settings
        self.has_cad = True
        return [
            b"AT",
            b"AT+NWM=?",
            _STOP,
            _SYNC_WORD,
            b"AT+P2P=%d:%d:%d:%d:%d:%d"
            % (
                one.frequency_khz * 1000,
                one.spreading_factor,
                one.bandwidth_khz,
                one.coding_rate - 5,
                PREAMBLE,
                one.power_dbm,
            ),
            _CAD,
            _RECEIVE,
        ]

    def sending(self, frame):
        """See `AtModem`."""
        return [_STOP, b"AT+PSEND=" + hexlify(frame)]

    def after_frame(self):
        """See `AtModem`."""
        return [_RECEIVE]

    def dozing(self):
        """See `AtModem`."""
        return [_STOP]

    def waking(self):
        """See `AtModem`."""
        return [b"AT", _RECEIVE]

    def check(self):
        """See `AtModem`. The parameters are on flash, reception is not."""
        return [b"AT+PRECV=?"]

    def is_optional(self, command):
        """See `AtModem`."""
        if command == _CAD:
            self.has_cad = False
        # it receives already; older firmware has no such command
        return command in (_CAD, _RECEIVE, _SYNC_WORD)

    def read_line(self, line):
        """See `AtModem`."""
        if line.startswith(_FRAME):
            fields = line[len(_FRAME) :].split(b":")
            if len(fields) != 3:
                raise ValueError("+EVT:RXP2P")
            return unhexlify(fields[2]), int(fields[1])
        if line.startswith(b"+EVT:TXP2P DONE"):
            return SENT
        if line.startswith(b"Current Work Mode") or line == b"P2P_RX_OFF":
            return RESET
        if line.startswith(b"AT+NWM="):
            # the value, or the echo of the question
            self._is_p2p = line[7:] in (b"0", b"?")
            return None
        if line == b"OK":
            if not self._is_p2p:
                # the module reboots, and says so
                self._is_p2p = True
                self._commands.insert(1, b"AT+NWM=0")
            return OK
        if line == b"AT_BUSY_ERROR":
            return BUSY
        if line.startswith(b"+EVT:RXP2P RECEIVE ERROR"):
            raise ValueError("damaged on air")
        if line.startswith(b"AT_"):
            return REFUSED
        return None

    def _air_ends_ms(self, now_ms):
        # the event comes first, unless it is lost
        return now_ms + self._airtime_ms() + _ON_AIR_MS
