"""A command in a real terminal (a pseudo-terminal) of a given width."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")


class Terminal:
    """A running command; `text` is what it has printed, without escape sequences."""

    def __init__(
        self, words: Sequence[str], columns: int, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns)
        known = {"TERM": "xterm-256color", **environment}
        known.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            list(words), stdin=slave, stdout=slave, stderr=slave, env=known, cwd=folder
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.raw = ""

    def resize(self, columns: int) -> None:
        """Give the terminal this width, and 50 lines."""
        size = struct.pack("HHHH", 50, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @property
    def text(self) -> str:
        """All output so far."""
        try:
            while data := os.read(self._master, 65536):
                self.raw += data.decode("utf-8", "replace")
        except OSError:
            pass  # nothing more now, or the command has ended
        return _ESCAPE.sub("", self.raw)

    def type(self, data: bytes) -> None:
        """Type at the terminal."""
        os.write(self._master, data)

    def wait_for(self, check: Callable[[str], object], timeout_s: float = 30) -> str:
        """Wait until `check(text)` is true; the text then."""
        end = time.monotonic() + timeout_s
        while not check(self.text):
            assert time.monotonic() < end, self.text
            time.sleep(0.05)
        return self.text

    def finish(self, timeout_s: float = 30) -> str:
        """Wait until the command has ended; its whole output."""
        end = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text
            time.sleep(0.02)
            _ = self.text  # a full terminal would stop the command
        return self.text

    def close(self) -> None:
        """End the command."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
