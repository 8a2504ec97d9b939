"""REYAX RYLR998: LoRa by AT commands.

Source: "REYAX RYLR998 RYLR498 LoRa AT COMMAND GUIDE", document 56312E32 (20-MAY-2021) and 56312E33
(23-OCT-2023), section "AT Command Set". Commands end with CR LF. AT+FCCT (certification) is not
emulated.

Where the guide is silent or ambiguous, this is assumed:
- AT+SEND is answered with +OK when the frame goes on air; another AT+SEND before its end, with
  +ERR=17. With `is_ok_late` the +OK comes at the end of the frame. A driver must bear both.
- <Data> is "ASCII Format": bytes outside 0x20 to 0x7E, and CR LF in the data, are refused with
  +ERR=4 or +ERR=5.
- A line that ends with LF alone is answered with +ERR=1. A value out of range is an unknown
  command, +ERR=4, unless the guide has a code for it.
- AT+NETWORKID? is answered with +NETWORKID=, as modules do; the guide prints +NETWORK=.
- AT+PARAMETER and AT+CRFOP are not memorized: the guide notes that for other settings only.
- A frame that a collision damaged is reported with +ERR=12 without a command.
- In sleep (mode 1 and 2) the first input wakes the module and is answered with +MODE=0 alone.
- On air the 8 bytes that the guide counts for the module's program are destination, source,
  network, password check and length. A network is a sync word of its own.
"""

import hashlib
from collections.abc import Callable
from typing import ClassVar

from radio.modems.modem import LINE_MAX, Modem, number
from radio.outcome import Reception
from radio.phy import Settings
from radio.timeline import Timeline
from radio.transceiver import SENDING, Radio

_ENTER, _HEAD, _UNKNOWN, _LENGTH = 1, 2, 4, 5
_CRC, _TOO_LONG, _LAST_TX, _PREAMBLE, _SMART_TIME = 12, 13, 17, 18, 20

_DATA_MAX = 240
_HEADER = 8
# The guide names no time.
_BOOT_US = 200_000

_BAUDS = (300, 1200, 4800, 9600, 19200, 28800, 38400, 57600, 115200)
_BANDWIDTHS_HZ = {7: 125_000, 8: 250_000, 9: 500_000}
# The largest spreading factor at a bandwidth.
_FACTOR_MAX = {7: 9, 8: 10, 9: 11}
_PUBLIC_NETWORK, _FIXED_PREAMBLE = 18, 12
# Frequencies of the module: RYLR998 datasheet, "820 to 960 MHz".
_BAND_LOW_HZ, _BAND_HIGH_HZ = 820_000_000, 960_000_000

_DEFAULTS: dict[str, str] = {
    "MODE": "0",
    "IPR": "115200",
    "BAND": "915000000",
    "PARAMETER": "9,7,1,12",
    "ADDRESS": "0",
    "NETWORKID": "18",
    "CRFOP": "22",
    "CPIN": "",
}
_MEMORIZED = ("IPR", "ADDRESS", "NETWORKID")


class Rylr998(Modem):
    """The module. is_ok_late: answer AT+SEND at the end of the frame."""

    kind: ClassVar[str] = "rylr998"

    def __init__(
        self,
        radio: Radio,
        timeline: Timeline,
        write: Callable[[bytes], object] | None = None,
        is_ok_late: bool = False,
    ) -> None:
        super().__init__(radio, timeline, write)
        self.is_ok_late = is_ok_late
        self._flash = dict(_DEFAULTS)
        self._values = dict(_DEFAULTS)
        self._input = b""
        self._last = "0,0,"
        self._smart: tuple[int, int] | None = None  # receive and sleep time in us, in mode 2
        self._commands: dict[str, Callable[[str], None]] = {
            "MODE": self._set_mode,
            "IPR": self._set_baud,
            "BAND": self._set_band,
            "PARAMETER": self._set_parameter,
            "ADDRESS": self._set_address,
            "NETWORKID": self._set_network,
            "CPIN": self._set_password,
            "CRFOP": self._set_power,
            "SEND": self._send,
        }

    def power_on(self) -> None:
        """Start with what is in flash, and say +READY."""
        self.power_off()
        self.is_powered = True
        self._values = dict(self._flash)
        self._input = b""
        self._smart = None
        self.later(_BOOT_US, self._ready)

    def reset(self) -> None:
        """The pin NRST: the guide's section "Other messages" has the same words as for AT+RESET."""
        self.power_on()
        self.say(b"+RESET\r\n")

    def feed(self, data: bytes) -> None:
        """Take bytes from the host."""
        if not self.is_powered:
            return
        if self._values["MODE"] != "0":
            self._wake()
            return
        self._input += data
        while b"\n" in self._input:
            line, _, self._input = self._input.partition(b"\n")
            if not line.endswith(b"\r"):
                self._error(_ENTER)
            else:
                self._line(line[:-1])
        if len(self._input) > LINE_MAX:
            self._input = b""
            self._error(_ENTER)

    def on_frame(self, reception: Reception) -> None:
        """Show a frame for this address, or for all, of the same password."""
        payload = reception.payload
        destination = int.from_bytes(payload[:2], "big")
        if len(payload) < _HEADER or destination not in (0, int(self._values["ADDRESS"])):
            return
        if payload[5:7] != self._password_check():
            return
        if self._smart:
            self._smart = None
            self._values["MODE"] = "0"
        source = int.from_bytes(payload[2:4], "big")
        data = payload[_HEADER:]
        rssi, snr = round(reception.rssi_dbm), round(reception.snr_db)
        self.say(b"+RCV=%d,%d,%s,%d,%d\r\n" % (source, len(data), data, rssi, snr))

    def on_damaged_frame(self, reception: Reception) -> None:
        """Report the CRC error."""
        self._error(_CRC)

    def _ready(self) -> None:
        self._tune()
        self.say(b"+READY\r\n")

    def _wake(self) -> None:
        self._input = b""
        self._smart = None
        self._values["MODE"] = "0"
        self._tune()
        self.say(b"+MODE=0\r\n")

    def _error(self, code: int) -> None:
        self.say(b"+ERR=%d\r\n" % code)

    def _ok(self) -> None:
        self.say(b"+OK\r\n")

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"AT"):
            self._error(_HEAD)
            return
        try:
            text = line[2:].decode("ascii")
        except UnicodeDecodeError:
            self._error(_UNKNOWN)
            return
        if text == "":
            self._ok()
        elif text == "+RESET":
            self.reset()
        elif text == "+FACTORY":
            self._flash = dict(_DEFAULTS)
            self._values = dict(_DEFAULTS)
            self._tune()
            self.say(b"+FACTORY\r\n")
        elif text.startswith("+") and text.endswith("?") and "=" not in text:
            self._ask(text[1:-1])
        else:
            name, sign, value = text[1:].partition("=")
            command = self._commands.get(name) if sign and text[0] == "+" else None
            if command is None:
                self._error(_UNKNOWN)
            else:
                command(value)

    def _ask(self, name: str) -> None:
        answers = {
            **self._values,
            "CPIN": self._values["CPIN"].lower() or "No Password!",
            "SEND": self._last,
            "UID": hashlib.sha256(self.radio.name.encode()).hexdigest()[:24],
            "VER": "RYLR998_V1.2.2",
        }
        if name in answers:
            self.say(f"+{name}={answers[name]}\r\n".encode())
        else:
            self._error(_UNKNOWN)

    def _set(self, name: str, value: str, is_memorized: bool = False) -> None:
        self._values[name] = value
        if is_memorized or name in _MEMORIZED:
            self._flash[name] = value
        self._tune()
        self._ok()

    def _set_mode(self, value: str) -> None:
        mode, *times = value.split(",")
        if mode == "2" and len(times) in (0, 2):
            found = [number(time, 30, 60000) for time in times or ("1000", "1000")]
            if None in found:
                self._error(_SMART_TIME)
                return
            self._smart = (1000 * (found[0] or 0), 1000 * (found[1] or 0))
            self._set("MODE", "2")
            self.later(self._smart[0], self._doze)
        elif mode in ("0", "1") and not times:
            self._smart = None
            self._set("MODE", mode)
        else:
            self._error(_UNKNOWN)

    def _doze(self) -> None:
        # Mode 2: receive, sleep, receive ...
        if self._smart:
            self.radio.sleep()
            self.later(self._smart[1], self._rouse)

    def _rouse(self) -> None:
        if self._smart:
            self._tune()
            self.later(self._smart[0], self._doze)

    def _set_baud(self, value: str) -> None:
        if number(value, 0, 115200) not in _BAUDS:
            self._error(_UNKNOWN)
            return
        self._values["IPR"] = self._flash["IPR"] = value
        self.say(f"+IPR={value}\r\n".encode())

    def _set_band(self, value: str) -> None:
        frequency, comma, memory = value.partition(",")
        if number(frequency, _BAND_LOW_HZ, _BAND_HIGH_HZ) is None or (comma and memory != "M"):
            self._error(_UNKNOWN)
        else:
            self._set("BAND", frequency, is_memorized=memory == "M")

    def _set_parameter(self, value: str) -> None:
        found = [number(part, 0, 255) for part in value.split(",")]
        if len(found) != 4 or None in found:
            self._error(_UNKNOWN)
            return
        factor, bandwidth, rate, preamble = (part or 0 for part in found)
        if not 7 <= factor <= _FACTOR_MAX.get(bandwidth, 0) or not 1 <= rate <= 4:
            self._error(_UNKNOWN)
        elif not self._allows(preamble):
            self._error(_PREAMBLE)
        else:
            self._set("PARAMETER", f"{factor},{bandwidth},{rate},{preamble}")

    def _allows(self, preamble: int) -> bool:
        if int(self._values["NETWORKID"]) == _PUBLIC_NETWORK:
            return 4 <= preamble <= 24
        return preamble == _FIXED_PREAMBLE

    def _set_address(self, value: str) -> None:
        self._set_number("ADDRESS", value, 0, 65535)

    def _set_power(self, value: str) -> None:
        self._set_number("CRFOP", value, 0, 22)

    def _set_number(self, name: str, value: str, low: int, high: int) -> None:
        found = number(value, low, high)
        if found is None:
            self._error(_UNKNOWN)
        else:
            self._set(name, str(found))

    def _set_network(self, value: str) -> None:
        if number(value, 3, 15) is None and value != str(_PUBLIC_NETWORK):
            self._error(_UNKNOWN)
        else:
            self._set("NETWORKID", value)

    def _set_password(self, value: str) -> None:
        password, comma, memory = value.partition(",")
        try:
            is_valid = len(password) == 8 and int(password, 16) > 0
        except ValueError:
            is_valid = False
        if not is_valid or (comma and memory != "M"):
            self._error(_UNKNOWN)
        else:
            self._set("CPIN", password, is_memorized=memory == "M")

    def _send(self, value: str) -> None:
        address, _, rest = value.partition(",")
        length, comma, data = rest.partition(",")
        destination, count = number(address, 0, 65535), number(length, 0, 9999)
        if destination is None or count is None or not comma:
            self._error(_UNKNOWN)
        elif count > _DATA_MAX:
            self._error(_TOO_LONG)
        elif count != len(data):
            self._error(_LENGTH)
        elif not data.isprintable():
            self._error(_UNKNOWN)
        elif self.radio.state == SENDING:
            self._error(_LAST_TX)
        else:
            self._last = f"{destination},{count},{data}"
            self._transmit(destination, data.encode())

    def _transmit(self, destination: int, data: bytes) -> None:
        header = destination.to_bytes(2, "big") + int(self._values["ADDRESS"]).to_bytes(2, "big")
        header += bytes([int(self._values["NETWORKID"])]) + self._password_check()
        frame = header + bytes([len(data)]) + data
        if self.is_ok_late:
            self.radio.send(frame, self.in_this_life(self._ok))
        else:
            self.radio.send(frame)
            self._ok()

    def _password_check(self) -> bytes:
        return hashlib.sha256(self._values["CPIN"].lower().encode()).digest()[:2]

    def _tune(self) -> None:
        factor, bandwidth, rate, preamble = map(int, self._values["PARAMETER"].split(","))
        settings = Settings(
            frequency_hz=int(self._values["BAND"]),
            bandwidth_hz=_BANDWIDTHS_HZ[bandwidth],
            spreading_factor=factor,
            coding_rate=4 + rate,
            preamble=preamble,
            power_dbm=int(self._values["CRFOP"]),
            sync_word=int(self._values["NETWORKID"]),
        )
        self.radio.listen(settings)
        if self._values["MODE"] == "1":
            self.radio.sleep()
