"""The capsules of an authority by their slots, which are the topics at which brokers keep them.

    charter   policy   beacon   amendment/EPOCH   succession/EPOCH   member/NODEID

A slot has one capsule, and a newer one takes its place. The policy is the newest whole one here;
amendments follow it.
"""

import re

from writ.authority import capsule as capsules
from writ.authority.authority import Authority
from writ.authority.policy import epoch_of
from writ.authority.succession import chain
from writ.errors import Rejection

# The beginning of the slots of members.
MEMBER = "member/"
_SLOT = re.compile(
    r"charter|policy|beacon|(?:amendment|succession)/[1-9][0-9]{0,9}|member/[0-9a-f]{16}", re.ASCII
)
_ALONE = {capsules.CHARTER: "charter", capsules.POLICY: "policy", capsules.BEACON: "beacon"}
_BY_EPOCH = {capsules.AMENDMENT: "amendment", capsules.SUCCESSION: "succession"}


def is_slot(text: str) -> bool:
    """Whether this is the name of a slot."""
    return _SLOT.fullmatch(text) is not None


def slot_of(raw: bytes) -> str:
    """The slot of a capsule, unverified; "" for a kind that no slot has. Raises `Rejection`."""
    capsule = capsules.parse(raw)
    if capsule.kind in _ALONE:
        return _ALONE[capsule.kind]
    if capsule.kind in _BY_EPOCH:
        epoch = capsules.check_uint(capsule.body[1], capsules.TIME_MAX)
        return f"{_BY_EPOCH[capsule.kind]}/{epoch}"
    if capsule.kind == capsules.MEMBER:
        return f"{MEMBER}{capsules.Member(capsule).node_id.hex()}"
    return ""


def held(authority: Authority, with_members: bool, now_ms: int) -> dict[str, bytes]:
    """{slot: capsule} of what an authority has in force. Raises `StoreDamaged`.

    with_members: the bridge's own capsule and those of valid members it knows, too.
    """
    _, base, amendments = authority.policy_record()
    raws = [authority.store.load("charter"), base, *amendments, *chain(authority.store)]
    raws.append(authority.beacon.raw if authority.beacon else None)
    if with_members:
        raws += [one.raw for one in _members(authority, now_ms)]
    return {slot_of(bytes(raw)): bytes(raw) for raw in raws if raw}


def _members(authority: Authority, now_ms: int) -> list[capsules.Member]:
    found = []
    for member in [authority.me, *authority.peers.values()]:
        if member is None:
            continue
        try:
            authority.check_member(member, now_ms)
        except Rejection:
            # other nodes would refuse it too
            continue
        found.append(member)
    return found


def is_superseded(authority: Authority, slot: str) -> bool:
    """Whether this is an amendment that the whole policy here has made superfluous."""
    kind, _, number = slot.partition("/")
    if kind != "amendment":
        return False
    _, base, _ = authority.policy_record()
    return int(number) <= epoch_of(base)
