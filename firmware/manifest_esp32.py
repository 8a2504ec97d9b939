"""Freeze manifest of a whole firmware for ESP32: FROZEN_MANIFEST in MicroPython's ports/esp32.

FROZEN_MANIFEST replaces the port's own list, whose modules mount the file system: it is included.
"""

include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821
include("manifest.py")  # noqa: F821
module("boot.py", opt=3)  # noqa: F821
module("main.py", opt=3)  # noqa: F821
