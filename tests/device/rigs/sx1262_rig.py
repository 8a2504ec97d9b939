"""The commands of a Semtech SX1262 on SPI, as far as a LoRa driver uses them.

Source: Semtech, SX1261/2 datasheet, revision 2.1, chapter 13 (commands) and section 13.5.1
(status). Every command succeeds.
"""

from sx1276_rig import Pin

_STANDBY, _RX, _TX = 0x80, 0x82, 0x83
_GET_IRQ, _CLEAR_IRQ = 0x12, 0x02
_WRITE_REGISTER, _READ_REGISTER, _WRITE_BUFFER, _READ_BUFFER = 0x0D, 0x1D, 0x0E, 0x1E
_RX_STATUS, _PACKET_STATUS = 0x13, 0x14
_BASES, _PACKET_PARAMS = 0x8F, 0x8C
_SET_IRQ, _PACKET_TYPE, _GET_PACKET_TYPE, _CAD = 0x08, 0x8A, 0x11, 0xC5
_TX_DONE, _RX_DONE, _HEADER_VALID, _CRC_ERROR = 0x01, 0x02, 0x10, 0x40
_CAD_DONE, _CAD_DETECTED = 0x80, 0x100
# Chip modes of the status byte
_MODE_STANDBY, _MODE_RX, _MODE_TX, _MODE_CAD = 2, 5, 6, 7


class Sx1262:
    """The chip, as the SPI bus that the driver has.

    settings: {opcode: last arguments}; on_air: frames that were sent, and chips without settings
    send "?"; line: what it answers to everything, as a broken line does; None: what it should.
    """

    def __init__(self):
        self.on_air = []
        self.line = None
        self._buffer = bytearray(256)
        self._heard = (0, 0, 0)  # length, place, SNR
        self._bytes = bytearray()
        self.cs = Pin(watch=self._select)
        self.busy = _Busy()
        self.interrupt = Pin()
        self.reset()

    def reset(self):
        """As by a supply that is too weak: FSK, no interrupts, and standby."""
        self.settings = {_BASES: b"\0\0", _PACKET_PARAMS: bytes(6), _PACKET_TYPE: b"\0"}
        self.settings[_SET_IRQ] = bytes(8)
        self.registers = {}
        self.mode = _MODE_STANDBY
        self.irq = 0

    def raise_irq(self, flags):
        """Set those interrupts that are enabled (section 13.3.1)."""
        flags &= int.from_bytes(self.settings[_SET_IRQ][:2], "big")
        self.irq |= flags
        if flags & int.from_bytes(self.settings[_SET_IRQ][2:4], "big"):
            self.interrupt.handler(self.interrupt)

    def _select(self, level):
        if level and self._bytes:
            self._perform(self._bytes[0], bytes(self._bytes[1:]))
        self._bytes = bytearray()

    def _exchange(self, byte):
        at = len(self._bytes)
        self._bytes.append(byte)
        return self._answer(self._bytes[0], at) if at else 0

    def _answer(self, opcode, at):
        if self.line is not None:
            return self.line
        # section 13.5.1; no mode is given for a detection
        status = (_MODE_RX if self.mode == _MODE_CAD else self.mode) << 4
        length, place, snr = self._heard
        if opcode == _GET_IRQ:
            return (status, self.irq >> 8, self.irq & 255)[at - 1]
        if opcode == _GET_PACKET_TYPE:
            return (status, self.settings[_PACKET_TYPE][0])[at - 1]
        if opcode == _RX_STATUS:
            return (status, length, place)[at - 1]
        if opcode == _PACKET_STATUS:
            return (status, 120, snr, 120)[at - 1]
        if opcode == _READ_BUFFER and at >= 3:
            return self._buffer[(self._bytes[1] + at - 3) & 255]
        if opcode == _READ_REGISTER and at == 4:
            return self.registers.get(self._bytes[1] << 8 | self._bytes[2], 0)
        return status if at == 1 else 0

    def _perform(self, opcode, arguments):
        self.settings[opcode] = arguments
        if opcode == _STANDBY:
            self.mode = _MODE_STANDBY
        elif opcode == _RX:
            self.mode = _MODE_RX
        elif opcode == _TX:
            self.mode = _MODE_TX
            base, length = self.settings[_BASES][0], self.settings[_PACKET_PARAMS][3]
            frame = bytes(self._buffer[base : base + length])
            self.on_air.append(frame if self.is_lora() else b"?")
        elif opcode == _CAD and self.is_lora():
            self.mode = _MODE_CAD
        elif opcode == _CLEAR_IRQ:
            self.irq &= ~int.from_bytes(arguments, "big") & 0xFFFF
        elif opcode == _WRITE_BUFFER:
            end = arguments[0] + len(arguments) - 1
            self._buffer[arguments[0] : end] = arguments[1:]
        elif opcode == _WRITE_REGISTER:
            address = int.from_bytes(arguments[:2], "big")
            for i in range(2, len(arguments)):
                self.registers[address + i - 2] = arguments[i]

    def write(self, data):
        """See `machine.SPI`."""
        for byte in data:
            self._exchange(byte)

    def write_readinto(self, data, buffer):
        """See `machine.SPI`."""
        for i in range(len(data)):
            buffer[i] = self._exchange(data[i])

    def readinto(self, buffer, write=0):
        """See `machine.SPI`."""
        for i in range(len(buffer)):
            buffer[i] = self._exchange(write)

    def is_lora(self):
        """Whether it was told to send LoRa."""
        return self.settings[_PACKET_TYPE] == b"\1"

    def is_receiving(self):
        """Whether it receives."""
        return self.mode == _MODE_RX

    def is_detecting(self):
        """Whether a detection is under way."""
        return self.mode == _MODE_CAD

    def detect(self, is_active):
        """The detection under way ends (section 13.1.9), with activity or without."""
        if self.mode == _MODE_CAD:
            self.raise_irq(_CAD_DONE | (_CAD_DETECTED if is_active else 0))
            self.mode = _MODE_STANDBY

    def begin_frame(self):
        """The header of a frame arrives: `hear` follows."""
        if self.mode == _MODE_RX and self.is_lora():
            self.raise_irq(_HEADER_VALID)

    def is_sending(self):
        """Whether it sends."""
        return self.mode == _MODE_TX

    def finish(self):
        """The frame that was being sent has left."""
        if self.mode == _MODE_TX:
            self.raise_irq(_TX_DONE)
            self.mode = _MODE_STANDBY

    def hear(self, frame, snr_quarters=0, is_whole=True):
        """A frame arrives; it is lost unless the chip receives."""
        if self.mode == _MODE_RX and self.is_lora():
            base = self.settings[_BASES][1]
            for i in range(len(frame)):
                self._buffer[(base + i) & 255] = frame[i]
            self._heard = (len(frame), base, snr_quarters & 255)
            self.raise_irq(_HEADER_VALID | _RX_DONE | (0 if is_whole else _CRC_ERROR))


class _Busy(Pin):
    # BUSY: low, unless the chip hangs
    level = 0

    def __call__(self, level=None):
        return self.level
