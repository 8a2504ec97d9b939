"""What a chip's firmware does at its start, on MicroPython's unix port.

    micropython -i board_start.py FLASH PROGRAM_BYTES HAS_PROGRAM [ROM]

FLASH is the medium of a LittleFS image at /. ROM is that of a ROMFS partition, which
`vfs.rom_ioctl` reads and writes as on an ESP32. `machine.reset()` ends the process by a signal.
HAS_PROGRAM is 0 after a soft reset from the raw REPL: chips run boot.py then, and leave main.py
out.
"""

import os
import sys

import vfs as real_vfs
from flash_file import Flash

_BLOCK_BYTES = 4096


class Rom:
    """A ROMFS partition in a file."""

    def __init__(self, path):
        self.file = open(path, "r+b")  # noqa: SIM115
        self.size = self.file.seek(0, 2)
        self.content = bytearray(self.size)
        self.file.seek(0)
        self.file.readinto(self.content)

    def ioctl(self, operation, *words):
        """MicroPython's documentation of `vfs.rom_ioctl`."""
        if operation == 1:
            return 1
        if words[0] != 0:
            return -22
        if operation == 2:
            return memoryview(self.content)
        if operation == 3:
            offset, length = words[1:]
            if offset % _BLOCK_BYTES or offset + length > self.size:
                return -22
            self._store(offset, b"\xff" * (-(-length // _BLOCK_BYTES) * _BLOCK_BYTES))
            return 16
        if operation == 4:
            offset, data = words[1:]
            if offset % 16 or offset + len(data) > self.size:
                return -22
            # flash clears bits only
            old = self.content[offset : offset + len(data)]
            self._store(offset, bytes(x & y for x, y in zip(old, data)))  # noqa: B905
            return 0
        if operation == 6:
            return _BLOCK_BYTES
        return 0

    def _store(self, offset, data):
        self.content[offset : offset + len(data)] = data
        self.file.seek(offset)
        self.file.write(data)


class Module:
    """A module with names of its own beside those of the real one."""

    def __init__(self, name, **own):
        self.__name__ = name
        found = __import__(name)
        for key in dir(found):
            if not key.startswith("__"):
                setattr(self, key, getattr(found, key))
        for key in own:
            setattr(self, key, own[key])


def _reset():
    # at once, as on a chip: no file is flushed or closed
    os.system("kill -9 $PPID")


def _run(name):
    if name in os.listdir("/"):
        with open("/" + name) as handle:
            program = handle.read()
        try:
            exec(compile(program, name, "exec"), globals())
        except Exception as error:  # noqa: BLE001 - as the REPL of a chip
            sys.print_exception(error)


def _start(flash, program_bytes, has_program, rom=None):
    sys.modules["machine"] = Module("machine", reset=_reset)
    device = Flash(flash)
    medium = Rom(rom) if rom else None
    real_vfs.umount("/")
    try:
        mounted = real_vfs.VfsLfs2(device, progsize=int(program_bytes))
    except OSError:
        # ports/esp32/modules/inisetup.py formats a medium without a file system
        real_vfs.VfsLfs2.mkfs(device, progsize=int(program_bytes))
        mounted = real_vfs.VfsLfs2(device, progsize=int(program_bytes))
    real_vfs.mount(mounted, "/")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    if medium:
        sys.modules["vfs"] = Module("vfs", rom_ioctl=medium.ioctl)
        try:
            real_vfs.mount(real_vfs.VfsRom(medium.content), "/rom")
            sys.path += ["/rom", "/rom/lib"]
        except (OSError, ValueError):
            pass  # no image in it
    try:
        _run("boot.py")
        if has_program == "1":
            _run("main.py")
    except KeyboardInterrupt as error:
        sys.print_exception(error)


_start(*sys.argv[1:])
