"""`writ member`: request membership, admit, list, show, revoke and restore."""

from collections.abc import Sequence
from pathlib import Path

import click

from writ.errors import Rejection
from writ.limits import REQUEST_BYTES_MAX

from .. import files, humanize
from ..errors import HostError
from ..names import name_problem
from ..node import addressbook, provision
from ..refusals import rejection_text
from ..scope import admission as admitting
from ..scope import issuance, pending
from ..scope.admission import Admission, MembershipRequest, read_request
from ..scope.delivery import Delivery, fetch_request, find_targets, full_sender
from ..scope.folder import ScopeFolder, now_s
from ..target import check_address
from . import delivery
from .complete import request_names, role_names
from .delivery import deliver_option
from .memberview import list_, member_document, roles_text, show
from .names import node_name
from .options import scope_option, timeout_option, yes_option
from .output import Output, command
from .rename import keep_request, rename
from .revocation import restore, revoke
from .signers import (
    SigningOptions,
    issuing,
    open_scope,
    open_signer,
    resume_drafts,
    signing_options,
)

_folder = click.Path(file_okay=False, path_type=Path)
# Of a request that is not in a scope's folder.
_SUFFIX = ".request.cbor"


@click.group()
def group() -> None:
    """Request membership, admit, list, show, revoke and restore."""


@command(group)
@click.argument("directory", metavar="[DIR]", required=False, type=_folder)
@click.option("--name", callback=node_name, help="The node's name. Default: the name of DIR.")
@click.option("--from", "address", metavar="HOST:PORT", help="Fetch the request of a device.")
@click.option("--listen", metavar="HOST:PORT", help="The address at which the node will listen.")
@click.option(
    "--gateway",
    "gateways",
    multiple=True,
    metavar="HOST:PORT",
    help="A gateway where the node looks up names and newer policies; may be repeated.",
)
@click.option(
    "--governors",
    metavar="HOST:PORT,...",
    default="",
    help="Governors that the node asks for renewals and actions: one more than may fail.",
)
@scope_option
@timeout_option
def request(
    out: Output,
    directory: Path | None,
    name: str | None,
    address: str | None,
    listen: str | None,
    gateways: tuple[str, ...],
    governors: str,
    scope: Path,
    timeout_s: float,
) -> None:
    """Request membership for a node of this machine, or for a device.

    The node is in the folder DIR; --from names the device.

    The command writes config.json and a private key into DIR; the key never leaves DIR. Compare the
    node id with the one that the device shows: the request proves possession of a key, and not
    which device has it.
    """
    if (directory is None) == (address is None):
        raise click.UsageError("give the folder of a node, or --from HOST:PORT")
    folder = ScopeFolder.find(scope)
    if address is not None:
        address = check_address(address)
        raw = fetch_request(address, timeout_s)
    else:
        assert directory is not None
        scope_id = folder.charter.scope if folder else None
        has_config = files.exists(directory / "config.json")
        chosen = name if name or has_config else _name_of(directory)
        peers = [one.strip() for one in governors.split(",") if one.strip()]
        raw = provision.make_node(directory, chosen, scope_id, listen, gateways, peers)
    found = _parse(raw, address or str(directory))
    if problem := name_problem(name or found.name):
        raise click.UsageError(f"{found.name!r} {problem}, with --name NAME")
    path = _save(folder, found, name or found.name, address, directory)
    out.fields({"name": name or found.name, "node id": found.node_id, "request": path})
    if folder is None:
        out.note(
            f"no scope in {scope}: name its folder with --scope, WRIT_SCOPE or writ use, or copy"
            " the file to the machine that has it. To found a scope: writ scope create NAME"
        )
    role = "" if folder and folder.members.with_node_id(found.node_id) else " --role ROLE"
    out.note(
        "compare the node id with the one that the node shows, then  writ member admit"
        f" {name or found.name if folder else path}{role}"
    )
    out.json({"name": name or found.name, "node_id": found.node_id, "request": path, "bytes": raw})


def _name_of(directory: Path) -> str:
    name = directory.resolve().name.lower()
    if problem := name_problem(name):
        raise click.UsageError(f"{name!r} {problem}: give --name NAME")
    return name


def _parse(raw: bytes, source: str) -> MembershipRequest:
    try:
        return read_request(raw)
    except Rejection as error:
        raise HostError(
            f"{source}: invalid request: {rejection_text(error)}",
            "Make the request again; writ capsule inspect FILE shows what is wrong.",
        ) from None


def _save(
    folder: ScopeFolder | None,
    found: MembershipRequest,
    name: str,
    address: str | None,
    directory: Path | None,
) -> Path:
    """Save a request in the scope's folder, else in the node's; returns its path."""
    if folder is not None:
        path = folder.save_request(name, found.raw)
        if address is not None:
            addressbook.write(folder.path, name, address)
        return path
    path = (directory or Path()) / f"{name}{_SUFFIX}"
    files.write_atomically(path, found.raw, 0o644)
    return path


# --- admission ------------------------------------------------------------------------------------


@command(group)
@click.argument(
    "requests", nargs=-1, required=True, metavar="REQUEST...", shell_complete=request_names
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    help="A certified role; may be repeated.",
    shell_complete=role_names,
)
@click.option("--no-role", is_flag=True, help="Admit without any role.")
@click.option(
    "--name", callback=node_name, help="A name in place of the requested one; with one REQUEST."
)
@click.option(
    "--expires",
    default=admitting.DEFAULT_VALIDITY,
    show_default=True,
    help="The end of the membership: 12h, 365d, 4w or 2y from now, or a date.",
)
@click.option("--out", "node", type=_folder, help="Install the capsules in this node's folder.")
@click.option("--no-deliver", is_flag=True, help="Do not deliver to addresses of book.toml.")
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
    node: Path | None,
    no_deliver: bool,
    scope: Path,
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Admit or renew nodes.

    REQUEST is a file, or the name of a request in the scope's folder. All member capsules are
    certified together. Charter, policy, member capsule and beacon are delivered to each node with
    an address (book.toml, or --deliver HOST:PORT). --yes skips the comparison of the node ids, and
    warns.
    """
    if len(requests) > 1 and (name or node or targets):
        raise click.UsageError("--name, --out and --deliver go with one REQUEST")
    if roles and no_role:
        raise click.UsageError("--role and --no-role exclude each other")
    folder = open_scope(out, scope, signing)
    with issuing(out, folder, signing):
        mask = 0 if no_role else admitting.role_mask(folder, roles) if roles else None
        until = admitting.parse_expiry(expires, now_s())
        admissions = _admissions(folder, requests, mask, until, name)
        if node is not None:
            node_id = admissions[0].request.node_id
            provision.check_install(node, folder.charter.scope, node_id)
        admissions, raws = _issue(out, folder, admissions, expires, signing, yes)
        for one in admissions:
            keep_request(folder, one.name, one.request.raw, one.request.node_id)
        if node is not None:
            member = folder.members.find(admissions[0].name)
            taken = provision.install(node, folder.capsules(member), folder.charter.scope)
    out.ok(f"certified {len(raws)} member{'s' * (len(raws) > 1)}: {_sizes(raws)}")
    if node is not None:
        out.ok(f"installed in {node}: {', '.join(taken) or 'nothing new'}")
    done = _deliver(out, folder, admissions, not (no_deliver or node), targets, timeout_s)
    if not (node or no_deliver or done):
        out.note(delivery.not_yet([one.name for one in admissions]))
    admitted = [
        {**member_document(folder, one), "capsule": raw}
        for one, raw in zip(admissions, raws, strict=True)
    ]
    out.json({"admitted": admitted, "delivered": delivery.documents(done)})
    delivery.finish(out, done, delivery.DELIVER_MEMBERS)


def _admissions(
    folder: ScopeFolder, requests: Sequence[str], mask: int | None, until: int, name: str | None
) -> list[Admission]:
    """An admission for each request. mask: the roles, None to keep those of a renewed member."""
    found: list[Admission] = []
    for text in requests:
        path = Path(text)
        kept_file = folder.path / "requests" / f"{text}.cbor"
        if not files.is_file(path) and files.is_file(kept_file):
            path = kept_file
        if not files.is_file(path):
            raise _no_request(folder, text)
        with open(path, "rb") as file:
            asked = _parse(file.read(REQUEST_BYTES_MAX + 1), str(path))
        # the file's name is the name that was chosen when the request was fetched
        kept = path.stem if path.parent == folder.path / "requests" else None
        found.append(admitting.prepare_admission(folder, asked, mask, until, name or kept, found))
    return found


def _no_request(folder: ScopeFolder, text: str) -> HostError:
    """The error for a request that is neither a file nor in the scope's folder."""
    problem = f"no request {text}: there is no such file, and none in {folder.path / 'requests'}"
    # where `request` writes without a scope
    outside = sorted({*Path().glob(f"{text}{_SUFFIX}"), *Path().glob(f"*/{text}{_SUFFIX}")})
    if outside and not name_problem(text):
        return HostError(
            problem, f"It was made without this scope: writ member admit {outside[0]} ..."
        )
    return HostError(
        problem,
        f"Make it: writ member request DIR --name {text}  (or --from HOST:PORT for a device). One"
        f" that was made without a scope is DIR/{text}{_SUFFIX}.",
    )


def _issue(
    out: Output,
    folder: ScopeFolder,
    admissions: list[Admission],
    expires: str,
    signing: SigningOptions,
    yes: bool,
) -> tuple[list[Admission], list[bytes]]:
    """Confirm and certify the admissions; returns them as certified, and their capsules."""
    wanted = [[one.name, one.request.node_id, one.roles] for one in admissions]
    intent = pending.intent_key("admit", wanted, expires)
    drafts = resume_drafts(out, folder, signing, intent)
    if drafts is not None:
        pairs = zip(admissions, drafts, strict=True)
        admissions = [one.resume_draft(draft) for one, draft in pairs]
    out.table(
        ("name", "node id", "short address", "roles", "until", ""),
        [_row(folder, one) for one in admissions],
    )
    question = "Admit these nodes, and have you compared their node ids?"
    # the key of a renewed member is known
    new = [f"{one.name} {one.request.node_id.hex()}" for one in admissions if one.renewed is None]
    out.confirm_compared(question, "the node id", ", ".join(new), yes)
    signer = open_signer(out, folder, signing, intent)
    return admissions, issuance.issue(folder, [one.draft for one in admissions], signer)


def _deliver(
    out: Output,
    folder: ScopeFolder,
    admissions: Sequence[Admission],
    to_book: bool,
    targets: Sequence[str],
    timeout_s: float,
) -> list[Delivery]:
    """Deliver to --deliver addresses, else to those of the book; keeps addresses that worked."""
    book = addressbook.read(folder.path) if to_book else {}
    found = [(one.name, book[one.name]) for one in admissions if one.name in book]
    if targets:
        found = [(admissions[0].name, address) for _, address in find_targets(folder, targets)]
    done = delivery.deliver(out, found, full_sender(folder, timeout_s))
    delivery.remember(folder, done)
    return done


def _sizes(raws: list[bytes]) -> str:
    sizes = sorted({len(raw) for raw in raws})
    return f"{sizes[0]} bytes" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} bytes"


# --- admissions for people ------------------------------------------------------------------------


def _row(folder: ScopeFolder, one: Admission) -> tuple[object, ...]:
    return (
        one.name,
        one.request.node_id,
        one.address,
        roles_text(folder, one.roles),
        humanize.moment(one.expires),
        _before(folder, one),
    )


def _before(folder: ScopeFolder, one: Admission) -> str:
    """What an admission is to a member that has the key: a renewal, or more than that."""
    if one.renewed is None:
        return ""
    state = folder.state_of(one.renewed, now_s())
    renamed = "" if one.renewed.name == one.name else f", was {one.renewed.name}"
    return ("renewed" if state in ("ok", "old key") else f"was {state}") + renamed


# --- commands of other files ----------------------------------------------------------------------

group.add_command(list_)
group.add_command(show)
group.add_command(revoke)
group.add_command(restore)
group.add_command(rename)
group.add_command(delivery.deliver_members)
