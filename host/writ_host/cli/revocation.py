"""`writ member revoke` and `writ member restore`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from writ.authority.capsule import Member

from ..errors import UnknownNode
from ..policy.edit import Edit, add_revoked, remove_revoked
from ..scope import pending, policyfile
from ..scope.change import PolicyChange, restoration, revocation
from ..scope.delivery import find_targets
from ..scope.folder import ScopeFolder
from .complete import member_names
from .delivery import deliver_option
from .options import scope_option, timeout_option, yes_option
from .output import Output, command
from .policychange import finish_change, issue_change, resume_change, warn_of_room
from .signers import SigningOptions, issuing, open_scope, signing_options


def find_member(folder: ScopeFolder, name: str) -> Member:
    """The member with this name or node id. Raises `UnknownNode`."""
    member = folder.members.find(name)
    if member is None:
        raise UnknownNode(f"no member is called {name}", "See the members: writ member list.")
    return member


@command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=member_names)
@click.option("--reason", help="Why: in the proposal and its log, and a comment in policy.toml.")
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
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Revoke members: a node with the new policy refuses them.

    NAME is a name, or a node id.

    The revocation changes the certified policy only: other changes in policy.toml wait for their
    own certification. The node ids are added to `revoked` in policy.toml.
    """
    because = f": {reason}" if reason else ""

    def edit(members: Sequence[Member]) -> Edit:
        entries = [(one.node_id.hex(), f"{one.name}{because}") for one in members]
        return lambda text: add_revoked(text, entries)

    kind = _RevokedListChange("revoke", "Revoke {} from epoch {} on?", revocation, edit, True)
    document = {"reason": reason}
    _run(out, kind, names, scope, signing, targets, timeout_s, yes, document)


@command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=member_names)
@scope_option
@signing_options
@deliver_option
@timeout_option
@yes_option
def restore(
    out: Output,
    names: tuple[str, ...],
    scope: Path,
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    yes: bool,
) -> None:
    """Restore revoked members: nodes accept their membership certificates again.

    NAME is a name, or a node id. Nothing else restores a member: policy.toml does not.
    """

    def edit(members: Sequence[Member]) -> Edit:
        ids = [one.node_id.hex() for one in members]
        return lambda text: remove_revoked(text, [*ids, *(one.name for one in members)])

    kind = _RevokedListChange("restore", "Restore {} from epoch {} on?", restoration, edit, False)
    _run(out, kind, names, scope, signing, targets, timeout_s, yes, {})


class _RevokedListChange:
    """A change of the list of revoked nodes: what tells the two commands apart.

    edit: of policy.toml; is_revoked: the result.
    """

    def __init__(
        self,
        verb: str,
        question: str,
        change: Callable[[ScopeFolder, Sequence[Member]], PolicyChange],
        edit: Callable[[Sequence[Member]], Edit],
        is_revoked: bool,
    ) -> None:
        self.verb = verb
        self.question = question
        self.change = change
        self.edit = edit
        self.is_revoked = is_revoked


def _run(
    out: Output,
    kind: _RevokedListChange,
    names: Sequence[str],
    scope: Path,
    signing: SigningOptions,
    targets: tuple[str, ...],
    timeout_s: float,
    yes: bool,
    document: dict[str, Any],
) -> None:
    folder = open_scope(out, scope, signing)
    path = folder.policy_file
    with issuing(out, folder, signing):
        found = find_targets(folder, targets)
        members = [find_member(folder, name) for name in names]
        intent = pending.intent_key(kind.verb, sorted(one.node_id for one in members))
        before = folder.epoch, folder.head
        raws: list[bytes] = []
        change = None
        if all(folder.is_revoked(one) == kind.is_revoked for one in members):
            pending.remove(folder, intent)
        else:
            change = resume_change(out, folder, kind.change(folder, members), signing, intent)
            listed = ", ".join(f"{one.name} ({one.node_id.hex()})" for one in members)
            out.confirm(kind.question.format(listed, change.new.epoch), yes)
            if signing.no_wait:
                out.note(f"{path} is changed when this command runs again")
            names_text = ", ".join(one.name for one in members)
            reason = document.get("reason")
            title = f"{kind.verb} {names_text}" + (f": {reason}" if reason else "")
            raws = issue_change(out, folder, change, signing, intent, title)
        # before any word about it: what is certified is in the file, whatever becomes of the output
        problem = policyfile.follow(folder, path, before, kind.edit(members))
    if change is None:
        out.ok(f"{kind.verb}d already: {', '.join(one.name for one in members)}")
    else:
        change.announce(out.ok, raws)
    if problem:
        what = "add the node ids to" if kind.is_revoked else "remove the members from"
        again = "once that is mended, run the same command again"
        out.warn(f"cannot change {path}: {problem}; {again}, or {what} `revoked` yourself")
    warn_of_room(out, folder)
    ids = [one.node_id for one in members]
    document.update({f"{kind.verb}d": ids, "noted": not problem})
    finish_change(out, folder, found, timeout_s, document)
