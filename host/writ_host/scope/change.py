"""Changes of the policy: from policy.toml, and by revoking, restoring and cleaning up.

A change that fits an amendment is certified as an amendment and as a whole policy. policy.toml
names the epoch and head that it was made from, as an ETag does: another policy in force refuses it.
The file never restores a revoked node; `restoration` does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import AMENDMENT, MEMBER, TIME_MAX, Member
from writ.authority.policy import OP_RESTORE, Policy
from writ.limits import AMENDMENT_OPS_MAX

from ..errors import HostError
from ..policy.amendment import successor
from ..policy.diff import Diff, diff
from ..policy.source import PolicyFile
from ..policy.strict_toml import PolicyError
from ..policy.text import node_text
from .folder import ScopeFolder, now_s
from .issuance import Draft, policy_draft, state_beacon_draft
from .revocation import (
    REVOKED_WARN,
    RevokedListFull,
    clean_up_bound,
    member_body,
    replaced,
    spent_ids,
)


class StalePolicyFile(HostError):
    """A policy file that was made from another policy than the one in force.

    details: what has changed since, a line each.
    """

    advice = (
        "See what it would change: writ policy diff. To make it start from the policy in force:"
        " writ policy rebase"
    )

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class RestoresMembers(HostError):
    """A policy file that leaves out revoked members."""

    advice = (
        "To restore a member: writ member restore NAME. To list them in the file again:"
        " writ policy rebase"
    )


@dataclass(frozen=True)
class PolicyChange:
    """A change from policy `old` (None: the first) to `new`.

    ops: the amendment's operations, None if a whole policy is necessary.
    """

    old: Policy | None
    new: Policy
    ops: list[Any] | None
    drafts: list[Draft] = field(default_factory=list)
    diff: Diff | None = None

    def announce(self, say: Callable[[str], None], raws: Sequence[bytes]) -> None:
        """Say what was certified; raws: the capsules of `drafts`."""
        pairs = zip(self.drafts, raws, strict=True)
        sizes = ", ".join(f"{draft.label} ({len(raw)} bytes)" for draft, raw in pairs)
        say(f"certified: {sizes}")

    @property
    def content(self) -> list[Any]:
        """The new policy's body without its epoch, previous head and time."""
        claims = capsules.parse_claims(self.new.payload())
        found: list[Any] = claims[capsules.WRIT][3:]
        return found

    def __bool__(self) -> bool:
        """Whether the policy changes at all."""
        if self.old is None:
            return True
        old, new = self.old, self.new
        carried = (old.grants, old.committee, old.void_before)
        return _content(old) != _content(new) or carried != (
            new.grants,
            new.committee,
            new.void_before,
        )


def _content(policy: Policy) -> list[Any]:
    # what a policy file decides
    found: Any = policy
    return [found.rules, found.routes, found.revoked, found.role_names, found.approvals]


# --- from policy.toml -----------------------------------------------------------------------------


def policy_change(folder: ScopeFolder, file: PolicyFile, is_preview: bool = False) -> PolicyChange:
    """The change that this policy file makes.

    is_preview: without the checks that protect newer changes from an old file. Raises `PolicyError`
    as `PolicyFile` does, `StalePolicyFile` or `RestoresMembers`.
    """
    old = folder.policy
    governors = len(folder.charter.governors)
    if file.approvals.most > governors:
        raise PolicyError(
            f"{file.source.name}: {file.approvals.most} operators, but only {governors} governors",
            "Each governor has one operator: nothing could ever get so many approvals.",
        )
    members = folder.members.all()
    revoked = set(file.revoked_ids(members))
    if old is None:
        return _change(folder, None, file.policy(1, folder.head, now_s(), revoked), None)
    issued = now_s()
    spent = spent_ids(old, members, issued)
    change = _file_change(folder, old, file, spent)
    if change and not is_preview:
        check_base(folder, file)
        if missing := set(old.revoked) - revoked - spent:
            names = folder.members.names()
            listed = ", ".join(node_text(node, names) for node in sorted(missing))
            raise RestoresMembers(f"{file.source.name} does not revoke {listed}")
    return change


def _file_change(
    folder: ScopeFolder, old: Policy, file: PolicyFile, spent: set[bytes]
) -> PolicyChange:
    members, issued = folder.members.all(), now_s()
    revoked = set(file.revoked_ids(members))
    # expired and void members need no new place in the list. Those that have one leave it when the
    # list is long: governors that have signed a later membership refuse that
    gone = {one.node_id for one in members if one.expires <= issued or folder.is_void(one)}
    listed = set(old.revoked)
    kept = (revoked - gone) | (revoked & listed) | spent
    at = folder.epoch, folder.head
    if len(kept) < REVOKED_WARN or not spent:
        new, ops = successor(file, old, issued, kept, old.grants, at)
        return _change(folder, old, new, ops)
    bounds = (old.committee, old.void_before)
    new = file.policy(at[0] + 1, at[1], issued, kept - spent, old.grants, *bounds)
    return _change(folder, old, new, None)


def check_base(folder: ScopeFolder, file: PolicyFile) -> None:
    """Raises `StalePolicyFile`, with the difference, unless the file starts from what is in force.

    A newer epoch with the same rules, routes, roles, revoked nodes and approvals is no difference.
    """
    now = folder.policy
    if now is None or file.base == (folder.epoch, folder.head):
        return
    name = file.source.name
    if file.base is None:
        raise StalePolicyFile(
            f"{name} does not say which policy it was made from; epoch {folder.epoch} is in force"
        )
    then = folder.policy_as_of(*file.base)
    if then is not None and _content(then) == _content(now):
        return
    lines = diff(then, now, folder.members.names()).lines() if then else ["unknown here"]
    raise StalePolicyFile(
        f"{name} was made from epoch {file.base[0]} (head {file.base[1].hex()}); epoch"
        f" {folder.epoch} (head {folder.head.hex()}) is in force, and has changed since:",
        details=lines,
    )


# --- by commands ----------------------------------------------------------------------------------


def _policy_of(folder: ScopeFolder) -> Policy:
    if folder.policy is None:
        raise HostError("there is no policy yet", "Certify one first: writ policy certify.")
    return folder.policy


def _amended(folder: ScopeFolder, ops: list[Any]) -> PolicyChange:
    old = _policy_of(folder)
    body = check_amendment([AMENDMENT, folder.epoch + 1, folder.head, *ops])
    return _change(folder, old, amend(old, body), ops)


def revocation(folder: ScopeFolder, members: Sequence[Member]) -> PolicyChange:
    """The policy in force with these members revoked; policy.toml is not read.

    Where the list is full, expired members leave it. Not before: the governors that have signed a
    later membership of one of them would refuse the revocation of all. Raises `RevokedListFull`.
    """
    old = _policy_of(folder)
    ids = sorted({member.node_id for member in members} - set(old.revoked))
    if not ids:
        raise HostError("no member to revoke", "Name members that are not revoked yet.")
    issued = now_s()
    listed = {*old.revoked, *ids}
    at = folder.epoch + 1, folder.head
    try:
        whole = replaced(old, *at, issued, listed)
    except RevokedListFull:
        spent = spent_ids(old, folder.members.all(), issued)
        if not spent:
            raise
        return _change(folder, old, replaced(old, *at, issued, listed - spent), None)
    if len(ids) <= AMENDMENT_OPS_MAX:
        return _amended(folder, ids)
    return _change(folder, old, whole, None)


def restoration(folder: ScopeFolder, members: Sequence[Member]) -> PolicyChange:
    """The policy in force without these members in its list of revoked nodes."""
    old = _policy_of(folder)
    ids = sorted({member.node_id for member in members} & set(old.revoked))
    if not 0 < len(ids) <= AMENDMENT_OPS_MAX:
        raise HostError(
            f"{len(ids)} members to restore",
            f"Name 1 to {AMENDMENT_OPS_MAX} members that are revoked.",
        )
    return _amended(folder, [[OP_RESTORE, node] for node in ids])


def to_renew(folder: ScopeFolder) -> list[Member]:
    """The living members whose capsules `cleaning` would void."""
    now = now_s()
    members = [one for one in folder.members.all() if folder.is_living(one, now)]
    return [one for one in members if one.epoch < folder.epoch]


def renewal_drafts(folder: ScopeFolder, members: Iterable[Member]) -> list[Draft]:
    """Capsules that differ from the present ones in the epoch, and in one more second of validity.

    Devices recognise the newer of two capsules by its later expiry.
    """
    drafts = []
    for one in members:
        if one.expires >= TIME_MAX:
            raise HostError(f"{one.name} never expires, and cannot be renewed", "Revoke it.")
        drafts.append(
            Draft(
                f"member {one.name} ({one.node_id.hex()})",
                capsules.build(
                    MEMBER,
                    member_body(one.address, one.roles, folder.epoch),
                    sub=one.name,
                    exp=one.expires + 1,
                    nbf=one.not_before or None,
                    key=(one.x, one.y_is_odd),
                ),
            )
        )
    return drafts


def cleaning(folder: ScopeFolder) -> PolicyChange:
    """The policy in force with memberships of earlier epochs void, and without ids that are spent.

    Members in `to_renew` lose their membership by it.
    """
    old, issued = _policy_of(folder), now_s()
    bound = max(old.void_before, folder.epoch)
    spent = spent_ids(old, folder.members.all(), issued, bound)
    left = set(old.revoked) - spent
    new = replaced(old, folder.epoch + 1, folder.head, issued, left, void_before=bound)
    return _change(folder, old, new, None)


def is_clean(folder: ScopeFolder) -> bool:
    """Whether `cleaning` would change nothing: no id is revoked, and nothing is left to void.

    Memberships of the last epoch are not void after a clean-up: it has renewed them.
    """
    old = _policy_of(folder)
    return not old.revoked and old.void_before >= folder.epoch - 1


def _change(
    folder: ScopeFolder, old: Policy | None, new: Policy, ops: list[Any] | None
) -> PolicyChange:
    drafts = []
    if ops:
        payload = capsules.build(AMENDMENT, [new.epoch, new.previous, *ops])
        drafts.append(Draft(f"amendment to epoch {new.epoch}", payload))
    newest = folder.beacon.time if folder.beacon else 0
    # with a beacon of the new epoch, since devices refuse one of an older epoch
    beacon = state_beacon_draft(new.epoch, new.head(), max(now_s(), newest + 1))
    drafts += [policy_draft(new), beacon]
    if old is None:
        return PolicyChange(old, new, ops, drafts)
    members = folder.members.all()
    # an amendment leaves an id out only to restore it
    spent = set() if ops else spent_ids(old, members, new.issued, clean_up_bound(new))
    return PolicyChange(old, new, ops, drafts, diff(old, new, folder.members.names(), spent))
