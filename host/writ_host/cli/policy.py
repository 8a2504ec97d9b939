"""`writ policy`: check, compare, certify and show who may do what to whom."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from ..errors import HostError
from ..policy.diff import Diff
from ..policy.lint import warnings
from ..policy.source import PolicyFile
from ..policy.text import decompile
from ..scope import issuance, pending
from ..scope.delivery import find_targets, policy_sender
from ..scope.folder import NoScopeHere, ScopeFolder
from . import delivering
from .boundary import REFUSED
from .delivering import deliver_option
from .options import scope_option, timeout_option, yes_option
from .output import Output, command
from .signers import Who, certifying, going_on, open_scope, open_signer, signing_options

_file_argument = click.argument(
    "file", required=False, type=click.Path(dir_okay=False, path_type=Path)
)


@click.group()
def group() -> None:
    """Check, compare, certify and show the policy."""


@command(group)
@_file_argument
@scope_option
def check(out: Output, file: Path | None, scope: Path) -> None:
    """Run the tests of a policy file (policy.toml of the scope), and warn of oddities."""
    folder = _maybe(scope)
    path = file or scope / "policy.toml"
    written = PolicyFile.load(path)
    members = folder.members.all() if folder else []
    grants = folder.policy.grants if folder and folder.policy else {}
    # a device's own limits, too
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
    out.line(f"{rules} rules, {len(results)} tests, {failed} failed, {len(found)} warnings")
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


def _maybe(scope: Path) -> ScopeFolder | None:
    try:
        return ScopeFolder.open(scope)
    except NoScopeHere:
        return None


@command(group, "diff")
@_file_argument
@scope_option
def diff_(out: Output, file: Path | None, scope: Path) -> None:
    """What certifying a policy file would newly allow and forbid, in words."""
    folder = ScopeFolder.open(scope)
    change = issuance.policy_change(folder, PolicyFile.load(file or folder.policy_file))
    _show_change(out, folder, change)
    out.json(_document(folder, change))


def _show_change(out: Output, folder: ScopeFolder, change: issuance.PolicyChange) -> None:
    if not change:
        out.line(f"the same as the policy of epoch {folder.epoch}: nothing to certify")
        return
    out.line(f"epoch {folder.epoch} -> {change.new.epoch}")
    if change.diff is None:
        out.line("the first policy: all that it allows is new")
        return
    for line in change.diff.lines():
        style = "green" if line.startswith("newly allowed") else None
        out.line(f"  {line}", "red" if "forbidden:" in line or "revoked:" in line else style)
    how = "by an amendment" if change.ops else "as a whole policy"
    out.note(f"{how}, {len(change.drafts[0].payload) + 74} bytes")


def _document(folder: ScopeFolder, change: issuance.PolicyChange) -> dict[str, Any]:
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
    who: Who,
    deliver: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Certify a policy file: run its tests, show what changes, ask, and sign.

    A change that an amendment can express is certified as amendment and as whole policy; both lead
    to one state. A beacon of the new epoch goes with it.
    """
    folder = open_scope(out, scope, who)
    with certifying(folder, who):
        targets = find_targets(folder, deliver)
        written = PolicyFile.load(file or folder.policy_file)
        _check_tests(folder, written)
        change = issuance.policy_change(folder, written)
        wish = pending.intent_key("policy", *change.content)
        change = resumed(out, folder, change, who, wish)
        _show_change(out, folder, change)
        document = _document(folder, change)
        if change:
            out.confirm(f"Certify this as epoch {change.new.epoch}?", yes)
            run_change(out, folder, change, who, wish)
    finish_change(out, folder, targets, timeout_s, document)


def _check_tests(folder: ScopeFolder, written: PolicyFile) -> None:
    grants = folder.policy.grants if folder.policy else {}
    results = written.run_tests(folder.members.all(), grants)
    failed = [result.explanation for result in results if not result.passed]
    if failed:
        raise HostError(
            f"{len(failed)} of the policy's tests fail: {failed[0]}",
            "Nothing was certified. See them all: writ policy check.",
        )


def resumed(
    out: Output, folder: ScopeFolder, change: issuance.PolicyChange, who: Who, wish: str
) -> issuance.PolicyChange:
    """The change as the same command has proposed it before, if that is not over."""
    kept = going_on(out, folder, who, wish)
    if kept is None:
        return change
    if not change:
        pending.remove(folder, wish)
        return change
    return dataclasses.replace(change, drafts=kept)


def run_change(
    out: Output, folder: ScopeFolder, change: issuance.PolicyChange, who: Who, wish: str
) -> list[bytes]:
    """Have a change of policy certified, and say so; wish: as in scope/pending.py."""
    signer = open_signer(out, folder, who, wish)
    raws = issuance.issue(folder, change.drafts, signer, f"policy of epoch {change.new.epoch}")
    sizes = ", ".join(
        f"{draft.label} ({len(raw)} bytes)" for draft, raw in zip(change.drafts, raws, strict=True)
    )
    out.ok(f"certified: {sizes}")
    return raws


def finish_change(
    out: Output,
    folder: ScopeFolder,
    targets: list[tuple[str, str]],
    timeout_s: float,
    document: dict[str, Any],
) -> None:
    """Hand the policy in force over, and end the command."""
    done = []
    if targets:
        done = delivering.deliver(out, targets, policy_sender(folder, timeout_s))
    document.update(
        epoch=folder.epoch,
        head=folder.head,
        capsules={
            "amendment": folder.amendment_capsule(),
            "policy": folder.policy_capsule(),
            "beacon": folder.beacon.raw if folder.beacon else None,
        },
        delivered=delivering.documents(done),
    )
    out.json(document)
    delivering.finish(out, done)


@command(group)
@scope_option
def show(out: Output, scope: Path) -> None:
    """The policy in force, in words."""
    folder = ScopeFolder.open(scope)
    if folder.policy is None:
        raise HostError("there is no policy yet", "Certify one first: writ policy certify.")
    found = decompile(folder.policy, folder.members.names())
    out.line(found.title)
    out.table(("rule", "who", "may", "resource", "on", "only"), found.rules)
    if found.routes:
        columns = ("class", "sent by", "relayed by", "links", "hops", "airtime", "priority")
        out.table(columns, found.routes, "frames")
    out.fields(
        {
            "roles": ", ".join(found.roles) or "none",
            "revoked": ", ".join(found.revoked) or "nobody",
            "granted": "; ".join(f"{node}: {roles}" for node, roles in found.grants) or None,
            "to certify": "; ".join(f"{what}: {operators}" for what, operators in found.approvals),
            "governors": found.committee and f"those of the shares {found.committee}",
        }
    )
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
        }
    )
