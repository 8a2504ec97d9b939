"""`writ member rename`: a member's new name, certified like a renewal."""

import contextlib
from pathlib import Path

import click

from writ.authority import capsule as capsules
from writ.authority.capsule import Member
from writ.errors import Rejection
from writ.limits import REQUEST_BYTES_MAX

from .. import files
from ..errors import HostError
from ..node import addressbook
from ..scope import admission as admitting
from ..scope import issuance, pending
from ..scope.admission import read_request
from ..scope.delivery import find_targets, full_sender
from ..scope.folder import ScopeFolder, now_s
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

    A member that nodes refuse (revoked, expired, void) is not renamed: that would admit it again.
    """
    folder = open_scope(out, scope, signing)
    with issuing(out, folder, signing):
        found = find_targets(folder, targets)
        unfinished = _find_unfinished(folder, name, new_name)
        before, member = unfinished or _certify(out, folder, name, new_name, signing, yes)
        move_files(folder, before, new_name)
    raw = member.raw
    out.ok(f"{before} is {new_name} now: certified, {len(raw)} bytes")
    book = addressbook.read(folder.path)
    goals = [(new_name, at) for _, at in found]
    if not goals and new_name in book:
        goals = [(new_name, book[new_name])]
    done = delivery.deliver(out, goals, full_sender(folder, timeout_s))
    delivery.remember(folder, done)
    if not done:
        out.note(delivery.not_yet([new_name]))
    out.json(
        {
            "name": new_name,
            "before": before,
            "node_id": member.node_id,
            "capsule": raw,
            "delivered": delivery.documents(done),
        }
    )
    delivery.finish(out, done, delivery.DELIVER_MEMBERS)


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
    for before in _names_of(folder, member.node_id):
        if before != new_name and name in (before, member.node_id.hex()):
            return before, member
    return None


def _names_of(folder: ScopeFolder, node_id: bytes) -> list[str]:
    """The names under which the scope's folder has a request of this node (8 B)."""
    found = []
    for path in folder.requests():
        # a file that cannot be read, or is invalid, is of no use here
        with contextlib.suppress(Rejection, OSError):
            request = _request(folder, path.stem)
            if request is not None and request.node_id == node_id:
                found.append(path.stem)
    return found


# Why a member is not renamed, by its state; and what to do instead.
_REFUSALS = {
    "revoked": ("is revoked", "To restore it first: writ member restore {name}"),
    "expired": (
        "has expired",
        "To renew it under the new name: writ member admit {name} --name {new_name}",
    ),
    "void": (
        "is no member any more: writ policy clean has made its membership void, as those of revoked"
        " members",
        "If it may be one again: writ member admit {name} --name {new_name}",
    ),
    "old key": (
        "has a certificate of a former group key",
        "To renew it under the new name: writ member admit {name} --name {new_name}",
    ),
}


def _check_state(folder: ScopeFolder, member: Member, new_name: str) -> None:
    """Raise `HostError` for a member that nodes refuse: renaming would certify it again."""
    state = folder.state_of(member, now_s())
    if state in _REFUSALS:
        why, advice = _REFUSALS[state]
        name = folder.members.handle(member.node_id)
        raise HostError(
            f"{member.name} ({member.node_id.hex()}) {why}",
            advice.format(name=name, new_name=new_name),
        )


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
    _check_state(folder, member, new_name)
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


def keep_request(folder: ScopeFolder, name: str, raw: bytes, node_id: bytes) -> None:
    """Keep the request of an admitted node under its name; what has another name is renamed."""
    for former in [one for one in _names_of(folder, node_id) if one != name]:
        holder = folder.members.find(former)
        if holder is None or holder.node_id == node_id:
            addressbook.rename(folder.path, former, name)
        (folder.path / "requests" / f"{former}.cbor").unlink()
    folder.save_request(name, raw)


def move_files(folder: ScopeFolder, before: str, after: str) -> None:
    """Rename the address and the request of a member; each step may be repeated."""
    addressbook.rename(folder.path, before, after)
    requests = folder.path / "requests"
    # last: under its former name it tells the next run that the files are not renamed yet
    (requests / f"{before}.cbor").rename(requests / f"{after}.cbor")
    files.sync_directory(requests)
