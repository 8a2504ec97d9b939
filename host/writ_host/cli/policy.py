"""`writ policy`: check, compare, certify, clean up and show a scope's policy."""

from pathlib import Path

import click

from ..errors import HostError, NoNode
from ..node import config as nodeconfig
from ..policy.edit import add_revoked
from ..policy.lint import warnings
from ..policy.source import PolicyFile
from ..policy.text import decompile
from ..scope import pending, policyfile
from ..scope.change import (
    RestoresMembers,
    StalePolicyFile,
    policy_change,
)
from ..scope.delivery import find_targets
from ..scope.folder import ScopeFolder
from .boundary import REFUSED
from .clean import clean
from .delivery import deliver_option
from .options import node_option, scope_option, timeout_option, yes_option
from .output import Output, command
from .policychange import (
    change_document,
    finish_change,
    issue_change,
    resume_change,
    show_change,
    warn_of_room,
)
from .signers import (
    SigningOptions,
    issuing,
    open_scope,
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
@node_option
def check(out: Output, file: Path | None, scope: Path, node: Path) -> None:
    """Run the tests of a policy file, and print warnings. Default: policy.toml of the scope.

    If the node has links without IP, the policy must have routes for them.
    """
    folder = ScopeFolder.find(scope)
    path = file or scope / "policy.toml"
    written = PolicyFile.load(path)
    members = folder.members.all() if folder else []
    grants = folder.policy.grants if folder and folder.policy else {}
    # also checks a device's limits
    written.policy(1, bytes(6), 0, written.revoked_ids(members), grants)
    results = written.run_tests(members, grants)
    has_links = _has_links(node, folder)
    found = warnings(written, members if members else None, grants, has_links)
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


def _has_links(node: Path, folder: ScopeFolder | None) -> bool:
    # whether this is the folder of a node with links, and of this scope if that is known
    try:
        config = nodeconfig.read(node, of_chip=True)
    except NoNode:
        return False
    scope = folder.charter.scope.hex() if folder else config.get("scope")
    return bool(config.get("links")) and config.get("scope") == scope


@command(group, "diff")
@_file_argument
@scope_option
def diff_(out: Output, file: Path | None, scope: Path) -> None:
    """Show what a policy file would newly allow and forbid."""
    view = open_view(scope)
    folder = view.folder
    written = PolicyFile.load(file or folder.policy_file)
    change = policy_change(folder, written, is_preview=True)
    show_change(out, folder, change)
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
    out.json({**change_document(folder, change), "refused": refusal, **view.document()})


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
        show_change(out, folder, change)
        document = change_document(folder, change)
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


group.add_command(clean)
