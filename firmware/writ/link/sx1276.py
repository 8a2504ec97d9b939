"""What micropython-lib's package `lora` does not offer of an SX1276: see `Chip`.

Source: Semtech, "SX1276/77/78/79 Datasheet", revision 7, section 4.1 (modes and CAD) and 4.4
(registers of LoRa mode). They are read and written by the package's own `_reg_read`, `_reg_write`.
"""

from ..compat import const

_OP_MODE = const(0x01)
_IRQ = const(0x12)
_MODEM_STATUS = const(0x18)
_MODEM_CONFIG2 = const(0x1E)
_MODE_MASK = const(7)
_MODE_CAD = const(7)
_CAD_DONE = const(0x04)
_CAD_DETECTED = const(0x01)
# Signal detected, and synchronized
_SIGNAL = const(0x03)
# The CRC, which is off after a reset
_CRC_ON = const(0x04)


class Chip:
    """Channel activity detection (CAD), and whether a chip has kept its settings.

    radio: the package's `SX1276`, set up. Raises `AttributeError` if it lacks these two methods.
    """

    def __init__(self, radio, settings):
        # as text, and no names of this package: the linker shortens those
        self._read = getattr(radio, "_reg_read")  # noqa: B009
        self._write = getattr(radio, "_reg_write")  # noqa: B009
        self._config2 = settings.spreading_factor << 4 | _CRC_ON

    def has_settings(self):
        """Whether the chip has the spreading factor and the CRC that it was given."""
        return self._read(_MODEM_CONFIG2) & 0xFC == self._config2

    def is_receiving(self):
        """Whether a frame is arriving."""
        return self._read(_MODEM_STATUS) & _SIGNAL != 0

    def detect(self):
        """Begin a detection. The chip is in standby, and goes back to it."""
        self._write(_IRQ, 0xFF)
        self._write(_OP_MODE, self._read(_OP_MODE) & ~_MODE_MASK & 0xFF | _MODE_CAD)

    def activity(self):
        """Whether the detection has found a preamble; None while it goes on."""
        flags = self._read(_IRQ)
        return flags & _CAD_DETECTED != 0 if flags & _CAD_DONE else None
