"""RAKwireless RAK3172 with RUI3: LoRa P2P by AT commands.

Sources: "RUI3 AT Command Manual" of docs.rakwireless.com (sections "RUI3 AT Command Format",
"General Commands", "P2P Instructions"), and the changelog of RUI3 3.4.0 for AT+PRECV=65533 and
65534. LoRaWAN, FSK, encryption and test commands are not emulated: AT_COMMAND_NOT_FOUND.

Every status is preceded and followed by CR LF, as the section on the format says. Where the manual
is silent or ambiguous, this is assumed:
- A command ends with LF; a CR before it belongs to the end.
- P2P commands in LoRaWAN mode, the factory's, are answered with AT_MODE_NO_SUPPORT (RUI3's source
  has this status, the manual's list lacks it), unknown ones with AT_COMMAND_NOT_FOUND.
- While the module receives, settings are refused with AT_BUSY_ERROR. AT+PSEND too, but not with
  AT+PRECV=65533; after the frame reception goes on.
- A timed reception ends with the first frame, as that of 65535 does.
- AT+PSEND during another transmission is answered with AT_BUSY_ERROR; so it is with AT+CAD=1 if the
  channel is active.
- Settings are kept in flash. AT+PRECV is not: after a reset the module does not receive.
- What a collision damages is dropped silently.
"""

from collections.abc import Callable
from typing import ClassVar

from radio.modems.modem import LINE_MAX, Modem, number
from radio.outcome import Reception
from radio.phy import Settings
from radio.timeline import Timeline
from radio.transceiver import SENDING, Radio

OK, PARAM, BUSY = "OK", "AT_PARAM_ERROR", "AT_BUSY_ERROR"
NO_MODE, NOT_FOUND, OVERFLOW = (
    "AT_MODE_NO_SUPPORT",
    "AT_COMMAND_NOT_FOUND",
    "AT_TEST_PARAM_OVERFLOW",
)

_BOOT_US = 300_000
_BANNER = (
    "RAKwireless RAK3172-E Example\r\n"
    "------------------------------------------------------\r\n"
    "Current Work Mode: %s.\r\n"
)
_MODES = {"0": "LoRa P2P", "1": "LoRaWAN"}
# AT+PRECV
_STOP, _WITH_SENDING, _CONTINUOUS, _ONE_FRAME = 0, 65533, 65534, 65535
# "2 to 500 digits"
_DIGITS_MAX = 500

_DEFAULTS = {
    "NWM": "1",
    "PFREQ": "868000000",
    "PSF": "7",
    "PBW": "125",
    "PCR": "0",
    "PPL": "8",
    "PTP": "14",
    "SYNCWORD": "3444",
    "CAD": "0",
}
_HELP = {
    "NWM": "get or set the network working mode (0 = P2P_LORA, 1 = LoRaWAN, 2 = P2P_FSK)",
    "PFREQ": "configure P2P Frequency",
    "PSF": "configure P2P Spreading Factor (5-12)",
    "PBW": "configure P2P Bandwidth(LORA:125,250,500 FSK:4800-467000)",
    "PCR": "configure P2P Code Rate(0=4/5, 1=4/6, 2=4/7, 3=4/8)",
    "PPL": "configure P2P Preamble Length (5-65535)",
    "PTP": "configure P2P TX power (5-22)",
    "PSEND": "send data in P2P mode",
    "PRECV": "enter P2P RX mode for a period of time (ms)",
    "P2P": "get or set all P2P parameters",
    "SYNCWORD": "get or set the syncword in P2P mode",
    "CAD": "get or set the channel activity detection in P2P mode",
    "VER": "get the version of the firmware",
}
_LIMITS = {
    "PFREQ": (150_000_000, 960_000_000),
    "PSF": (5, 12),
    "PBW": (125, 500),
    "PCR": (0, 3),
    "PPL": (5, 65535),
    "PTP": (5, 22),
    "CAD": (0, 1),
}
_P2P = ("PFREQ", "PSF", "PBW", "PCR", "PPL", "PTP")
_BANDWIDTHS_KHZ = ("125", "250", "500")


class Rak3172(Modem):
    """The module, as the factory ships it: in LoRaWAN mode."""

    kind: ClassVar[str] = "rak3172"

    def __init__(
        self, radio: Radio, timeline: Timeline, write: Callable[[bytes], object] | None = None
    ) -> None:
        super().__init__(radio, timeline, write)
        self._values = dict(_DEFAULTS)
        self._input = b""
        self._has_echo = False
        self._reception = _STOP  # the value of AT+PRECV in force
        self._window = 0  # counts receptions, so that an old timeout ends no new one
        self._is_booting = False

    def power_on(self) -> None:
        """Boot, and print the banner."""
        self.power_off()
        self.is_powered = True
        self._is_booting = True
        self._input = b""
        self._has_echo = False
        self._reception = _STOP
        self.later(_BOOT_US, self._booted)

    def reset(self) -> None:
        """The reset pin, and ATZ."""
        self.power_on()

    def feed(self, data: bytes) -> None:
        """Take bytes from the host."""
        if not self.is_powered or self._is_booting:
            return
        self._input += data
        while b"\n" in self._input:
            line, _, self._input = self._input.partition(b"\n")
            if self._has_echo:
                self.say(line + b"\n")
            text = line.decode("ascii", "replace").strip()
            if text:
                self._line(text)
        if len(self._input) > LINE_MAX:
            self._input = b""
            self._status(OVERFLOW)

    def on_frame(self, reception: Reception) -> None:
        """Report a frame."""
        if self._reception == _STOP:
            return
        if self._reception not in (_WITH_SENDING, _CONTINUOUS):
            self._stop()
        rssi, snr = round(reception.rssi_dbm), round(reception.snr_db)
        payload = reception.payload.hex().upper()
        self.say(f"+EVT:RXP2P:{rssi}:{snr}:{payload}\r\n".encode())

    def _booted(self) -> None:
        self._is_booting = False
        self.say((_BANNER % _MODES[self._values["NWM"]]).encode())

    def _status(self, status: str) -> None:
        self.say(f"\r\n{status}\r\n".encode())

    def _value(self, name: str, value: str) -> None:
        # the value and its status are one answer
        self.say(f"AT+{name}={value}\r\n\r\n{OK}\r\n".encode())

    def _line(self, text: str) -> None:
        upper = text.upper()
        if upper == "AT":
            self._status(OK)
        elif upper == "ATE":
            self._has_echo = not self._has_echo
            self._status(OK)
        elif upper == "ATZ":
            self.reset()
        elif upper == "ATR":
            self._values = dict(_DEFAULTS)
            self._stop()
            self._status(OK)
        elif upper.startswith("AT+"):
            self._command(upper[3:])
        else:
            self._status(NOT_FOUND)

    def _command(self, text: str) -> None:
        name, sign, value = text.partition("=")
        name = name.strip()
        if not sign and name.endswith("?") and name[:-1] in _HELP:
            self.say(f"AT+{name[:-1]}: {_HELP[name[:-1]]}\r\n\r\n{OK}\r\n".encode())
        elif name not in _HELP or not sign:
            self._status(NOT_FOUND)
        elif name == "VER":
            self._value(name, "RUI_4.2.1_RAK3172-E") if value == "?" else self._status(PARAM)
        elif name != "NWM" and self._values["NWM"] != "0":
            self._status(NO_MODE)
        elif value == "?":
            self._ask(name)
        elif name == "NWM":
            self._set_mode(value)
        elif name == "PSEND":
            self._send(value)
        elif name == "PRECV":
            self._receive(value)
        elif self._reception != _STOP:
            self._status(BUSY)
        elif name == "P2P":
            self._set_all(value)
        elif self._is_valid(name, value):
            self._values[name] = value
            self._status(OK)
        else:
            self._status(PARAM)

    def _ask(self, name: str) -> None:
        if name == "P2P":
            self._value(name, ":".join(self._values[part] for part in _P2P))
        elif name in self._values:
            self._value(name, self._values[name])
        else:
            self._status(PARAM)

    def _set_mode(self, value: str) -> None:
        if value not in _MODES:
            self._status(PARAM)
        elif value == self._values["NWM"]:
            self._status(OK)
        else:
            # "will restart automatically": the banner is the answer
            self._values["NWM"] = value
            self.reset()

    def _is_valid(self, name: str, value: str) -> bool:
        if name == "SYNCWORD":
            return len(value) == 4 and all(digit in "0123456789ABCDEF" for digit in value)
        if name == "PBW":
            return value in _BANDWIDTHS_KHZ
        return number(value, *_LIMITS[name]) is not None

    def _set_all(self, value: str) -> None:
        parts = value.split(":")
        pairs = list(zip(_P2P, parts, strict=False))
        if len(parts) == len(_P2P) and all(self._is_valid(*pair) for pair in pairs):
            self._values.update(pairs)
            self._status(OK)
        else:
            self._status(PARAM)

    def _settings(self) -> Settings:
        return Settings(
            frequency_hz=int(self._values["PFREQ"]),
            bandwidth_hz=1000 * int(self._values["PBW"]),
            spreading_factor=int(self._values["PSF"]),
            coding_rate=5 + int(self._values["PCR"]),
            preamble=int(self._values["PPL"]),
            power_dbm=int(self._values["PTP"]),
            sync_word=int(self._values["SYNCWORD"], 16),
        )

    def _send(self, value: str) -> None:
        if not 2 <= len(value) <= _DIGITS_MAX or len(value) % 2:
            self._status(PARAM)
            return
        try:
            payload = bytes.fromhex(value)
        except ValueError:
            self._status(PARAM)
            return
        if self._reception not in (_STOP, _WITH_SENDING) or self.radio.state == SENDING:
            self._status(BUSY)
            return
        if self._reception == _STOP:
            # activity is detected with the settings in force
            self.radio.settings = self._settings()
        if self._values["CAD"] == "1" and self.radio.is_channel_active():
            self._status(BUSY)
            return
        self.radio.send(payload, self.in_this_life(self._sent))
        self._status(OK)

    def _sent(self) -> None:
        self.say(b"+EVT:TXP2P DONE\r\n")

    def _receive(self, value: str) -> None:
        time = number(value, 0, 65535)
        if time is None:
            self._status(PARAM)
        elif time == _STOP:
            self._stop()
            self._status(OK)
        elif self._reception != _STOP:
            self._status(BUSY)
        else:
            self._reception = time
            self._window += 1
            self.radio.listen(self._settings())
            if time < _WITH_SENDING:
                self.later(1000 * time, self._time_out, self._window)
            self._status(OK)

    def _stop(self) -> None:
        self._reception = _STOP
        self._window += 1
        self.radio.sleep()

    def _time_out(self, window: int) -> None:
        if window == self._window:
            self._stop()
            self.say(b"+EVT:RXP2P RECEIVE TIMEOUT\r\n")
