"""`writ policy clean`: room in the list of revoked nodes."""

import dataclasses
from functools import partial
from pathlib import Path

from writ.authority.capsule import Member

from ..policy.edit import remove_revoked
from ..scope import issuance, pending, policyfile
from ..scope.change import PolicyChange, cleaning, is_clean, renewal_drafts, to_renew
from ..scope.delivery import find_targets, full_sender
from ..scope.folder import ScopeFolder, now_s
from . import delivery
from .delivery import deliver_option
from .options import scope_option, timeout_option, yes_option
from .output import Output, command
from .policychange import change_document, issue_change, show_change, warn_of_room
from .signers import (
    SigningOptions,
    issuing,
    open_scope,
    open_signer,
    resume_drafts,
    signing_options,
)


@command()
@scope_option
@signing_options
@deliver_option
@timeout_option
@yes_option
def clean(
    out: Output,
    scope: Path,
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Make room in the list of revoked nodes.

    All living members are renewed first. Then a new policy voids every membership from earlier
    epochs. So the memberships of revoked nodes are void too, and their ids leave the list. With
    --deliver the command hands over policy and renewals; other nodes get them from gateways. A node
    without its renewal is refused until it has it.
    """
    folder = open_scope(out, scope, signing)
    with issuing(out, folder, signing):
        found = find_targets(folder, targets)
        intent = pending.intent_key("clean")
        drafts = resume_drafts(out, folder, signing, intent)
        renewed: list[Member] = []
        raws: list[bytes] = []
        before = folder.epoch, folder.head
        change = cleaning(folder)
        if is_clean(folder):
            # by the proposal of this command, or without it
            pending.remove(folder, intent)
            change = PolicyChange(change.old, change.old or change.new, None)
        else:
            renewed = _renew_before_cleaning(out, folder, signing, yes)
            change = cleaning(folder)
            if drafts is not None:
                change = dataclasses.replace(change, drafts=drafts)
            raws = issue_change(out, folder, change, signing, intent)
        problem = policyfile.follow(folder, folder.policy_file, before, partial(_tidy, folder))
    if raws:
        change.announce(out.ok, raws)
    else:
        out.ok(f"clean already at epoch {folder.epoch}: no revoked ids, and nothing to void")
    if problem:
        out.warn(f"cannot change {folder.policy_file}: {problem}; then: writ policy rebase")
    done = delivery.deliver(out, found, full_sender(folder, timeout_s))
    warn_of_room(out, folder)
    out.json(
        {
            **change_document(folder, change),
            "renewed": [one.node_id for one in renewed],
            "capsules": {"policy": folder.policy_capsule()},
            "delivered": delivery.documents(done),
        }
    )
    delivery.finish(out, done, delivery.DELIVER_MEMBERS)


def _renew_before_cleaning(
    out: Output, folder: ScopeFolder, signing: SigningOptions, yes: bool
) -> list[Member]:
    """Show the clean-up, ask for confirmation, and renew the members that it would void."""
    renewed, change = to_renew(folder), cleaning(folder)
    what = "1 member is" if len(renewed) == 1 else f"{len(renewed)} members are"
    out.line(f"{what} renewed first")
    show_change(out, folder, change)
    out.confirm(f"Renew them, and certify this as epoch {change.new.epoch}?", yes)
    if renewed:
        drafts = renewal_drafts(folder, renewed)
        signer = open_signer(out, folder, signing)
        issuance.issue(folder, drafts, signer, f"renew {len(renewed)} members")
    return renewed


def _tidy(folder: ScopeFolder, text: str) -> str | None:
    """A policy file's text without the revoked members that are expired or void."""
    now = now_s()
    gone = [one for one in folder.members.all() if one.expires <= now or folder.is_void(one)]
    # a name may belong to a newer node by now
    living = {one.name for one in folder.members.all() if folder.is_living(one, now)}
    names = {one.name for one in gone} - living
    return remove_revoked(text, [*(one.node_id.hex() for one in gone), *names])
