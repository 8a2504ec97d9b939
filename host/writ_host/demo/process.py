"""A process of the demonstration that logs events as lines of JSON, which are its evidence."""

import contextlib
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .lines import event_text, plain_line
from .proofs import NotProved

START_S = 60.0
# Generous, for a loaded machine: a step ends as soon as its condition holds.
ANSWER_S = 60.0


@dataclass(frozen=True)
class Program:
    """How to start a process. command: what precedes the process' own arguments.

    description: for people, such as "CPython"; directory: the working directory.
    """

    command: Sequence[str]
    environment: dict[str, str]
    description: str
    directory: Path | None = None


@dataclass
class Event:
    """One line of evidence. at: `time.monotonic()` at its arrival; what: the JSON object."""

    at: float
    what: dict[str, Any]


class NoAnswer(NotProved):
    """A process did not log an expected event in time."""


class Process:
    """events: all events so far; on_event(process, event) is called for each."""

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
        self.noise: list[str] = []  # the last lines that are no events, such as a traceback
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._changed = threading.Condition()

    @property
    def pid(self) -> int | None:
        """The process id; None while the process does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def launch(self, *arguments: str) -> None:
        """Start the program with these arguments."""
        self._close()
        self._process = subprocess.Popen(
            [*self.program.command, *arguments],
            env=self.program.environment,
            cwd=self.program.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C must reach the demonstration only, which ends its processes itself
            start_new_session=True,
        )
        assert self._process.stdout
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def kill(self) -> int:
        """Send SIGKILL, which stands for a power cut; returns the exit code."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
        return self.wait()

    def wait(self, timeout_s: float = 10.0) -> int:
        """Wait for the process to end; returns its exit code (negative: the signal)."""
        assert self._process
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"{self.name} still runs after {timeout_s:g} s") from None
        if self._reader:
            self._reader.join(timeout_s)
        return code

    def stop(self) -> None:
        """End the process, in any state."""
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
                # input that the process never read is lost
                with contextlib.suppress(OSError):
                    stream.close()

    def send_line(self, line: str) -> None:
        """Send a line to the process' console. Raises `NoAnswer` if the process has ended."""
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise NoAnswer(f"{self.name} has ended. {self.last_seen}") from None

    # --- events -----------------------------------------------------------------------------------

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            event = _event(line)
            with self._changed:
                if event is None:
                    self.noise = [*self.noise[-50:], line.rstrip()]
                else:
                    self.events.append(event)
                self._changed.notify_all()
            if event:
                self.on_event(self, event)
        with self._changed:
            self._changed.notify_all()

    def mark(self) -> int:
        """A position in `events`: all later events have a higher one."""
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
            f"the event `{kind}`" + _with(wanted),
            since,
            timeout_s,
        ).what

    def wait_until(
        self, fits: Callable[[dict[str, Any]], bool], wanted: str, since: int, timeout_s: float
    ) -> Event:
        """The first event after the mark that fits; `wanted` describes it. Raises `NoAnswer`."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for event in self.events[since:]:
                    if fits(event.what):
                        return event
                since = len(self.events)
                ended = not (self._reader and self._reader.is_alive())
                left = until - time.monotonic()
                if ended or left <= 0:
                    raise NoAnswer(self._missing(wanted, ended, timeout_s))
                self._changed.wait(min(left, 0.5))

    def _missing(self, wanted: str, ended: bool, timeout_s: float) -> str:
        """What was awaited, what the process does, and the last that it said."""
        if ended:
            text = f"{self.name} has ended before {wanted}"
        else:
            text = (
                f"{self.name} runs, but {wanted} was not seen within {timeout_s:g} s: this machine"
                " is overloaded, or the step has failed"
            )
        return f"{text}. {self.last_seen}"

    @property
    def last_seen(self) -> str:
        """The last event, and the last lines that are none, as a sentence."""
        said = [event_text(one.what) for one in self.events[-1:]]
        said += map(plain_line, self.noise[-3:])
        return f"Last seen: {'; '.join(said)}" if said else "It has printed nothing"

    @property
    def log(self) -> list[str]:
        """All events, and the last lines that are none."""
        events = [f"{one.at:.3f} {json.dumps(one.what)}" for one in self.events]
        return [f"{self.name}: {line}" for line in [*events, *self.noise]]


def _with(wanted: dict[str, Any]) -> str:
    listed = ", ".join(f"{key} {value}" for key, value in wanted.items())
    return f" with {listed}" if listed else ""


def _event(line: str) -> Event | None:
    try:
        what = json.loads(line)
    except ValueError:
        return None
    if not isinstance(what, dict) or "event" not in what:
        return None
    return Event(time.monotonic(), what)
