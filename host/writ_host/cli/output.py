"""The output of commands: lines and tables for people, or JSON for programs, never both.

    @command(group)                        # or @command() for one of the top level
    @click.argument("name")
    def show(out: Output, name: str) -> None:
        "Help of the command."
        out.fields({"name": name, ...})    # people only
        out.json({"name": name, ...})      # --json only: one document

With --json stdout is one JSON document, or one JSON object a line for a stream of events (`event`).
Texts may come from untrusted peers: control characters and markup are shown, never interpreted.
"""

import contextlib
import dataclasses
import errno
import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from writ.errors import UsageError

from ..errors import NeedsPerson
from .boundary import OutputClosed, discard_stdout
from .layout import field_lines, is_in_blocks, table_lines, wrapped


def command(
    group: click.Group | None = None, name: str | None = None, **attributes: Any
) -> Callable[[Callable[..., None]], click.Command]:
    """Decorator: a command, of `group` or on its own, with --json.

    The function gets an `Output` as its first argument, the parameters by name after it.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(as_json: bool, **parameters: Any) -> None:
            out = Output(as_json)
            try:
                function(out, **parameters)
            except UsageError as error:
                # with the command, whose --help the report names
                raise click.UsageError(str(error)) from error
            out.finish()

        make = click.command if group is None else group.command
        made = make(name, **attributes)(run)
        made.params.append(
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON on stdout only.")
        )
        return made

    return decorate


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the process here
        raise BrokenPipeError(errno.EPIPE, "broken pipe")


class Bar:
    """A progress bar of long work: `advance` it, or begin its `next` step."""

    def __init__(self, bars: Bars | None, task: Any = None) -> None:
        self._bars = bars
        self._task = task

    def advance(self, count: int = 1) -> None:
        if self._bars:
            self._bars.advance(self._task, count)

    def next(self, text: str) -> None:
        """Advance by one, and show what is done now."""
        if self._bars:
            self._bars.update(self._task, advance=1, description=printable(text))


class Output:
    """A command's output. as_json: only `json` and `event` print.

    Output that cannot be written stops no command: what it does counts more than what it says. A
    closed pipe is silence; another failure is reported by `finish`. Only a stream of events ends.

    is_live: whether stdout is a terminal, where progress bars and live views make sense.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.errors = _Console(stderr=True, highlight=False, markup=False, emoji=False)
        is_terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        self.is_live = is_terminal and not as_json
        self._failure: OSError | None = None  # why stdout takes no more output

    @property
    def width(self) -> int | None:
        """Columns to fit now, None for no limit (layout.py)."""
        return self.console.width if self.is_live else None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failure = self._failure or error
            discard_stdout()

    def finish(self) -> None:
        """Raise the `OSError` that output met, unless its reader closed it."""
        if self._failure is not None and self._failure.errno != errno.EPIPE:
            raise OSError(self._failure.errno, self._failure.strerror, "standard output")

    # --- for people -------------------------------------------------------------------------------

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line (or several) of prose."""
        with self._writing():
            if self.is_live:
                for one in printable(text).split("\n"):
                    # a command to copy stays in one piece
                    is_command = one.startswith("  writ ")
                    for part in [one] if is_command else wrapped(one, self.width):
                        self.console.print(part, style=style)
            elif not self.as_json:
                # a log of a busy governor: plain print is far cheaper than the console's layout
                print(printable(text), file=self.console.file, flush=True)

    def ok(self, text: str) -> None:
        """A result."""
        self.line(text, "green")

    def note(self, text: str) -> None:
        """A next step, or background information."""
        self.line(text, "dim")

    def wait(self, text: str) -> None:
        """What the command waits for, on stderr: stdout may be read by a program."""
        if not self.as_json:
            with contextlib.suppress(OSError):
                self.errors.print(printable(text), style="dim", soft_wrap=True)

    def warn(self, text: str, with_json: bool = False) -> None:
        """A warning, on stderr; with --json only if `with_json`."""
        if with_json or not self.as_json:
            width = self.errors.width if self.errors.is_terminal else None
            with contextlib.suppress(OSError):
                for part in wrapped(f"warning: {printable(text)}", width, 9):
                    self.errors.print(part, style="yellow", soft_wrap=True)

    def fields(self, values: Mapping[str, object]) -> None:
        """Labels and values, one a line, with aligned values. A value of None is omitted."""
        rows = {label: _cell(value) for label, value in values.items() if value is not None}
        if not self.as_json:
            self._print_fields(rows, field_lines(rows, self.width))

    def _print_fields(self, labels: Iterable[str], lines: Iterable[str]) -> None:
        """Print lines of `field_lines`, each label in bold."""
        for line in lines:
            text = Text(line)
            label = next((one for one in labels if f"{line} ".startswith(f"{one} ")), "")
            if self.is_live and label:
                text.stylize("bold", 0, len(label))
            with self._writing():
                self.console.print(text)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = ""
    ) -> None:
        """A table, never truncated: a block a row on a terminal that is too narrow for it."""
        if self.as_json:
            return
        cells = [[_cell(value) for value in row] for row in rows]
        if title:
            self.line(title)
        lines = table_lines(columns, cells, self.width)
        if is_in_blocks(columns, cells, self.width):
            # what follows is no part of the last block
            self._print_fields(columns, [*lines, ""])
            return
        with self._writing():
            self.console.print(Text(lines[0], style="bold" if self.is_live else ""))
            for line in lines[1:]:
                self.console.print(Text(line))

    @contextlib.contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Bar]:
        """A progress bar on stderr around long work; nothing without a terminal."""
        if self.as_json or not self.errors.is_terminal:
            yield Bar(None)
            return
        if self.errors.is_dumb_terminal:
            # no bar can be drawn, but a long silence looks like a hang
            self.errors.print(f"{printable(label)} ...")
            yield Bar(None)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        if total is not None:
            columns = (*columns, MofNCompleteColumn())  # type: ignore[assignment]
        with Bars(*columns, console=self.errors, transient=True) as bars:
            yield Bar(bars, bars.add_task(printable(label), total=total))

    def confirm(self, question: str, yes: bool = False) -> None:
        """Continue only if a person confirms. yes: confirmed by --yes. Raises `NeedsPerson`."""
        if yes:
            return
        if self.as_json or not sys.stdin.isatty():
            raise NeedsPerson(
                f"not confirmed: {question}", "To confirm, run the command again with --yes."
            )
        if not click.confirm(printable(question)):
            raise NeedsPerson("not confirmed; nothing was done")

    def confirm_compared(self, question: str, what: str, values: str, yes: bool) -> None:
        """Continue only if a person has compared these values. Raises `NeedsPerson`.

        what: "the fingerprint", the subject of "was not compared"; values: "" if there is nothing
        to compare. yes: --yes skips the comparison. Then a warning says so, with --json too.
        """
        self.confirm(question, yes)
        if yes and values:
            self.warn(f"--yes: {what} was not compared: {values}", with_json=True)

    # --- for programs -----------------------------------------------------------------------------

    def json(self, document: object) -> None:
        """The command's one JSON document; bytes become hex."""
        if self.as_json:
            with self._writing():
                click.echo(json.dumps(plain(document), indent=2))

    def event(self, document: Mapping[str, object], text: str) -> None:
        """One event of a stream, as a line of JSON or of text. Flushed at once.

        Raises `OutputClosed` when the stream has no reader any more.
        """
        with self._writing():
            if self.as_json:
                click.echo(json.dumps(plain(document)))
            else:
                # a part of it, such as a topic, may come from an attacker who forges a line
                self.line(text.replace("\n", "\\n"))
            sys.stdout.flush()
        if self._failure is not None:
            self.finish()
            raise OutputClosed


def printable(text: str) -> str:
    """`text` with all control characters but the line feed escaped."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_cell(item) for item in value)
    return printable(str(value)).replace("\n", "\\n")


def plain(value: object) -> Any:
    """`value` in JSON's types: bytes as hex, paths as text, dataclasses as objects."""
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _key(key: object) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)
