"""Freeze manifest of a whole firmware for RP2: FROZEN_MANIFEST in MicroPython's ports/rp2.

The board's own list has the modules that mount the file system and those of its network. It is for
boards with a list, as those with Wi-Fi have; FROZEN_MANIFEST replaces it, so it is included.
"""

include("$(BOARD_DIR)/manifest.py")  # noqa: F821
include("manifest.py")  # noqa: F821
module("boot.py", opt=3)  # noqa: F821
module("main.py", opt=3)  # noqa: F821
