"""What the commands that change the policy share: they show it, have it certified, deliver it."""

import dataclasses
from typing import Any

from ..governor.client.connection import read_daemon
from ..governor.proposals.messages import TITLE_BYTES_MAX
from ..policy.diff import Diff
from ..scope import issuance, pending
from ..scope.change import PolicyChange
from ..scope.delivery import policy_sender
from ..scope.folder import ScopeFolder
from ..scope.revocation import room_warning
from . import delivery
from .output import Output, printable
from .signers import SigningOptions, open_signer, resume_drafts


def show_change(out: Output, folder: ScopeFolder, change: PolicyChange) -> None:
    """Print what a change newly allows and forbids, and the size of its capsule."""
    if not change:
        out.line(f"the same as the policy of epoch {folder.epoch}: nothing to certify")
        return
    out.line(f"epoch {folder.epoch} -> {change.new.epoch}")
    if change.diff is None:
        out.line("the first policy: everything that it allows is new")
        return
    for line in change.diff.lines():
        style = "green" if line.startswith("newly allowed") else None
        out.line(f"  {line}", "red" if "forbidden:" in line or "revoked:" in line else style)
    kind = "an amendment" if change.ops else "a whole policy"
    out.note(f"{kind} of {len(change.drafts[0].payload) + 74} bytes")


def change_document(folder: ScopeFolder, change: PolicyChange) -> dict[str, Any]:
    """The change as `--json` gives it. `next_epoch` is the epoch in force if nothing changes."""
    found: Diff | None = change.diff
    return {
        "epoch": folder.epoch,
        "next_epoch": change.new.epoch if change else folder.epoch,
        "changes": bool(change),
        "amendment": bool(change and change.ops),
        "newly_allowed": [one.text for one in found.allowed] if found else [],
        "newly_forbidden": [one.text for one in found.forbidden] if found else [],
        "roles": found.roles if found else [],
        "routes": found.routes if found else [],
        "grants": found.grants if found else [],
        "revoked": found.revoked if found else [],
        "restored": found.restored if found else [],
        "dropped": found.dropped if found else [],
        "void": found.voided if found else [],
        "approvals": found.approvals if found else [],
        "governors": found.governors if found else [],
    }


def resume_change(
    out: Output,
    folder: ScopeFolder,
    change: PolicyChange,
    signing: SigningOptions,
    intent: str,
) -> PolicyChange:
    """The change with the drafts that the same command has proposed before, if there are any."""
    drafts = resume_drafts(out, folder, signing, intent)
    if drafts is None:
        return change
    if not change:
        pending.remove(folder, intent)
        return change
    return dataclasses.replace(change, drafts=drafts)


def issue_change(
    out: Output,
    folder: ScopeFolder,
    change: PolicyChange,
    signing: SigningOptions,
    intent: str,
    title: str = "",
) -> list[bytes]:
    """Certify a change of policy; the capsules. intent: as in scope/pending.py.

    title: what operators read first, by default the epoch.

    The caller changes its files before it prints: a closed pipe must not keep them from it.
    """
    signer = open_signer(out, folder, signing, intent)
    title = printable(" ".join(title.split())).encode()[:TITLE_BYTES_MAX].decode(errors="ignore")
    title = title or f"policy of epoch {change.new.epoch}"
    return issuance.issue(folder, change.drafts, signer, title)


def warn_of_room(out: Output, folder: ScopeFolder) -> None:
    """Warn where the list of revoked nodes fills up, and name the next step."""
    if text := room_warning(folder.policy):
        out.warn(text)


def finish_change(
    out: Output,
    folder: ScopeFolder,
    targets: list[tuple[str, str]],
    timeout_s: float,
    document: dict[str, Any],
) -> None:
    """Deliver the policy in force, and end the command with its document."""
    done = delivery.deliver(out, targets, policy_sender(folder, timeout_s))
    if not done and read_daemon(folder.path) is None:
        out.note("not delivered yet: run this again with --deliver HOST:PORT of any node")
    document.update(
        epoch=folder.epoch,
        head=folder.head,
        capsules={
            "amendment": folder.amendment_capsule(),
            "policy": folder.policy_capsule(),
            "beacon": folder.beacon.raw if folder.beacon else None,
        },
        delivered=delivery.documents(done),
    )
    out.json(document)
    delivery.finish(out, done)
