"""Room in the list of revoked nodes: which ids may leave it, and when it must be cleaned up.

An id leaves the list when no node would accept its membership anyway, by a fixed rule:

1. Its membership expires no later than the whole policy without the id was issued. A node that has
   the policy has that time.
2. Its membership is void by that policy: it names an epoch before `void_before`.

An id of which no membership is known stays. An amendment carries no time, so ids leave the list
only in a whole policy.
"""

from collections.abc import Iterable
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


def spent_ids(
    old: Policy, members: Iterable[Member], issued: int, void_before: int | None = None
) -> set[bytes]:
    """The ids (8 B each) revoked by `old` that a whole policy may leave out, by the rule above.

    members: the newest capsules; issued, void_before: of that policy; None: as in `old`.
    """
    bound = old.void_before if void_before is None else void_before
    return {
        member.node_id
        for member in members
        if member.node_id in old.revoked and (member.expires <= issued or member.epoch < bound)
    }


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
