"""`writ device files`: the files of a board."""

import posixpath
from pathlib import Path

import click

from .. import files
from ..device import boardfiles, deploy, repl
from ..errors import HostError
from .options import yes_option
from .output import Output, command

port_option = click.option(
    "--port",
    metavar="PATH",
    help="The board's serial port, such as /dev/ttyACM0. Default: the only one with a board.",
)
secret_option = click.option(
    "--secret", "allow_secret", is_flag=True, help="Allow /node and /wifi.json, which hold secrets."
)


@click.group()
def group() -> None:
    """List, get, put and remove files of the board."""


def _checked(path: str, allow_secret: bool) -> str:
    found = boardfiles.absolute(path)
    if boardfiles.is_secret(found) and not allow_secret:
        raise HostError(
            f"{found} holds secrets of the node",
            "If you need it, run the command again with --secret, and keep the file private.",
        )
    return found


@command(group, "list")
@click.argument("folder", default="/")
@port_option
def list_(out: Output, folder: str, port: str | None) -> None:
    """List the files of the board, or of one folder, with their sizes."""
    with repl.connect(port) as board:
        found = boardfiles.listing(board, boardfiles.absolute(folder))
    out.table(("bytes", "path"), [(one.size, one.path) for one in found])
    out.json({"files": found})


@command(group)
@click.argument("path")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@port_option
@secret_option
@yes_option
def get(
    out: Output, path: str, file: Path | None, port: str | None, allow_secret: bool, yes: bool
) -> None:
    """Copy a file of the board to FILE, by default one of the same name here."""
    source = _checked(path, allow_secret)
    target = file or Path(posixpath.basename(source) or "root")
    if files.exists(target):
        out.confirm(f"Replace {target}?", yes)
    with repl.connect(port) as board, out.progress("receiving") as bar:
        content = boardfiles.read(board, source, advance=bar.advance)
    files.write_atomically(target, content, 0o600 if boardfiles.is_secret(source) else 0o644)
    out.ok(f"{source} is in {target}: {len(content)} bytes")
    out.json({"path": source, "file": target, "bytes": len(content)})


@command(group)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("path", required=False)
@port_option
@secret_option
def put(out: Output, file: Path, path: str | None, port: str | None, allow_secret: bool) -> None:
    """Copy FILE to the board, by default into its root folder; a cut leaves the old file."""
    content = files.read_bounded(file, boardfiles.FILE_BYTES_MAX)
    target = _checked(file.name if path is None else path, allow_secret)
    with repl.connect(port) as board, out.progress("sending", len(content)) as bar:
        deploy.put(board, target, content, bar.advance)
    out.ok(f"{file} is on the board as {target}: {len(content)} bytes")
    out.json({"path": target, "file": file, "bytes": len(content)})


@command(group)
@click.argument("path")
@port_option
@secret_option
@yes_option
def rm(out: Output, path: str, port: str | None, allow_secret: bool, yes: bool) -> None:
    """Remove a file or an empty folder of the board."""
    target = _checked(path, allow_secret)
    out.confirm(f"Remove {target} from the board?", yes)
    with repl.connect(port) as board:
        boardfiles.remove(board, target)
    out.ok(f"removed {target}")
    out.json({"path": target})
