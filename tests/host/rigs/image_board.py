"""A board on MicroPython's unix port: `micropython image_board.py FLASH PROGRAM_BYTES [ROMFS]`.

FLASH is a file with a LittleFS image, which is the medium of a block device, as flash is: what is
written there is there after a restart. ROMFS is a file with an image, which this port can mount
from its heap only. Mount points and search order are those of boards.
"""

import os
import sys

import vfs
from flash_file import Flash

flash = Flash(sys.argv[1])
rom = None
if len(sys.argv) > 3:
    with open(sys.argv[3], "rb") as handle:
        rom = handle.read()
vfs.umount("/")
vfs.mount(vfs.VfsLfs2(flash, progsize=int(sys.argv[2])), "/")
sys.path[:] = ["", ".frozen", "/lib"]
if rom:
    vfs.mount(vfs.VfsRom(rom), "/rom")
    sys.path += ["/rom", "/rom/lib"]
del rom
os.chdir("/")
for name in ("boot.py", "main.py"):
    if name in os.listdir("/"):
        with open("/" + name) as handle:
            program = handle.read()
        exec(compile(program, name, "exec"))
