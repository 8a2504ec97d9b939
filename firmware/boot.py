"""Runs before main.py and before a prompt: it starts the watchdog (docs/boot.md)."""

import sys

if sys.platform == "esp32":
    import esp

    # messages of the vendor's system would mix with the lines that tools read
    esp.osdebug(None)

from writ import board

board.guard()
