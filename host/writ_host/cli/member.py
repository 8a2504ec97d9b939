"""`writ member`: ask for membership, admit, list, show and revoke."""

from pathlib import Path
from typing import Any

import click

from writ.authority.capsule import check_name
from writ.errors import Rejection

from .. import humanize
from ..errors import HostError, UnknownNode
from ..node import addressbook, provision
from ..policy.edit import add_revoked
from ..policy.text import role_text
from ..refusals import rejection_text
from ..scope import admission as admitting
from ..scope import issuance, pending
from ..scope.admission import Admission, MembershipRequest, read_request
from ..scope.delivery import fetch_request, find_targets, full_sender
from ..scope.folder import NoScopeHere, ScopeFolder, now_s
from ..target import check_address
from . import delivering
from .delivering import deliver_option
from .names import node_name
from .options import scope_option, timeout_option, yes_option
from .output import Output, command
from .policy import finish_change, resumed, run_change
from .signers import Who, certifying, going_on, open_scope, open_signer, signing_options

_folder = click.Path(file_okay=False, path_type=Path)


@click.group()
def group() -> None:
    """Ask for membership, admit, list and revoke."""


@command(group)
@click.argument("directory", metavar="[DIR]", required=False, type=_folder)
@click.option(
    "--name", callback=node_name, help="What the node calls itself; DIR's own name otherwise."
)
@click.option("--from", "address", metavar="HOST:PORT", help="Fetch the request of a device.")
@click.option("--listen", metavar="HOST:PORT", help="Where the node will listen.")
@click.option("--gateway", "gateways", multiple=True, metavar="HOST:PORT", help="Whom it may ask.")
@scope_option
@timeout_option
def request(
    out: Output,
    directory: Path | None,
    name: str | None,
    address: str | None,
    listen: str | None,
    gateways: tuple[str, ...],
    scope: Path,
    timeout_s: float,
) -> None:
    """Ask for membership: for a node in folder DIR of this machine, or for a device (--from).

    DIR gets config.json and a key, which never leaves it. Compare the node id that is shown with
    what the device says of itself: the request proves possession of a key, not whose it is.
    """
    if (directory is None) == (address is None):
        raise click.UsageError("give the folder of a node, or --from HOST:PORT")
    folder = _maybe(scope)
    if address is not None:
        address = check_address(address)
        raw = fetch_request(address, timeout_s)
    else:
        assert directory is not None
        scope_id = folder.charter.scope if folder else None
        has_config = (directory / "config.json").exists()
        chosen = name if name or has_config else _name_of(directory)
        raw = provision.make_node(directory, chosen, scope_id, listen, gateways)
    found = _read(raw, address or str(directory))
    path = _keep(folder, found, name or found.name, address, directory)
    out.fields({"name": name or found.name, "node id": found.node_id, "request": path})
    out.note("compare the node id with the node's own, then  writ member admit " + str(path))
    if folder is None:
        out.note(f"no scope in {scope}: take the request to where one is")
    out.json({"name": name or found.name, "node_id": found.node_id, "request": path, "bytes": raw})


def _name_of(directory: Path) -> str:
    name = directory.resolve().name.lower()
    try:
        return str(check_name(name))
    except Rejection:
        raise click.UsageError(f"{name!r} is no name for a node: give --name NAME") from None


def _maybe(scope: Path) -> ScopeFolder | None:
    try:
        return ScopeFolder.open(scope)
    except NoScopeHere:
        return None


def _read(raw: bytes, where: str) -> MembershipRequest:
    try:
        return read_request(raw)
    except Rejection as error:
        raise HostError(
            f"{where}: no good request: {rejection_text(error)}",
            "Have the node make it again; writ capsule inspect FILE shows what is wrong.",
        ) from None


def _keep(
    folder: ScopeFolder | None,
    found: MembershipRequest,
    name: str,
    address: str | None,
    directory: Path | None,
) -> Path:
    if folder is not None:
        path = folder.save_request(name, found.raw)
        if address is not None:
            addressbook.write(folder.path, name, address)
        return path
    path = (directory or Path()) / f"{name}.request.cbor"
    path.write_bytes(found.raw)
    return path


@command(group)
@click.argument("requests", nargs=-1, required=True, metavar="REQUEST...")
@click.option("--role", "roles", multiple=True, help="A certified role; may be repeated.")
@click.option("--no-role", is_flag=True, help="A member without any role.")
@click.option(
    "--name", callback=node_name, help="Another name than the one asked for; with one REQUEST only."
)
@click.option("--expires", default=admitting.DEFAULT_VALIDITY, show_default=True)
@click.option("--out", "target", type=_folder, help="Put the capsules into this node's folder.")
@click.option("--no-deliver", is_flag=True, help="Do not hand over to addresses of the book.")
@scope_option
@signing_options
@deliver_option
@timeout_option
@yes_option
def admit(
    out: Output,
    requests: tuple[str, ...],
    roles: tuple[str, ...],
    no_role: bool,
    name: str | None,
    expires: str,
    target: Path | None,
    no_deliver: bool,
    scope: Path,
    who: Who,
    deliver: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Admit, or renew, who asks in REQUEST (a file, or a name in the folder's requests).

    All are certified together. Who has an address (book.toml, --deliver HOST:PORT) is handed
    charter, policy, its member capsule and the beacon.
    """
    if len(requests) > 1 and (name or target or deliver):
        raise click.UsageError("--name, --out and --deliver go with one REQUEST")
    if roles and no_role:
        raise click.UsageError("--role and --no-role exclude each other")
    folder = open_scope(out, scope, who)
    with certifying(folder, who):
        admissions = _admissions(folder, requests, roles, no_role, name, expires)
        wanted = [[one.name, one.request.node_id, one.roles] for one in admissions]
        wish = pending.intent_key("admit", wanted, expires)
        kept = going_on(out, folder, who, wish)
        if kept is not None:
            pairs = zip(admissions, kept, strict=True)
            admissions = [one.resume_draft(draft) for one, draft in pairs]
        out.table(
            ("name", "node id", "address", "roles", "until", ""),
            [_row(folder, one) for one in admissions],
        )
        out.confirm("Admit, having compared the node ids?", yes)
        signer = open_signer(out, folder, who, wish)
        raws = issuance.issue(folder, [one.draft for one in admissions], signer)
    out.ok(f"certified {len(raws)} member{'s' * (len(raws) > 1)}: {_sizes(raws)}")
    if target is not None:
        member = folder.members.find(admissions[0].name)
        taken = provision.install(target, folder.capsules(member), folder.charter.scope)
        out.ok(f"{target} has {', '.join(taken) or 'everything already'}")
    book = {} if no_deliver or target else addressbook.read(folder.path)
    targets = [(one.name, book[one.name]) for one in admissions if one.name in book]
    if deliver:
        targets = [(admissions[0].name, found) for _, found in find_targets(folder, deliver)]
    if not (target or no_deliver or targets):
        out.note("handed to nobody yet: --out DIR, or --deliver HOST:PORT, does that")
    done = delivering.deliver(out, targets, full_sender(folder, timeout_s))
    for one in done:
        if one.is_good:
            addressbook.write(folder.path, one.name, one.address)
    admitted = [
        {**_document(folder, one), "capsule": raw}
        for one, raw in zip(admissions, raws, strict=True)
    ]
    out.json({"admitted": admitted, "delivered": delivering.documents(done)})
    delivering.finish(out, done)


def _sizes(raws: list[bytes]) -> str:
    sizes = sorted({len(raw) for raw in raws})
    return f"{sizes[0]} bytes" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} bytes"


def _admissions(
    folder: ScopeFolder,
    requests: tuple[str, ...],
    roles: tuple[str, ...],
    no_role: bool,
    name: str | None,
    expires: str,
) -> list[Admission]:
    mask = 0 if no_role else admitting.role_mask(folder, roles) if roles else None
    when = admitting.parse_expiry(expires, now_s())
    found: list[Admission] = []
    for word in requests:
        path = Path(word)
        if not path.is_file() and (folder.path / "requests" / f"{word}.cbor").is_file():
            path = folder.path / "requests" / f"{word}.cbor"
        if not path.is_file():
            raise HostError(f"no request {word}", "Make it first: writ member request.")
        with open(path, "rb") as file:
            asked = _read(file.read(admitting.REQUEST_BYTES_MAX + 1), str(path))
        # a request kept under another name was fetched under that name
        kept = path.stem if path.parent == folder.path / "requests" else None
        found.append(admitting.prepare_admission(folder, asked, mask, when, name or kept, found))
    return found


def _role_words(folder: ScopeFolder, mask: int) -> str:
    if not mask:
        return "none"
    return role_text(folder.policy, mask, "and") if folder.policy else str(mask)


def _row(folder: ScopeFolder, one: Admission) -> tuple[object, ...]:
    return (
        one.name,
        one.request.node_id,
        one.address,
        _role_words(folder, one.roles),
        humanize.moment(one.expires),
        "renewed" if one.renewed else "",
    )


def _document(folder: ScopeFolder, one: Any) -> dict[str, Any]:
    node_id = one.request.node_id if isinstance(one, Admission) else one.node_id
    names = folder.policy.role_names if folder.policy else []
    roles = [name for bit, name in enumerate(names, 1) if one.roles >> bit & 1]
    return {
        "name": one.name,
        "node_id": node_id,
        "address": one.address,
        "roles": roles,
        "expires": one.expires,
    }


def _state(folder: ScopeFolder, member: Any) -> str:
    if folder.is_revoked(member):
        return "revoked"
    if member.expires <= now_s():
        return "expired"
    return "old key" if folder.is_outdated(member) else "ok"


@command(group, "list")
@scope_option
@click.option("--all", "everybody", is_flag=True, help="Also those whose name went to another key.")
def list_(out: Output, scope: Path, everybody: bool) -> None:
    """The members of a scope, and who has asked."""
    folder = ScopeFolder.open(scope)
    members = folder.members.all() if everybody else folder.members.newest()
    book = addressbook.read(folder.path)
    rows, documents = [], []
    for one in members:
        state, where = _state(folder, one), book.get(one.name)
        roles = folder.policy.roles_of(one) & ~1 if folder.policy else one.roles
        left = humanize.duration(one.expires - now_s()) if state == "ok" else ""
        rows.append(
            (one.name, one.address, _role_words(folder, roles), state, left, one.node_id, where)
        )
        document = _document(folder, one)
        documents.append({**document, "state": state, "at": where})
    out.table(("name", "address", "roles", "state", "for", "node id", "at"), rows)
    waiting = [path.stem for path in folder.requests() if _waits(folder, path)]
    if waiting:
        out.note(f"asked, not admitted: {', '.join(waiting)}")
    out.json({"members": documents, "requests": waiting})


def _waits(folder: ScopeFolder, path: Path) -> bool:
    # a request stays after admission: it serves for the renewal
    try:
        return read_request(path.read_bytes()[:1024]).node_id not in folder.members.names()
    except Rejection:
        return True


@command(group)
@click.argument("name")
@scope_option
def show(out: Output, name: str, scope: Path) -> None:
    """One member: NAME, or its node id."""
    folder = ScopeFolder.open(scope)
    member = _member(folder, name)
    document = {
        **_document(folder, member),
        "state": _state(folder, member),
        "at": addressbook.read(folder.path).get(member.name),
        "key": member.x,
        "capsule": member.raw,
    }
    roles = _role_words(folder, member.roles)
    shown = {**document, "roles": roles, "expires": humanize.moment(member.expires)}
    out.fields({label.replace("_", " "): value for label, value in shown.items()})
    out.json(document)


def _member(folder: ScopeFolder, name: str) -> Any:
    member = folder.members.find(name)
    if member is None:
        raise UnknownNode(f"no member is called {name}", "See who there is: writ member list.")
    return member


@command(group)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--reason", help="Why; a note in policy.toml, not part of what is certified.")
@scope_option
@signing_options
@deliver_option
@timeout_option
@yes_option
def revoke(
    out: Output,
    names: tuple[str, ...],
    reason: str | None,
    scope: Path,
    who: Who,
    deliver: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Revoke members (by name or node id): no node answers them once it has the new policy.

    Based on the certified policy, so that what policy.toml holds by now waits for its own
    certification; the node ids are added to its `revoked`.
    """
    folder = open_scope(out, scope, who)
    with certifying(folder, who):
        targets = find_targets(folder, deliver)
        members = [_member(folder, name) for name in names]
        wish = pending.intent_key("revoke", sorted(one.node_id for one in members))
        if all(map(folder.is_revoked, members)):
            out.ok(f"revoked already: {', '.join(one.name for one in members)}")
            pending.remove(folder, wish)
        else:
            change = resumed(out, folder, issuance.revocation(folder, members), who, wish)
            said = ", ".join(f"{one.name} ({one.node_id.hex()})" for one in members)
            out.confirm(f"Revoke {said} from epoch {change.new.epoch} on?", yes)
            if who.no_wait:
                out.note(f"not in {folder.policy_file} before this command has run again")
            run_change(out, folder, change, who, wish)
    is_noted = _note_in_file(folder, members, reason)
    if not is_noted:
        out.warn(f"add the node ids to `revoked` in {folder.policy_file}: it could not be changed")
    ids = [one.node_id for one in members]
    document = {"revoked": ids, "noted": is_noted, "reason": reason}
    finish_change(out, folder, targets, timeout_s, document)


def _note_in_file(folder: ScopeFolder, members: list[Any], reason: str | None) -> bool:
    # else the next `policy certify` would restore them
    try:
        text = folder.policy_file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    because = f": {reason}" if reason else ""
    entries = [(one.node_id.hex(), f"{one.name}{because}") for one in members]
    changed = add_revoked(text, entries)
    if changed is None:
        return False
    folder.policy_file.write_text(changed, "utf-8")
    return True
