"""A process of the demonstration that tells what happens in lines of JSON: its evidence."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .proofs import NotProved

START_S = 30.0
ANSWER_S = 20.0


@dataclass(frozen=True)
class Program:
    """How a process is run: the command before its own words, its environment, its name, where."""

    command: Sequence[str]
    environment: dict[str, str]
    words: str
    directory: Path | None = None


@dataclass
class Event:
    """A line of evidence. at: `time.monotonic()` when it came."""

    at: float
    what: dict[str, Any]


class NoAnswer(NotProved):
    """A process did not say what it should have said in time."""


class Process:
    """`events` has all that it told; on_event(process, event) is told of each."""

    def __init__(
        self,
        name: str,
        folder: Path,
        program: Program,
        on_event: Callable[["Process", Event], None] = lambda process, event: None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.program = program
        self.on_event = on_event
        self.events: list[Event] = []
        self.noise: list[str] = []  # what it printed that is no evidence, such as a traceback
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._told = threading.Condition()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def launch(self, *words: str) -> None:
        """Run the program with these words."""
        self._close()
        self._process = subprocess.Popen(
            [*self.program.command, *words],
            env=self.program.environment,
            cwd=self.program.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is for the demonstration, which ends its processes itself
            start_new_session=True,
        )
        assert self._process.stdout
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def kill(self) -> int:
        """SIGKILL, as a power cut is; its exit code."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
        return self.wait()

    def wait(self, timeout_s: float = 10.0) -> int:
        """Its exit code (negative: the signal), when it has ended by itself."""
        assert self._process
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"{self.name} still runs after {timeout_s:g} s") from None
        if self._reader:
            self._reader.join(timeout_s)
        return code

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._reader:
            self._reader.join(2.0)
        self._close()

    def _close(self) -> None:
        if self._process is None:
            return
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                # what it was told and never read is lost
                with contextlib.suppress(OSError):
                    stream.close()

    def tell(self, line: str) -> None:
        """Type a line at its console."""
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise NoAnswer(f"{self.name} has ended; {'; '.join(self.noise[-3:])}") from None

    # --- what it tells ----------------------------------------------------------------------------

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            event = _event(line)
            with self._told:
                if event is None:
                    self.noise = [*self.noise[-50:], line.rstrip()]
                else:
                    self.events.append(event)
                self._told.notify_all()
            if event:
                self.on_event(self, event)
        with self._told:
            self._told.notify_all()

    def mark(self) -> int:
        """A place in `events`: what comes later comes after this call."""
        return len(self.events)

    def wait_for(
        self, kind: str, since: int = 0, timeout_s: float = ANSWER_S, **wanted: Any
    ) -> dict[str, Any]:
        """The first event of this kind, with these values, after the mark. Raises `NoAnswer`."""
        return self.wait_until(
            lambda what: (
                what["event"] == kind
                and all(what.get(key) == value for key, value in wanted.items())
            ),
            f"{kind} {wanted or ''}".strip(),
            since,
            timeout_s,
        ).what

    def wait_until(
        self, fits: Callable[[dict[str, Any]], bool], words: str, since: int, timeout_s: float
    ) -> Event:
        """The first event after the mark that fits. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        with self._told:
            while True:
                for event in self.events[since:]:
                    if fits(event.what):
                        return event
                since = len(self.events)
                ended = not (self._reader and self._reader.is_alive())
                left = until - time.monotonic()
                if ended or left <= 0:
                    state = "has ended" if ended else f"said nothing in {timeout_s:g} s"
                    noise = "; ".join(self.noise[-3:])
                    raise NoAnswer(f"{self.name} {state} ({words}) {noise}".rstrip())
                self._told.wait(min(left, 0.5))


def _event(line: str) -> Event | None:
    try:
        what = json.loads(line)
    except ValueError:
        return None
    if not isinstance(what, dict) or "event" not in what:
        return None
    return Event(time.monotonic(), what)


def clean_environment(**settings: str) -> dict[str, str]:
    """This process' environment with these settings, and without what would change a process."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "MICROPYPATH") and not key.startswith("WRIT_")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}
