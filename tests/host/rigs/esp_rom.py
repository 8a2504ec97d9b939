"""An ESP32 chip's ROM loader on a pty, with a flash, for esptool.

Written from Espressif's documentation of esptool, "Serial Protocol": SLIP packets, commands with a
direction, an opcode, a size and a checksum; answers with status bytes, four from the ROM and two
from the stub. After MEM_END with an entry point the stub's greeting "OHAI" follows, and the chip
answers as the stub does from there on.

`Chip(folder, "esp32s3").path` is the port. The flash is NOR: an erase sets FF, a write clears bits.
What esptool reads from registers is there: the chip's id or magic number, and a SPI controller that
knows the flash's own commands. All other registers are 0.

Faults: `silent`, `bad_md5`, `stuck` (a byte of the flash that cannot be written), and `fail_at`:
the number of the data packet at which the cable is cut ("cut"), or is cut and comes back at once
("replug"), or at which the chip restarts for lack of current ("brownout").
"""

import hashlib
import os
import pty
import select
import struct
import threading
import tty
import zlib
from pathlib import Path

SECTOR = 4096
MAGIC_ESP32 = 0x00F01D83
CHIP_IDS = {"esp32s3": 9, "esp32c3": 5, "esp32c6": 13}
_SYNC = b"\x07\x07\x12\x20" + b"\x55" * 32
_DATA = (0x03, 0x07, 0x11)  # FLASH_DATA, MEM_DATA, FLASH_DEFL_DATA: with a checksum
_SPI = {  # base of the SPI controller of the flash, offsets of USR2 and W0
    "esp32": (0x3FF42000, 0x24, 0x80),
    "esp32s3": (0x60002000, 0x20, 0x58),
    "esp32c3": (0x60002000, 0x20, 0x58),
    "esp32c6": (0x60003000, 0x20, 0x58),
}
BROWNOUT = b"\r\nets Jul 29 2019\r\nBrownout detector was triggered\r\n"
BOOTED = b"\r\nESP-ROM:esp32s3-20210327\r\nrst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"
_GREETING = b"OHAI"


class Chip:
    """A chip in its ROM loader. flash: its content; writes: how many data packets it has taken."""

    def __init__(self, folder: Path, chip: str = "esp32s3", flash_mib: int = 4) -> None:
        self.path = folder / "port"
        self.chip = chip
        self.flash = bytearray(b"\xa5" * (flash_mib << 20))
        self.registers: dict[int, int] = {}
        self.security_flags = 0
        self.silent = self.bad_md5 = False
        self.stuck: int | None = None
        self.fail_at: int | None = None
        self.fault = "cut"
        self.banner = b""  # what the chip prints to each packet while it is silent
        self.writes = 0
        self.erased_all = 0
        self.uploads: list[tuple[int, bytes]] = []
        self.commands: list[int] = []
        self.is_stub = False
        self._id = 0x0040EF | (17 + flash_mib.bit_length() + 2) << 16
        self._target: tuple[int, int] = (0, 0)  # the next offset, and the end
        self._inflate: zlib._Decompress | None = None
        self._ram = (0, bytearray())
        self._reading: bytes | None = None
        self._packet: bytearray | None = None
        self._is_cut = threading.Event()
        self._master = self._slave = -1
        self._plug()
        self._wake = os.pipe()
        self._is_running = True
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _plug(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self._slave))
        self.is_stub, self._packet = False, None

    def _unplug(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._is_cut.set()

    def replug(self) -> None:
        """Plug the cable in again, once `fail_at` has cut it."""
        assert self._is_cut.wait(30)
        self.fail_at = None
        self._plug()
        os.write(self._wake[1], b"x")

    def close(self) -> None:
        """Remove the port. Raises what the chip met: an error of the rig, or of its user."""
        self._is_running = False
        os.write(self._wake[1], b"x")
        self._thread.join(30)
        if self._master >= 0:
            self._unplug()
        for end in self._wake:
            os.close(end)
        if self.error:
            raise self.error

    def _run(self) -> None:
        try:
            while self._is_running:
                watched = [self._wake[0]] + ([self._master] if self._master >= 0 else [])
                ready = select.select(watched, [], [])[0]
                if self._wake[0] in ready:
                    os.read(self._wake[0], 16)
                elif self._master in ready:
                    for packet in self._packets(os.read(self._master, 65536)):
                        self._take(packet)
        except Exception as error:  # noqa: BLE001 - `close` raises it
            self.error = error

    # --- packets ----------------------------------------------------------------------------------

    def _packets(self, data: bytes) -> list[bytes]:
        found = []
        for byte in data:
            if byte == 0xC0:
                if self._packet:
                    raw = bytes(self._packet)
                    found.append(raw.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb"))
                self._packet = bytearray()
            elif self._packet is not None:
                self._packet.append(byte)
        return found

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._master >= 0:
            view = view[os.write(self._master, view) :]

    def _frame(self, packet: bytes) -> None:
        escaped = packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        self._send(b"\xc0" + escaped + b"\xc0")

    def _answer(self, op: int, value: int = 0, data: bytes = b"", error: int = 0) -> None:
        status = bytes((1 if error else 0, error)) + (b"" if self.is_stub else b"\0\0")
        body = data + status
        self._frame(struct.pack("<BBHI", 1, op, len(body), value) + body)

    def _take(self, packet: bytes) -> None:
        if self.silent:
            self._send(self.banner)
            return
        if self._reading is not None:
            self._acknowledged(packet)
            return
        direction, op, size, checksum = struct.unpack_from("<BBHI", packet)
        data = packet[8:]
        assert direction == 0 and len(data) == size, packet[:16]
        self.commands.append(op)
        if op in _DATA:
            if self.writes == self.fail_at:
                self._fail()
                return
            self.writes += 1
            length, _, zero, none = struct.unpack_from("<IIII", data)
            found = 0xEF
            for byte in data[16:]:
                found ^= byte
            if (length, zero, none, found) != (len(data) - 16, 0, 0, checksum):
                self._answer(op, error=0xC1 if self.is_stub else 0x07)
                return
        handler = getattr(self, f"_do_{op:02x}", None)
        if handler is None:
            self._answer(op, error=0xFF if self.is_stub else 0x05)
        else:
            handler(op, data)

    def _fail(self) -> None:
        if self.fault == "brownout":
            self.silent = True
            self._send(BROWNOUT)
            return
        self._unplug()
        if self.fault == "replug":
            self.fail_at = None
            self._plug()

    # --- commands, by opcode ----------------------------------------------------------------------

    def _do_08(self, op: int, data: bytes) -> None:  # SYNC
        assert data == _SYNC
        for _ in range(8):
            self._answer(op, value=0 if self.is_stub else 0x20120707)

    def _do_0a(self, op: int, data: bytes) -> None:  # READ_REG
        (address,) = struct.unpack("<I", data)
        if address == 0x40001000 and self.chip == "esp32":
            self._answer(op, value=MAGIC_ESP32)
        else:
            self._answer(op, value=self.registers.get(address, 0))

    def _do_09(self, op: int, data: bytes) -> None:  # WRITE_REG
        base, usr2, w0 = _SPI[self.chip]
        for at in range(0, len(data), 16):
            address, value, mask, _ = struct.unpack_from("<IIII", data, at)
            old = self.registers.get(address, 0)
            self.registers[address] = old & ~mask | value & mask
            if address == base and value & 1 << 18:
                command = self.registers.get(base + usr2, 0) & 0xFF
                answers = {0x9F: self._id, 0x5A: 0x50444653}  # RDID, SFDP
                self.registers[base + w0] = answers.get(command, 0)
                self.registers[base] = 0
        self._answer(op)

    def _do_14(self, op: int, data: bytes) -> None:  # GET_SECURITY_INFO
        if self.chip == "esp32":
            self._answer(op, error=0xFF if self.is_stub else 0x05)
            return
        body = struct.pack("<IB7xII", self.security_flags, 0, CHIP_IDS[self.chip], 0)
        self._answer(op, data=body)

    def _do_05(self, op: int, data: bytes) -> None:  # MEM_BEGIN
        size, blocks, block_bytes, offset = struct.unpack("<IIII", data)
        assert not self.is_stub and blocks == -(-size // block_bytes)
        self._ram = (offset, bytearray())
        self.uploads.append((offset, b""))
        self._answer(op)

    def _do_07(self, op: int, data: bytes) -> None:  # MEM_DATA
        self._ram[1].extend(data[16:])
        self.uploads[-1] = (self._ram[0], bytes(self._ram[1]))
        self._answer(op)

    def _do_06(self, op: int, data: bytes) -> None:  # MEM_END
        stays, entry = struct.unpack("<II", data)
        assert self.uploads
        self._answer(op)
        if not stays and entry:
            self.is_stub = True
            self._frame(_GREETING)

    def _do_0b(self, op: int, data: bytes) -> None:  # SPI_SET_PARAMS
        assert struct.unpack_from("<II", data)[1] == len(self.flash)
        self._answer(op)

    def _do_0d(self, op: int, data: bytes) -> None:  # SPI_ATTACH
        self._answer(op)

    def _do_0f(self, op: int, data: bytes) -> None:  # CHANGE_BAUDRATE; a pty has none
        self._answer(op)

    def _do_10(self, op: int, data: bytes) -> None:  # FLASH_DEFL_BEGIN
        self._begin(op, data)
        self._inflate = zlib.decompressobj()

    def _do_02(self, op: int, data: bytes) -> None:  # FLASH_BEGIN
        self._begin(op, data)
        self._inflate = None

    def _begin(self, op: int, data: bytes) -> None:
        size, _, _, offset = struct.unpack_from("<IIII", data)
        assert self.is_stub and offset % SECTOR == 0 and offset + size <= len(self.flash)
        self._target = (offset, offset + size)
        self._erase(offset, size)
        self._answer(op)

    def _erase(self, offset: int, size: int) -> None:
        end = -(-(offset + size) // SECTOR) * SECTOR
        self.flash[offset:end] = b"\xff" * (end - offset)

    def _do_11(self, op: int, data: bytes) -> None:  # FLASH_DEFL_DATA
        assert self._inflate is not None
        self._program(op, self._inflate.decompress(data[16:]))

    def _do_03(self, op: int, data: bytes) -> None:  # FLASH_DATA
        self._program(op, data[16:])

    def _program(self, op: int, data: bytes) -> None:
        at, end = self._target
        data = data[: end - at]  # without the padding of the last block
        erased = self.flash[at : at + len(data)]
        assert erased == b"\xff" * len(data), "a write to a flash that is not erased"
        self.flash[at : at + len(data)] = data
        if self.stuck is not None and at <= self.stuck < at + len(data):
            self.flash[self.stuck] ^= 0x01
        self._target = (at + len(data), end)
        self._answer(op)

    def _do_12(self, op: int, data: bytes) -> None:  # FLASH_DEFL_END
        self._answer(op)

    def _do_04(self, op: int, data: bytes) -> None:  # FLASH_END
        self._answer(op)

    def _do_13(self, op: int, data: bytes) -> None:  # SPI_FLASH_MD5
        offset, size, _, _ = struct.unpack("<IIII", data)
        digest = hashlib.md5(self.flash[offset : offset + size])
        if self.bad_md5:
            digest.update(b"!")
        text = digest.digest() if self.is_stub else digest.hexdigest().encode()
        self._answer(op, data=text)

    def _do_d0(self, op: int, data: bytes) -> None:  # ERASE_FLASH
        assert self.is_stub
        self.erased_all += 1
        self._erase(0, len(self.flash))
        self._answer(op)

    def _do_d2(self, op: int, data: bytes) -> None:  # READ_FLASH
        assert self.is_stub
        offset, size, block, _ = struct.unpack("<IIII", data)
        self._reading = bytes(self.flash[offset : offset + size])
        self._block = block
        self._answer(op)
        self._frame(self._reading[:block])

    def _acknowledged(self, packet: bytes) -> None:
        """The host has this many bytes of a READ_FLASH: send the next ones, or the MD5."""
        assert self._reading is not None
        (count,) = struct.unpack("<I", packet)
        if count < len(self._reading):
            self._frame(self._reading[count : count + self._block])
        else:
            self._frame(hashlib.md5(self._reading).digest())
            self._reading = None
