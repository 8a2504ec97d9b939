"""`writ member list` and `show`: the members of a scope, for people and programs."""

from pathlib import Path
from typing import Any

import click

from writ.authority.capsule import Member
from writ.errors import Rejection
from writ.limits import REQUEST_BYTES_MAX

from .. import files, humanize
from ..errors import Malformed
from ..node import addressbook
from ..policy.text import role_text
from ..scope.admission import Admission, read_request
from ..scope.folder import ScopeFolder, now_s
from .complete import member_names
from .options import scope_option
from .output import Output, command
from .revocation import find_member
from .view import View, open_view


def roles_text(folder: ScopeFolder, mask: int) -> str:
    """The names of the roles in a mask, for people."""
    if not mask:
        return "none"
    return role_text(folder.policy, mask, "and") if folder.policy else str(mask)


def member_document(folder: ScopeFolder, one: Admission | Member) -> dict[str, Any]:
    """A member, or one to be admitted, for programs."""
    node_id = one.request.node_id if isinstance(one, Admission) else one.node_id
    names = folder.policy.role_names if folder.policy else []
    roles = [name for bit, name in enumerate(names, 1) if one.roles >> bit & 1]
    return {
        "name": one.name,
        "node_id": node_id,
        "short_address": one.address,
        "roles": roles,
        "expires": one.expires,
    }


@command(name="list")
@scope_option
@click.option("--all", "all_", is_flag=True, help="Include members whose name has a newer key.")
def list_(out: Output, scope: Path, all_: bool) -> None:
    """List the members, and the requests that wait for admission.

    With a governor's daemon the list is refreshed first. Epoch, IP address and the time of the last
    message are those that this governor's node has heard; else the address is that of book.toml.
    """
    view = open_view(scope)
    folder = view.folder
    members = folder.members.all() if all_ else folder.members.newest()
    documents = [_seen_document(view, one) for one in members]
    rows = [_member_row(folder, one, two) for one, two in zip(members, documents, strict=True)]
    out.table(_COLUMNS, rows)
    view.say(out)
    waiting = [path.stem for path in folder.requests() if _is_open(folder, path)]
    if waiting:
        out.note(f"requested, not admitted: {', '.join(waiting)}")
    out.json({"members": documents, "requests": waiting, **view.document()})


_COLUMNS = (
    *("name", "roles", "state", "expires in", "epoch", "last heard", "IP address"),
    *("short address", "node id"),
)


def _seen_document(view: View, one: Member) -> dict[str, Any]:
    heard = view.of(one.node_id)
    address = heard.get("address") or addressbook.read(view.folder.path).get(one.name)
    return {
        **member_document(view.folder, one),
        "state": view.folder.state_of(one, now_s()),
        "address": address,
        "epoch": heard.get("epoch"),
        "last_heard": heard.get("heard"),
    }


def _member_row(folder: ScopeFolder, one: Member, document: dict[str, Any]) -> tuple[object, ...]:
    roles = folder.policy.roles_of(one) & ~1 if folder.policy else one.roles
    left = humanize.duration(one.expires - now_s()) if document["state"] == "ok" else ""
    heard = document["last_heard"]
    ago = "" if heard is None else f"{humanize.duration(max(0, now_s() - heard))} ago"
    return (
        *(one.name, roles_text(folder, roles), document["state"], left, document["epoch"], ago),
        *(document["address"], one.address, one.node_id),
    )


def _is_open(folder: ScopeFolder, path: Path) -> bool:
    """Whether a request waits for admission: a request also stays for the renewal."""
    try:
        raw = files.read_bounded(path, REQUEST_BYTES_MAX)
        return read_request(raw).node_id not in folder.members.names()
    except (Malformed, Rejection):
        return True


@command()
@click.argument("name", shell_complete=member_names)
@scope_option
def show(out: Output, name: str, scope: Path) -> None:
    """Show one member: NAME, or its node id."""
    view = open_view(scope)
    member = find_member(view.folder, name)
    document = {**_seen_document(view, member), "key": member.x, "capsule": member.raw}
    heard = document["last_heard"]
    shown = {
        **document,
        "roles": roles_text(view.folder, member.roles),
        "expires": humanize.moment(member.expires),
        "last_heard": heard and humanize.moment(heard),
    }
    names = {"address": "IP address"}
    out.fields({names.get(key, key.replace("_", " ")): value for key, value in shown.items()})
    view.say(out)
    out.json({**document, **view.document()})
