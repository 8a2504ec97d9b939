"""`writ device`: a board with MicroPython at a serial port."""

import click

from ..device import ports, repl
from ..device.ports import Port
from .output import Output, command

port_option = click.option(
    "--port",
    metavar="PATH",
    help="The board's serial port, such as /dev/ttyACM0. Default: the only one with a board.",
)


@click.group()
def group() -> None:
    """List serial ports, and reset the board that runs MicroPython at one."""


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
