"""The UART of a chip as the line of a port (port.py)."""

import machine

from ..limits import SERIAL_BUFFER_BYTES


class Uart:
    """UART `number` with that baud rate, on the pins `tx` and `rx` (numbers; None: the board's).

    Raises `ValueError` for a UART or pins that the chip does not have.
    """

    def __init__(self, number, baud, tx, rx):
        settings = {"rxbuf": SERIAL_BUFFER_BYTES, "txbuf": SERIAL_BUFFER_BYTES, "timeout": 0}
        if tx is not None:
            settings["tx"] = tx
        if rx is not None:
            settings["rx"] = rx
        if not hasattr(machine, "UART"):
            raise ValueError("this interpreter has no UART")
        self.handle = machine.UART(number, baud, **settings)

    def readinto(self, buffer):
        """The number of bytes read, 0 for none."""
        # RP2 waits for a character's time after each byte, so it is asked only for what is there
        count = min(self.handle.any(), len(buffer))
        return self.handle.readinto(buffer, count) or 0 if count else 0

    def write(self, data):
        """The number of bytes taken, 0 while earlier ones are on their way."""
        # ESP32 waits in `write` for room, and takes all at once when its buffer is empty
        return self.handle.write(data) or 0 if self.handle.txdone() else 0

    def close(self):
        """Release the UART."""
        self.handle.deinit()
