"""`writ device`: a board with MicroPython at a serial port."""

import sys
from itertools import chain
from pathlib import Path

import click

from ..device import boardfiles, boardjson, ports, repl, terminal
from ..device import deploy as deploying
from ..device.appfile import read_app
from ..device.board import load_board
from ..device.build.agentfiles import module_files, startup_files
from ..device.ports import Port
from ..errors import NeedsPerson
from . import deviceconfig, devicefiles
from .complete import known_boards
from .devicefiles import port_option
from .output import Output, command


@click.group()
def group() -> None:
    """Work with a board that runs MicroPython, at a serial port."""


group.add_command(deviceconfig.group, "config")
group.add_command(devicefiles.group, "files")


@command(group, "list")
def list_(out: Output) -> None:
    """List the serial ports at USB, and what is likely to be there."""
    found = ports.serial_ports()
    columns = ("port", "USB id", "likely", "serial number")
    if found:
        out.table(columns, [_row(port) for port in found])
    else:
        out.note("no serial port at USB was found")
    out.json({"ports": found})


def _row(port: Port) -> tuple[str, ...]:
    return port.path, port.usb, port.kind, port.serial_number


@command(group)
@port_option
def reset(out: Output, port: str | None) -> None:
    """Reset the board, as its button does."""
    with repl.connect(port, starts=False) as board:
        board.reset()
    out.ok(f"the board at {board.path} starts")
    out.json({"port": board.path})


@command(group)
@port_option
def shell(out: Output, port: str | None) -> None:
    """Open a terminal at the board: Ctrl-C stops its program, Ctrl-D starts it, Ctrl-] leaves."""
    if out.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NeedsPerson("a shell needs a terminal")
    path = ports.choose(port)
    line = repl.open_line(path)
    try:
        out.note(f"{path}: Ctrl-C stops the program, Ctrl-D starts it, Ctrl-] leaves")
        terminal.attach(line, sys.stdin.fileno(), sys.stdout.fileno())
    finally:
        repl.close_line(line)
    out.line()


@command(group)
@port_option
@click.option("--follow", is_flag=True, help="Then print what the board prints, until Ctrl-C.")
def logs(out: Output, port: str | None, follow: bool) -> None:
    """Print the board's log, oldest line first. Its program starts again after that."""
    with repl.connect(port, starts=False) as board:
        try:
            lines = boardfiles.log_lines(board)
        finally:
            board.start_program()
        if follow:
            for line in chain(lines, board.lines()):
                out.event({"line": line}, line)
    for line in lines:
        out.line(line)
    if not lines:
        out.note("the board has no log")
    out.json({"lines": lines})


@command(group)
@port_option
@click.option(
    "--app",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Your program, which becomes /app.py.",
)
@click.option(
    "--board",
    metavar="NAME",
    shell_complete=known_boards,
    help="The kind of the board, checked and written into /board.json: see writ board list.",
)
@click.option("--no-reset", is_flag=True, help="Leave the board in its REPL.")
def deploy(
    out: Output, port: str | None, app: Path | None, board: str | None, no_reset: bool
) -> None:
    """Send the agent and your program to the board: only what differs.

    If it is cut, run it again: the board has whole files, old ones or new ones, and the next deploy
    completes it. The agent comes as .mpy files in /lib, which takes the heap of a board with PSRAM.
    """
    more, platform = {}, None
    if app is not None:
        more["app.py"] = read_app(app)
    if board is not None:
        kind = load_board(board)
        more[boardjson.FILE] = boardjson.device_board(kind)
        # the interpreter on a PC, for trials
        platform = "linux" if kind.chip.family == "host" else kind.chip.family
    wanted = deploying.board_files(module_files(), startup_files(), more)
    with repl.connect(port, starts=False) as found:
        planned = deploying.plan(found, wanted, platform)
        with out.progress("sending", planned.size) as bar:
            deploying.carry_out(found, planned, bar.advance)
        if not no_reset:
            found.reset()
    if planned.is_completed:
        out.note("completed an earlier deploy that was cut")
    for path in planned.removed:
        out.line(f"removed {path}, which the agent no longer has")
    sent = f"{len(planned.changed)} files with {planned.size} bytes"
    out.ok(f"sent {sent} to {found.path}; {planned.kept} were there already")
    out.json(
        {
            "port": found.path,
            "sent": list(planned.changed),
            "bytes": planned.size,
            "removed": list(planned.removed),
            "unchanged": planned.kept,
            "completed": planned.is_completed,
            "reset": not no_reset,
        }
    )
