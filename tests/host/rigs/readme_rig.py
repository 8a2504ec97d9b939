"""Shells in pseudo-terminals that run the command lines of README.md as a reader types them."""

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import build_mpy
from docs_rig import DOCS

ROOT = DOCS.parent
# where `writ` and `python` are
BIN = Path(sys.executable).parent
PASSPHRASE = "correct horse battery staple"
# bash prints it before each line that it reads
_READY = "<ready>"
_ANSWERS = ((r"(assphrase[^\n]*|for confirmation): ?\Z", PASSPHRASE), (r"\[y/N\]: ?\Z", "y"))
# what comments of the pages promise
_PROMISES = "refused: .+?|passes nothing .+?|epoch [0-9]+|[0-9.]+"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")


class Shell:
    """An interactive bash; it answers questions with yes, and with a passphrase."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        known = {"TERM": "xterm-256color", "PS1": _READY, "PS2": _READY, **environment}
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "--noediting", "-i"],
            stdin=slave, stdout=slave, stderr=slave, env=known, cwd=folder,
            start_new_session=True, preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)
        os.set_blocking(self._master, False)
        self.text, self._prompts = "", 1
        self.until_ready()
        # so that `text` is only what commands print
        self.run("stty -echo")

    def start(self, lines: str) -> None:
        """Type the lines; do not wait."""
        self.text, self._prompts = "", len(lines.rstrip("\n").split("\n"))
        os.write(self._master, lines.rstrip("\n").encode() + b"\n")

    def run(self, lines: str, timeout_s: float = 60) -> str:
        """Type the lines, and wait until bash has finished them; what was printed."""
        self.start(lines)
        return self.until_ready(timeout_s)

    def until_ready(self, timeout_s: float = 60) -> str:
        """Wait until bash has finished all lines; what was printed."""
        end = time.monotonic() + timeout_s
        while self.read().count(_READY) < self._prompts:
            assert time.monotonic() < end, self.text
            time.sleep(0.02)
        return self.text.replace(_READY, "")

    def wait_for(self, pattern: str, timeout_s: float = 60) -> str:
        """Wait until the output matches; the first group of the match."""
        end = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self.read())):
            assert time.monotonic() < end, self.text
            time.sleep(0.02)
        return found[1] if found.groups() else found[0]

    def read(self) -> str:
        """All output since the last line was typed; open questions are answered."""
        try:
            while data := os.read(self._master, 65536):
                self.text += _ESCAPE.sub("", data.decode("utf-8", "replace"))
        except OSError:
            pass  # nothing more now, or the shell has ended
        for question, answer in _ANSWERS:
            if re.search(question, self.text):
                self.text += "\n"
                os.write(self._master, answer.encode() + b"\n")
        return self.text

    def interrupt(self) -> str:
        """Press Ctrl-C; the output until bash is ready again."""
        os.write(self._master, b"\x03")
        return self.until_ready()

    def stop(self) -> None:
        """End the shell, and with its terminal all that it runs."""
        os.close(self._master)
        self.process.wait(30)


def make_checkout(folder: Path, *names: str) -> Path:
    """A folder that is to commands as this repository, with these parts; `make` does nothing."""
    folder.mkdir()
    (folder / ".venv").symlink_to(BIN.parent)
    (folder / "Makefile").write_text("venv mpy:\n\t@true\n")
    for name in names:
        (folder / name).symlink_to(ROOT / name)
    if build_mpy.find_compiler():
        build_mpy.build(folder / "build/mpy")
    return folder


def promised(text: str) -> list[str]:
    """What the comments of a block say that its commands print."""
    return re.findall(rf"# ({_PROMISES})(?: \.\.\.|; .*)?$", text, re.M)


def in_order(parts: list[str], output: str) -> bool:
    """Whether the output contains all parts, one after the other."""
    return re.search(".*".join(map(re.escape, parts)), " ".join(output.split())) is not None


def shell_environment(home: Path) -> dict[str, str]:
    """The environment of a user who has set nothing, with this home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "HOME": str(home)}


def _take_terminal() -> None:
    """Make the terminal on stdin the one that controls this session, for Ctrl-C and jobs."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
