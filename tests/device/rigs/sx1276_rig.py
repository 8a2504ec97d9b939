"""The registers of a Semtech SX1276 on SPI, as far as a LoRa driver uses them.

Source: Semtech, SX1276/77/78/79 datasheet, revision 7, sections 4.1 (modes, FIFO, interrupts) and
4.4 (registers of LoRa mode).
"""

_FIFO, _OP_MODE, _FIFO_POINTER, _TX_BASE, _RX_BASE = 0x00, 0x01, 0x0D, 0x0E, 0x0F
_RX_CURRENT, _IRQ, _RX_COUNT, _SNR, _RSSI, _LENGTH = 0x10, 0x12, 0x13, 0x19, 0x1A, 0x22
_VERSION, _FREQUENCY, _CONFIG2, _STATUS = 0x42, 0x06, 0x1E, 0x18
_STANDBY, _TX, _RX_CONTINUOUS, _CAD = 1, 3, 5, 7
_RX_DONE, _CRC_ERROR, _VALID_HEADER, _TX_DONE = 0x40, 0x20, 0x10, 0x08
_CAD_DONE, _CAD_DETECTED = 0x04, 0x01
_LORA, _SIGNAL = 0x80, 0x03
# After a reset, in LoRa mode: 434 MHz, factor 7 and no CRC
_RESET_VALUES = {_VERSION: 0x12, _OP_MODE: 0x09, _FREQUENCY: 0x6C, 0x07: 0x80, _CONFIG2: 0x70}


class Pin:
    """In the place of `machine.Pin`: a level that a chip can watch."""

    IN, OUT, IRQ_RISING = 0, 1, 1

    def __init__(self, number=None, watch=None):
        self._watch = watch
        self.handler = lambda pin: None

    def init(self, mode=None, value=None):
        """Set up, and set the level if there is one."""
        if value is not None:
            self(value)

    def irq(self, handler=None, trigger=None):
        """Let `handler` be called, as `interrupt.handler` of a chip."""
        self.handler = handler

    def __call__(self, level=None):
        if level is not None and self._watch:
            self._watch(level)
        return 1


class Sx1276:
    """The chip, as the SPI bus that the driver has: `write`, `write_readinto`, `readinto`.

    on_air: frames that were sent, and chips without settings send "?". A frame that is being sent
    leaves with `finish`. line: what it answers to everything, as a broken line does; None: what it
    should.
    """

    def __init__(self):
        self.reset()
        self.line = None
        self._fifo = bytearray(256)
        self._address = None  # of the transaction, None before its first byte
        self._receive_at = 0  # in the FIFO: frames follow each other while the chip receives
        self.on_air = []
        self.cs = Pin(watch=self._select)
        self.interrupt = Pin()

    def reset(self):
        """As by a supply that is too weak: FSK at 434 MHz, and standby."""
        self.registers = bytearray(0x80)
        for address, value in _RESET_VALUES.items():
            self.registers[address] = value

    def _select(self, level):
        self._address = None

    def _exchange(self, byte):
        if self._address is None:
            self._address = byte
            return 0
        address = self._address & 0x7F
        if self._address & 0x80:
            self._write(address, byte)
            answer = 0
        else:
            answer = self._read(address) if self.line is None else self.line
        if address != _FIFO:
            self._address += 1
        return answer

    def _read(self, address):
        if address != _FIFO:
            return self.registers[address]
        at = self.registers[_FIFO_POINTER]
        self.registers[_FIFO_POINTER] = (at + 1) & 255
        return self._fifo[at]

    def _write(self, address, byte):
        if address == _FIFO:
            at = self.registers[_FIFO_POINTER]
            self._fifo[at] = byte
            self.registers[_FIFO_POINTER] = (at + 1) & 255
        elif address == _IRQ:
            self.registers[_IRQ] &= ~byte & 255
        else:
            old_mode = self.mode()
            self.registers[address] = byte
            if address != _OP_MODE or self.mode() == old_mode:
                return
            if self.mode() == _RX_CONTINUOUS:
                self._receive_at = self.registers[_RX_BASE]
            elif self.mode() == _TX:
                base = self.registers[_TX_BASE]
                frame = bytes(self._fifo[base : base + self.registers[_LENGTH]])
                self.on_air.append(frame if self.registers[_CONFIG2] & 4 else b"?")

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

    def mode(self):
        """The mode, 0 to 7."""
        return self.registers[_OP_MODE] & 7

    def is_receiving(self):
        """Whether it receives."""
        return self.mode() == _RX_CONTINUOUS

    def is_sending(self):
        """Whether it sends."""
        return self.mode() == _TX

    def is_detecting(self):
        """Whether a detection is under way."""
        return self.mode() == _CAD and self.registers[_OP_MODE] & _LORA != 0

    def detect(self, is_active):
        """The detection under way ends (section 4.1.6), with a preamble or without."""
        if self.is_detecting():
            self.registers[_IRQ] |= _CAD_DONE | (_CAD_DETECTED if is_active else 0)
            self._stand_by()

    def begin_frame(self):
        """A preamble arrives: `hear` follows."""
        if self.mode() == _RX_CONTINUOUS:
            self.registers[_STATUS] |= _SIGNAL

    def _stand_by(self):
        self.registers[_OP_MODE] = self.registers[_OP_MODE] & 0xF8 | _STANDBY

    def finish(self):
        """The frame that was being sent has left."""
        if self.mode() == _TX:
            self.registers[_IRQ] |= _TX_DONE
            self._stand_by()
            self.interrupt.handler(self.interrupt)

    def hear(self, frame, snr_quarters=0, is_whole=True):
        """A frame arrives; it is lost unless the chip receives."""
        if self.mode() != _RX_CONTINUOUS:
            return
        self.registers[_STATUS] &= ~_SIGNAL
        self.registers[_RX_CURRENT] = self._receive_at
        for byte in frame:
            self._fifo[self._receive_at] = byte
            self._receive_at = (self._receive_at + 1) & 255
        self.registers[_RX_COUNT] = len(frame)
        self.registers[_SNR] = snr_quarters & 255
        self.registers[_RSSI] = 60
        self.registers[_IRQ] |= _RX_DONE | _VALID_HEADER | (0 if is_whole else _CRC_ERROR)
        self.interrupt.handler(self.interrupt)
