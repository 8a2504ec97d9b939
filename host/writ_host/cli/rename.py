"""`writ member rename`: a member's new name, certified like a renewal."""

from pathlib import Path

import click

from writ.authority import capsule as capsules
from writ.authority.capsule import Member
from writ.limits import REQUEST_BYTES_MAX

from .. import files
from ..errors import HostError
from ..node import addressbook
from ..scope import admission as admitting
from ..scope import issuance, pending
from ..scope.admission import read_request
from ..scope.delivery import find_targets, full_sender
from ..scope.folder import ScopeFolder
from . import delivery
from .complete import member_names
from .delivery import deliver_option
from .names import node_name
from .options import scope_option, timeout_option, yes_option
from .output import Output, command
from .revocation import find_member
from .signers import (
    SigningOptions,
    issuing,
    open_scope,
    open_signer,
    resume_drafts,
    signing_options,
)


@command()
@click.argument("name", shell_complete=member_names)
@click.argument("new_name", metavar="NEW", callback=node_name)
@scope_option
@signing_options
@deliver_option
@timeout_option
@yes_option
def rename(
    out: Output,
    name: str,
    new_name: str,
    scope: Path,
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Give a member another name. Its key, address and roles stay.

    NAME is a name, or a node id. The member's certificate is certified anew with the name NEW, and
    expires one second later, by which nodes know the newer one. It is delivered to the member's
    address in book.toml, whose entry is renamed, too. Other nodes learn the name when the member
    talks to them. policy.toml is not changed: its tests may use the old name.
    """
    folder = open_scope(out, scope, signing)
    with issuing(out, folder, signing):
        found = find_targets(folder, targets)
        unfinished = _find_unfinished(folder, name, new_name)
        before, member = unfinished or _certify(out, folder, name, new_name, signing, yes)
        _move_files(folder, before, new_name)
    raw = member.raw
    out.ok(f"{before} is {new_name} now: certified, {len(raw)} bytes")
    book = addressbook.read(folder.path)
    goals = [(new_name, at) for _, at in found]
    if not goals and new_name in book:
        goals = [(new_name, book[new_name])]
    done = delivery.deliver(out, goals, full_sender(folder, timeout_s))
    if not done:
        out.note("not delivered yet: run  writ member admit " + new_name + " --deliver HOST:PORT")
    out.json(
        {
            "name": new_name,
            "before": before,
            "node_id": member.node_id,
            "capsule": raw,
            "delivered": delivery.documents(done),
        }
    )
    delivery.finish(out, done)


def _request(folder: ScopeFolder, name: str) -> admitting.MembershipRequest | None:
    try:
        raw = files.read_bounded(folder.path / "requests" / f"{name}.cbor", REQUEST_BYTES_MAX)
    except files.ABSENT:
        return None
    return read_request(raw)


def _find_unfinished(folder: ScopeFolder, name: str, new_name: str) -> tuple[str, Member] | None:
    """(former name, member) if a crash has ended the command between certificate and files.

    Its request is the last file that is renamed. name: as given, perhaps a node id.
    """
    member = folder.members.find(new_name)
    if member is None or member.name != new_name:
        return None
    for before in (path.stem for path in folder.requests()):
        if before == new_name or name not in (before, member.node_id.hex()):
            continue
        request = _request(folder, before)
        if request is not None and request.node_id == member.node_id:
            return before, member
    return None


def _certify(
    out: Output,
    folder: ScopeFolder,
    name: str,
    new_name: str,
    signing: SigningOptions,
    yes: bool,
) -> tuple[str, Member]:
    """(former name, the member as certified)."""
    member = find_member(folder, name)
    before = str(member.name)
    if before == new_name:
        raise HostError(f"{before} has that name already", "Give another one.")
    request = _request(folder, before)
    if request is None or request.node_id != member.node_id:
        raise HostError(
            f"the scope's folder has no request of {before}",
            f"Fetch it: writ member request --from HOST:PORT --name {before}",
        )
    wanted = admitting.prepare_admission(
        folder, request, int(member.roles), int(member.expires) + 1, new_name
    )
    intent = pending.intent_key("rename", [wanted.request.node_id, wanted.name], "")
    drafts = resume_drafts(out, folder, signing, intent)
    if drafts is not None:
        wanted = wanted.resume_draft(drafts[0])
    out.confirm(f"Rename {before} ({wanted.request.node_id.hex()}) to {wanted.name}?", yes)
    signer = open_signer(out, folder, signing, intent)
    (raw,) = issuance.issue(folder, [wanted.draft], signer, f"rename {before} to {wanted.name}")
    return before, Member(capsules.parse(raw))


def _move_files(folder: ScopeFolder, before: str, after: str) -> None:
    """Rename the address and the request of a member; each step may be repeated."""
    address = addressbook.read(folder.path).get(before)
    if address is not None:
        addressbook.write(folder.path, after, address)
        addressbook.remove(folder.path, before)
    requests = folder.path / "requests"
    # last: under its former name it tells the next run that the files are not renamed yet
    (requests / f"{before}.cbor").rename(requests / f"{after}.cbor")
    files.sync_directory(requests)
