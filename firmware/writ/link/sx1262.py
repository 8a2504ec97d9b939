"""What micropython-lib's package `lora` does not offer of an SX1262: see `Chip`.

Source: Semtech, "SX1261/2 Data Sheet", revision 2.1, chapter 13: SetCadParams and SetCad,
SetDioIrqParams, GetIrqStatus, GetPacketType. Its commands go through the package's own `_cmd`.
"""

from ..compat import const

_GET_IRQ = const(0x12)
_GET_PACKET_TYPE = const(0x11)
_SET_IRQ = const(0x08)
_SET_CAD_PARAMS = const(0x88)
_SET_CAD = const(0xC5)
_LORA = const(1)
_RX_DONE = const(0x02)
_HEADER_VALID = const(0x10)
_CAD_DONE = const(0x80)
_CAD_DETECTED = const(0x100)
# What the package uses: sent, received, CRC error, time-out; and a valid header and those of CAD.
_IRQ = const(0x3D3)
# What the package has on DIO1
_DIO1 = const(0x203)
# 4 symbols; the peak is the spreading factor and 13, the minimum 10: RadioLib's setCad, which names
# the data sheet and AN1200.48
_CAD_4_SYMBOLS = const(2)
_CAD_PEAK = const(13)
_CAD_MIN = const(10)


class Chip:
    """Channel activity detection (CAD), and whether a chip has kept its settings.

    radio: the package's `SX1262`, set up. Raises `AttributeError` if it has no `_cmd`, and as that
    does (`RuntimeError`) if the chip does not answer.
    """

    def __init__(self, radio, settings):
        # as text, and no name of this package: the linker shortens those
        self._command = getattr(radio, "_cmd")  # noqa: B009
        self._peak = settings.spreading_factor + _CAD_PEAK
        self._command(">BHHHH", _SET_IRQ, _IRQ, _DIO1, 0, 0)

    def has_settings(self):
        """Whether the chip still sends LoRa: after a reset it sends FSK."""
        return self._command("B", _GET_PACKET_TYPE, n_read=2)[1] == _LORA

    def is_receiving(self):
        """Whether a frame is arriving: its header has, and the rest has not."""
        return self._flags() & (_HEADER_VALID | _RX_DONE) == _HEADER_VALID

    def detect(self):
        """Begin a detection. The chip is in standby, and goes back to it."""
        self._command(">BBBBBBH", _SET_CAD_PARAMS, _CAD_4_SYMBOLS, self._peak, _CAD_MIN, 0, 0, 0)
        self._command("B", _SET_CAD)

    def activity(self):
        """Whether the detection has found a LoRa signal; None while it goes on."""
        flags = self._flags()
        return flags & _CAD_DETECTED != 0 if flags & _CAD_DONE else None

    def _flags(self):
        answer = self._command("B", _GET_IRQ, n_read=3)
        return answer[1] << 8 | answer[2]
