"""Room in the list of revoked nodes: which ids may leave it, and when it must be cleaned up.

An id leaves the list in a whole policy, when no node would accept any membership of it:

1. Every membership that may exist has expired: the newest one known, and all that this governor
   has signed. The policy was issued after that. A node that has the policy has that time.
2. The policy is a clean-up. It voids the memberships of all epochs before the one in force when it
   was drafted. The id was revoked in that epoch or before. Honest governors sign no membership for
   a revoked node, nor one that names a later epoch than their own. So all of it is void.

A Byzantine governor may coordinate the signing of a membership and hold the certified capsule back.
Its honest signers have noted its expiry (governor/ledger/reservations.py) before they signed. Any
two quorums share an honest governor, so no quorum signs a policy without the id by rule 1 before
that expiry. Rule 2 needs no memory.

An id of which no membership is known stays until a clean-up. An amendment carries no time, so an id
leaves in it only to be restored.
"""

from collections.abc import Callable, Iterable
from typing import Any

from writ.authority import capsule as capsules
from writ.authority.capsule import POLICY, Member
from writ.authority.policy import PARAM_VOID_BEFORE, Policy
from writ.limits import CAPSULE_BYTES_MAX, DATAGRAM_BYTES_MAX, REVOKED_MAX

from ..errors import HostError

# From so many ids on the tool advises to clean up: a quarter of the list is left for a bad week.
REVOKED_WARN = 48
# A policy of this size travels in one datagram, with the headers of CoAP and OSCORE.
DATAGRAM_POLICY_BYTES = DATAGRAM_BYTES_MAX - 40
CLEAN_UP = "Make room: writ policy clean"


class RevokedListFull(HostError):
    """More revoked ids, or a larger policy, than a device holds."""

    advice = f"{CLEAN_UP}, then run the command again."


def member_body(address: int, roles: int, epoch: int) -> list[int]:
    """The body of a member capsule that is drafted in this epoch (0: before the first policy)."""
    return [address, roles, epoch] if epoch else [address, roles]


# By node id (8 B): the latest expiry, in Unix seconds, of the memberships that a governor has
# signed, 0 for none; None: it does not know what the other governors have signed.
SignedUntil = Callable[[bytes], int | None]


def none_signed(_: bytes) -> int:
    """The `SignedUntil` of a program that keeps no record of what it signs."""
    return 0


def is_void(policy: Policy | None, member: Member) -> bool:
    """Whether a clean-up has voided this membership: it names an earlier epoch."""
    return policy is not None and bool(member.epoch < policy.void_before)


def clean_up_bound(policy: Policy) -> int:
    """`void_before` of a policy that is a clean-up; 0 for others, which free no id by rule 2."""
    bound = int(policy.void_before)
    return bound if bound == policy.epoch - 1 else 0


def spent_ids(
    old: Policy,
    members: Iterable[Member],
    time_s: int,
    clean_before: int = 0,
    signed_until: SignedUntil = none_signed,
) -> set[bytes]:
    """The ids (8 B each) revoked by `old` that a whole policy may leave out, by the rules above.

    members: the newest capsules; time_s: the issue time of that policy, for a governor no later
    than its own clock; clean_before: the policy's `clean_up_bound`.
    """
    known = {member.node_id: member for member in members}

    def is_spent(node: bytes) -> bool:
        member = known.get(node)
        if clean_before and (member is None or member.epoch < clean_before):
            return True
        signed_s = signed_until(node)
        if member is None or signed_s is None:
            return False
        return bool(max(member.expires, signed_s) <= time_s)

    return {node for node in old.revoked if is_spent(node)}


def replaced(
    old: Policy, epoch: int, previous: bytes, issued: int, revoked: Iterable[bytes], **more: int
) -> Policy:
    """The whole policy of `old` with other revoked ids; void_before: another bound.

    Raises `RevokedListFull`.
    """
    ids, params = sorted(revoked), dict(old.params)
    if bound := more.get("void_before", old.void_before):
        params[PARAM_VOID_BEFORE] = bound
    if len(ids) > REVOKED_MAX:
        raise RevokedListFull(f"{len(ids)} revoked members; devices hold at most {REVOKED_MAX}")
    body: list[Any] = [epoch, previous, old.rules, old.routes, ids, params]
    payload = capsules.build(POLICY, body, iat=issued)
    if (size := capsule_bytes(payload)) > CAPSULE_BYTES_MAX:
        raise RevokedListFull(f"the policy has {size} bytes; devices hold {CAPSULE_BYTES_MAX}")
    return Policy(capsules.parse_claims(payload))


def capsule_bytes(payload: bytes) -> int:
    """The size of the capsule with this payload."""
    return len(capsules.assemble(payload, bytes(64)))


def room_warning(policy: Policy | None) -> str | None:
    """What is nearly full, and the next step; None if there is room."""
    if policy is None or not policy.revoked:
        return None
    if len(policy.revoked) >= REVOKED_WARN:
        return f"{len(policy.revoked)} of {REVOKED_MAX} revoked ids are in use. {CLEAN_UP}"
    size = capsule_bytes(policy.payload())
    if size > DATAGRAM_POLICY_BYTES:
        return (
            f"the policy has {size} bytes; one datagram holds {DATAGRAM_POLICY_BYTES}, and larger"
            f" ones take several. {CLEAN_UP}"
        )
    return None
