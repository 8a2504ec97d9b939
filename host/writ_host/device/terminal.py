"""A terminal on a serial port: what is typed goes to the board, what it prints to the screen."""

import os
import select
import termios
import tty
from typing import Any

from .repl import talking

# Ctrl-], as in mpremote and telnet
LEAVE = b"\x1d"
_POLL_S = 0.02


def attach(line: Any, keyboard: int, screen: int) -> None:
    """Pass bytes both ways until Ctrl-] or the end of the keyboard. line: of `repl.open_line`.

    keyboard, screen: file descriptors; the keyboard is a terminal. Raises LostBoard.
    """
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard)
    try:
        while True:
            typed = b""
            if select.select([keyboard], [], [], _POLL_S)[0]:
                typed = os.read(keyboard, 1024)
                if not typed:
                    return
            with talking():
                line.serial.write(typed.partition(LEAVE)[0])
                printed = line.serial.read(line.serial.in_waiting)
            while printed:
                printed = printed[os.write(screen, printed) :]
            if LEAVE in typed:
                return
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
