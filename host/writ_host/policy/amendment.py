"""The amendment from one policy to the next: the operations that devices apply themselves."""

from collections.abc import Iterable, Mapping
from typing import Any

from writ.authority import capsule
from writ.authority.amendment import amend, check_amendment
from writ.authority.policy import (
    OP_ADD_RULE,
    OP_GRANT,
    OP_REMOVE_RULE,
    OP_RESTORE,
    OP_SET,
    PARAM_APPROVALS,
    PARAM_COMMITTEE,
    PARAM_VOID_BEFORE,
    Policy,
)
from writ.errors import Rejection

from .source import PolicyFile


def amendment_for(
    old: Policy, new: Policy, at: tuple[int, bytes] | None = None
) -> list[Any] | None:
    """The operations that turn `old` into exactly `new`; None if a whole policy is necessary.

    Devices must compute the very payload of `new` from the amendment: `new` must be of the next
    epoch, follow the head in force and have the `issued` of `old`. None also if the amendment would
    not be shorter than the policy. at: epoch and head in force, if a succession came after `old`.
    """
    epoch, head = at or (old.epoch, old.head())
    if new.epoch != epoch + 1 or new.previous != head:
        return None
    before, after = set(old.revoked), set(new.revoked)
    ops: list[Any] = sorted(after - before)
    ops += [[OP_RESTORE, node] for node in sorted(before - after)]
    for node in sorted({*old.grants, *new.grants}):
        if old.grants.get(node, 0) != new.grants.get(node, 0):
            ops.append([OP_GRANT, node, new.grants.get(node, 0)])
    for key, was, now in (
        (PARAM_APPROVALS, old.approvals, new.approvals),
        (PARAM_COMMITTEE, old.committee, new.committee),
        (PARAM_VOID_BEFORE, old.void_before or None, new.void_before or None),
    ):
        if was != now:
            ops.append([OP_SET, key, now])
    # operations add rules at the end only: the rules that stay must begin the new list, in order
    kept = 0
    for rule in old.rules:
        if kept < len(new.rules) and rule == new.rules[kept]:
            kept += 1
        else:
            ops.append([OP_REMOVE_RULE, rule])
    ops += [[OP_ADD_RULE, rule] for rule in new.rules[kept:]]
    body = [capsule.AMENDMENT, new.epoch, new.previous, *ops]
    try:
        payload = capsule.build(capsule.AMENDMENT, body[1:])
        state = amend(old, check_amendment(body))
    except Rejection:
        return None
    whole = new.payload()
    return ops if state.payload() == whole and len(payload) < len(whole) else None


def successor(
    file: PolicyFile,
    old: Policy,
    issued: int,
    revoked_ids: Iterable[bytes] = (),
    grants: Mapping[bytes, int] | None = None,
    at: tuple[int, bytes] | None = None,
) -> tuple[Policy, list[Any] | None]:
    """The policy that a policy file makes of `old`, and the amendment to it if there is one.

    With an amendment the policy keeps the `issued` of `old`; without, it has the given one. at: as
    for `amendment_for`. Committee and `void_before` stay. Raises as `PolicyFile.policy` does.
    """
    epoch, head = at or (old.epoch, old.head())
    ids = list(revoked_ids)

    def state(issued: int) -> Policy:
        return file.policy(epoch + 1, head, issued, ids, grants, old.committee, old.void_before)

    amended = state(old.issued)
    if ops := amendment_for(old, amended, at):
        return amended, ops
    return state(issued), None
