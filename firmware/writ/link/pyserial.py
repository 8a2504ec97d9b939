"""How CPython opens a tty: pyserial knows baud rates and their system calls."""

import os

import serial


def open_tty(path, baud):
    """An unbuffered, non-blocking file: 8 bits, no parity, no echo, and for this process alone.

    Raises `OSError`, also where another process uses the port, and `ValueError` for a baud rate
    that the system refuses.
    """
    port = serial.Serial(path, baud, timeout=0, exclusive=True)
    try:
        # pyserial's own `write` spins while there is no room. The lock belongs to the open file
        # description, which the duplicate keeps
        return open(os.dup(port.fileno()), "r+b", 0)
    finally:
        port.close()
