"""`writ book`: the address books, which say where members are."""

from pathlib import Path

import click
from click.core import ParameterSource

from ..errors import HostError
from ..node import addressbook
from ..target import check_address
from . import defaults
from .complete import book_names, member_names
from .options import node_option, scope_option
from .output import Output, command


@click.group()
def group() -> None:
    """Show and change address books: where members are.

    A scope's folder and a node's folder each have one, the file book.toml. Commands change the
    scope's, or with --node that of a node. A node looks first in its own. Addresses are hints: the
    handshake proves who answers.
    """


def _chosen(scope: Path, node: Path) -> Path:
    """The folder whose book is meant: --node if it is given, else the scope's."""
    source = click.get_current_context().get_parameter_source("node")
    is_node = source is ParameterSource.COMMANDLINE
    kind, folder = ("node", node) if is_node else ("scope", scope)
    advice = "Name one with --scope or --node, or choose a default: writ use."
    defaults.check_folder(kind, folder, advice)
    return folder


@command(group, "list")
@scope_option
@node_option
def list_(out: Output, scope: Path, node: Path) -> None:
    """List the addresses of the scope's book, of the node's, and where members last answered."""
    rows = []
    for source, folder in (("scope", scope), ("node", node)):
        rows += [(name, at, source) for name, at in sorted(addressbook.read(folder).items())]
    seen = addressbook.read_last_seen(node)
    rows += [(name, one.address, "last answer") for name, one in sorted(seen.items())]
    columns = ("name", "address", "from")
    if rows:
        out.table(columns, rows)
    else:
        out.note("no address is known; to add one: writ book add NAME HOST:PORT")
    out.json({"addresses": [dict(zip(columns, row, strict=True)) for row in rows]})


@command(group)
@click.argument("name", shell_complete=member_names)
@click.argument("address", metavar="HOST:PORT")
@scope_option
@node_option
def add(out: Output, name: str, address: str, scope: Path, node: Path) -> None:
    """Set the address of a member, in place of an earlier one."""
    folder = _chosen(scope, node)
    address = check_address(address)
    addressbook.write(folder, name, address)
    out.ok(f"{name} is at {address}, by {folder / addressbook.BOOK_FILE}")
    out.json({"name": name, "address": address, "file": folder / addressbook.BOOK_FILE})


@command(group)
@click.argument("name", shell_complete=book_names)
@scope_option
@node_option
def remove(out: Output, name: str, scope: Path, node: Path) -> None:
    """Remove a member's address."""
    folder = _chosen(scope, node)
    file = folder / addressbook.BOOK_FILE
    if not addressbook.remove(folder, name):
        raise HostError(f"{file} has no address of {name}", "See: writ book list.")
    out.ok(f"removed {name} from {file}")
    out.json({"name": name, "file": file})
