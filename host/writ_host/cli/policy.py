"""`writ policy`: check, compare, certify, clean up and show a scope's policy."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import click

from writ.authority.capsule import Member

from ..errors import HostError
from ..governor.client.connection import read_daemon
from ..governor.proposals.messages import TITLE_BYTES_MAX
from ..policy.diff import Diff
from ..policy.edit import add_revoked, remove_revoked
from ..policy.lint import warnings
from ..policy.source import PolicyFile
from ..policy.text import decompile
from ..scope import issuance, pending, policyfile
from ..scope.change import (
    PolicyChange,
    RestoresMembers,
    StalePolicyFile,
    cleaning,
    is_clean,
    policy_change,
    renewal_drafts,
    to_renew,
)
from ..scope.delivery import find_targets, full_sender, policy_sender
from ..scope.folder import ScopeFolder, now_s
from ..scope.revocation import room_warning
from . import delivery
from .boundary import REFUSED
from .delivery import deliver_option
from .options import scope_option, timeout_option, yes_option
from .output import Output, command, printable
from .signers import (
    SigningOptions,
    issuing,
    open_scope,
    open_signer,
    resume_drafts,
    signing_options,
)
from .view import open_view

_file_argument = click.argument(
    "file", required=False, type=click.Path(dir_okay=False, path_type=Path)
)


@click.group()
def group() -> None:
    """Check, compare, certify, clean up and show the policy."""


@command(group)
@_file_argument
@scope_option
def check(out: Output, file: Path | None, scope: Path) -> None:
    """Run the tests of a policy file, and print warnings. Default: policy.toml of the scope."""
    folder = ScopeFolder.find(scope)
    path = file or scope / "policy.toml"
    written = PolicyFile.load(path)
    members = folder.members.all() if folder else []
    grants = folder.policy.grants if folder and folder.policy else {}
    # also checks a device's limits
    written.policy(1, bytes(6), 0, written.revoked_ids(members), grants)
    results = written.run_tests(members, grants)
    found = warnings(written, members if members else None, grants)
    for result in results:
        out.line(
            f"{'ok  ' if result.passed else 'FAIL'} {result.explanation}",
            "green" if result.passed else "red",
        )
    for text in found:
        out.warn(text)
    failed = sum(not result.passed for result in results)
    rules = len(written.wire_rules)
    warned = f"{len(found)} {'warning' if len(found) == 1 else 'warnings'}"
    out.line(f"{rules} rules, {len(results)} tests, {failed} failed, {warned}")
    out.json(
        {
            "file": path,
            "ok": not failed,
            "rules": rules,
            "tests": [
                {"passed": result.passed, "explanation": result.explanation, "lines": result.lines}
                for result in results
            ],
            "warnings": found,
        }
    )
    if failed:
        click.get_current_context().exit(REFUSED)


@command(group, "diff")
@_file_argument
@scope_option
def diff_(out: Output, file: Path | None, scope: Path) -> None:
    """Show what a policy file would newly allow and forbid."""
    view = open_view(scope)
    folder = view.folder
    written = PolicyFile.load(file or folder.policy_file)
    change = policy_change(folder, written, is_preview=True)
    _show_change(out, folder, change)
    refusal = None
    if change:
        try:
            policy_change(folder, written)
        except (StalePolicyFile, RestoresMembers) as error:
            refusal = str(error)
            out.warn(f"writ policy certify refuses this file: {error}")
            for line in getattr(error, "details", ()):
                out.line(f"  {line}")
            out.note(error.advice)
    view.say(out)
    out.json({**_document(folder, change), "refused": refusal, **view.document()})


def _show_change(out: Output, folder: ScopeFolder, change: PolicyChange) -> None:
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


def _document(folder: ScopeFolder, change: PolicyChange) -> dict[str, Any]:
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


@command(group, "certify")
@_file_argument
@scope_option
@signing_options
@deliver_option
@timeout_option
@yes_option
def certify_(
    out: Output,
    file: Path | None,
    scope: Path,
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Certify a policy file.

    The command runs its tests, shows the changes, asks for confirmation, and has them signed. A
    change that fits an amendment is certified as an amendment and as a whole policy; both lead to
    the same state. A beacon of the new epoch is certified with them.

    The file names the policy that it was made from. If another one is in force the command refuses
    it, and shows what has changed since. It restores no revoked member: writ member restore does.
    """
    folder = open_scope(out, scope, signing)
    with issuing(out, folder, signing):
        found = find_targets(folder, targets)
        path = file or folder.policy_file
        before = folder.epoch, folder.head
        written = PolicyFile.load(path)
        _check_tests(folder, written)
        change = policy_change(folder, written)
        intent = pending.intent_key("policy", *change.content)
        change = resume_change(out, folder, change, signing, intent)
        _show_change(out, folder, change)
        document = _document(folder, change)
        raws: list[bytes] = []
        if change:
            out.confirm(f"Certify this as epoch {change.new.epoch}?", yes)
            raws = issue_change(out, folder, change, signing, intent)
        problem = policyfile.follow(folder, path, before)
    if change:
        change.announce(out.ok, raws)
    if problem:
        out.warn(
            f"cannot change {path}: {problem}. It does not name the policy that is in force now;"
            " once that is mended: writ policy rebase"
        )
    warn_of_room(out, folder)
    finish_change(out, folder, found, timeout_s, document)


def _check_tests(folder: ScopeFolder, written: PolicyFile) -> None:
    grants = folder.policy.grants if folder.policy else {}
    results = written.run_tests(folder.members.all(), grants)
    failed = [result.explanation for result in results if not result.passed]
    if failed:
        raise HostError(
            f"{len(failed)} of the policy's tests fail: {failed[0]}",
            "Nothing was certified. To see all of them: writ policy check.",
        )


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


@command(group)
@_file_argument
@scope_option
def rebase(out: Output, file: Path | None, scope: Path) -> None:
    """Make a policy file start from the policy in force. Default: policy.toml of the scope.

    Revoked members that the file does not list are added to `revoked`. Everything else stays as it
    is: writ policy diff shows what the file would change now.
    """
    view = open_view(scope)
    folder = view.folder
    path = file or folder.policy_file
    written = PolicyFile.load(path)
    members = folder.members.all()
    names = folder.members.names()
    revoked = folder.policy.revoked if folder.policy else []
    missing = sorted(set(revoked) - set(written.revoked_ids(members)))
    entries = [(node.hex(), names.get(node, "")) for node in missing]
    if problem := policyfile.rebase(folder, path, lambda text: add_revoked(text, entries)):
        raise HostError(f"cannot change {path}: {problem}", "Mend that, and run the command again.")
    out.ok(f"{path} starts from epoch {folder.epoch} (head {folder.head.hex()})")
    for node in missing:
        out.line(f"  revoked: {names.get(node, node.hex())}")
    view.say(out)
    out.note("see what it would change:  writ policy diff")
    out.json({"file": path, "epoch": folder.epoch, "head": folder.head, "revoked": missing})


@command(group)
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
            **_document(folder, change),
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
    _show_change(out, folder, change)
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


@command(group)
@scope_option
def show(out: Output, scope: Path) -> None:
    """Show the policy in force as text. With a governor's daemon it is refreshed first."""
    view = open_view(scope)
    folder = view.folder
    if folder.policy is None:
        raise HostError("there is no policy yet", "Certify one first: writ policy certify.")
    found = decompile(folder.policy, folder.members.names())
    out.line(found.title)
    out.table(("rule", "from", "methods", "resource", "to", "condition"), found.rules)
    if found.routes:
        columns = ("class", "senders", "relays", "links", "hops", "airtime", "priority")
        out.table(columns, found.routes, "routes")
    out.fields(
        {
            "roles": ", ".join(found.roles) or "none",
            "revoked": ", ".join(found.revoked) or "none",
            "granted": "; ".join(f"{node}: {roles}" for node, roles in found.grants) or None,
            "approvals": "; ".join(f"{what}: {operators}" for what, operators in found.approvals),
            "committee": found.committee and f"the governors with the shares {found.committee}",
            "void": found.void_before and f"memberships from before epoch {found.void_before}",
        }
    )
    view.say(out)
    keys = ("number", "from", "methods", "resource", "to", "condition")
    out.json(
        {
            "epoch": folder.epoch,
            "head": folder.head,
            "issued": folder.policy.issued,
            "roles": found.roles,
            "rules": [dict(zip(keys, row, strict=True)) for row in found.rules],
            "routes": found.routes,
            "revoked": found.revoked,
            "grants": dict(found.grants),
            "approvals": found.approvals,
            "committee": found.committee,
            "void_before": found.void_before,
            **view.document(),
        }
    )
