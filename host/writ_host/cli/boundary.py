"""The boundary that reports all errors of commands, never with a traceback.

An error is two lines on stderr: what happened, and what to do next. With --json it is
{"error": {...}} on stdout.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import click

from writ.errors import Rejection, TimedOut, UsageError, WritError

from ..errors import (
    HostError,
    Interrupted,
    NeedsPerson,
    NotReachable,
    RefusedByNode,
    Stalled,
    WeakPassphrase,
    WrongPassphrase,
)
from ..refusals import advice_for, rejection_text

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
PERSON = 4
BUG = 5
INTERRUPTED = 130

# The first class that fits decides.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (NotReachable, UNREACHABLE),
    (TimedOut, UNREACHABLE),
    (NeedsPerson, PERSON),
    (WrongPassphrase, PERSON),
    (WeakPassphrase, PERSON),
    (Stalled, PERSON),
    (Interrupted, INTERRUPTED),
    (UsageError, USAGE),
    (HostError, REFUSED),
    (WritError, REFUSED),
    (OSError, REFUSED),
)


class OutputClosed(Exception):
    """The reader of a stream of events has closed the pipe: the command is done."""


def discard_stdout() -> None:
    """Send what is still printed, and the interpreter's flush at its exit, to nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True)
class ErrorReport:
    """An error's report and exit code. name: stable, for programs."""

    name: str
    message: str
    advice: str
    exit_code: int
    code: int | None = None  # the code of a rejection (writ.errors)
    details: tuple[str, ...] = ()  # lines that follow the message


def run_guarded(run: Callable[[], Any], as_json: bool) -> int:
    """Call `run`, report what it raises, and return the exit code."""
    stdout = sys.stdout
    try:
        result = run()
    except (BrokenPipeError, OutputClosed):
        # the reader of the output (head, less) has closed it
        return 0
    except SystemExit:
        # Click exits with 1, and wraps stdout, where its own output such as --help meets a closed
        # pipe
        if sys.stdout is not stdout:
            return 0
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        # its message is the whole help
        print(error.format_message(), file=sys.stderr)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        report(ErrorReport("Interrupted", "interrupted", "", INTERRUPTED), as_json)
        return INTERRUPTED
    except click.ClickException as error:
        found = _usage(error)
    except Exception as error:  # noqa: BLE001 - the boundary: a bug is reported in two lines, too
        found = explain(error)
    else:
        # Click returns the code that Context.exit was called with
        return result if isinstance(result, int) else 0
    report(found, as_json)
    return found.exit_code


def explain(error: Exception) -> ErrorReport:
    """The report of an error. With WRIT_DEBUG set a bug prints its traceback, too."""
    name = type(error).__name__
    exit_code = next((code for kind, code in _CODES if isinstance(error, kind)), BUG)
    if exit_code == BUG:
        if os.environ.get("WRIT_DEBUG"):
            traceback.print_exception(error)
        advice = "Please report this bug, with the output of WRIT_DEBUG=1."
        return ErrorReport(name, f"bug in writ: {name}: {error}", advice, BUG)
    if isinstance(error, Rejection):
        return ErrorReport(name, rejection_text(error), advice_for(error), exit_code, error.code)
    if isinstance(error, RefusedByNode):
        return ErrorReport(error.name or name, str(error), error.advice, exit_code, error.code)
    if isinstance(error, HostError):
        details = getattr(error, "details", ())
        return ErrorReport(name, str(error), error.advice, exit_code, details=details)
    if isinstance(error, OSError):
        return ErrorReport(name, _os_text(error), _os_advice(error), exit_code)
    return ErrorReport(
        name, str(error) or rejection_text(error), "writ --help shows the usage.", exit_code
    )


def _usage(error: click.ClickException) -> ErrorReport:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "writ"
    # Click lists choices on lines of their own
    message = " ".join(error.format_message().split())
    meant = _command_meant(context, message) or _order_meant(context, error)
    advice = f"{meant}See {path} --help."
    return ErrorReport(type(error).__name__, message, advice, error.exit_code)


def _command_meant(context: click.Context | None, message: str) -> str:
    """ "Did you mean 'status'? " for a mistyped command, or one of another group, else ""."""
    found = re.match(r"No such command '(.*)'\.$", message)
    group = context.command if context else None
    if not found or context is None or not isinstance(group, click.Group):
        return ""
    if elsewhere := _groups_with(context.find_root(), found[1]):
        return f"Did you mean {' or '.join(elsewhere)}? "
    close = get_close_matches(found[1], group.list_commands(context), 1)
    return f"Did you mean '{close[0]}'? " if close else ""


def _groups_with(root: click.Context, word: str) -> list[str]:
    """["'writ member revoke'"] for "revoke": the groups that have this command."""
    found = []
    if isinstance(root.command, click.Group):
        for name in root.command.list_commands(root):
            group = root.command.get_command(root, name)
            if isinstance(group, click.Group) and word in group.list_commands(root):
                found.append(f"'{root.info_name} {name} {word}'")
    return found


def _order_meant(context: click.Context | None, error: click.ClickException) -> str:
    """ "Options follow a command ..." where a group was given one, such as --json, else ""."""
    group = context.command if context else None
    if not isinstance(error, click.NoSuchOption) or not isinstance(group, click.Group):
        return ""
    assert context is not None
    return f"Options follow a command: {context.command_path} COMMAND {error.option_name}. "


def _os_text(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


def _os_advice(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Check the file's owner and mode, and the user that runs writ."
    if error.errno == errno.ENOENT:
        return "Check the path; --scope and --node choose the folder."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space on that disk, and run the command again."
    if error.errno == errno.EADDRINUSE:
        return 'Another program uses that port: stop it, or set another "listen" in config.json.'
    return "Fix the problem, and run the command again."


def report(found: ErrorReport, as_json: bool) -> None:
    """Print the report: two lines on stderr, or one document on stdout."""
    if as_json:
        error: dict[str, object] = {
            "name": found.name,
            "code": found.code,
            "message": found.message,
            "advice": found.advice,
            "exit_code": found.exit_code,
        }
        if found.details:
            error["details"] = list(found.details)
        with contextlib.suppress(OSError):
            click.echo(json.dumps({"error": error}))
        return
    # slow to import
    from .layout import wrapped
    from .output import printable

    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    # a text of another node may have several lines
    details = [("        ", line) for line in found.details]
    for start, text in (("writ: ", found.message), *details, ("      ", found.advice)):
        line = start + printable(text).replace("\n", "\\n")
        with contextlib.suppress(OSError):
            for part in wrapped(line, width, 6) if text else ():
                print(part, file=sys.stderr)
