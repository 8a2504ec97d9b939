"""A flash in a file, for MicroPython's unix port: it is there after a restart."""

_BLOCK_BYTES = 4096


class Flash:
    """A block device with the extended interface (MicroPython's documentation, `vfs`)."""

    def __init__(self, path):
        self.file = open(path, "r+b")  # noqa: SIM115
        self.blocks = self.file.seek(0, 2) // _BLOCK_BYTES

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * _BLOCK_BYTES + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        # flash clears bits only: a file system that programs twice loses both
        old = bytearray(len(buffer))
        self.readblocks(block, old, offset)
        for at in range(len(buffer)):
            old[at] &= buffer[at]
        self.file.seek(block * _BLOCK_BYTES + offset)
        self.file.write(old)

    def ioctl(self, operation, block):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return _BLOCK_BYTES
        if operation == 6:
            self.file.seek(block * _BLOCK_BYTES)
            self.file.write(b"\xff" * _BLOCK_BYTES)
            return 0
        return None
