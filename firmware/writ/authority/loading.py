"""The state of an authority from its records on flash, at the start of a node.

A part of authority.py in a file of its own, which is unloaded after the start.
"""

from ..errors import NotOurs, StoreDamaged, WrongScope
from . import capsule as capsules
from .capsule import Beacon, Charter, Member
from .policy import Policy


def load(authority):
    """Put the records in force. Raises `StoreDamaged`, `WrongScope` or `NotOurs`."""
    # the capsules on flash were verified before they were written
    raw = authority.store.load("charter")
    if not raw:
        for name in ("policy", "member", "beacon"):
            if authority.store.load(name):
                raise StoreDamaged("charter is missing")
        return
    charter = Charter(capsules.parse(raw))
    if authority.scope is not None and authority.scope != charter.scope:
        raise WrongScope()
    authority._set_charter(charter)
    payload, base, _ = authority.policy_record()
    if payload or base:
        payload = payload or capsules.parse(base).payload
        authority._set_policy(Policy(capsules.parse_claims(payload)), payload)
        authority._time(authority.policy.issued, "policy")
    raw = authority.store.load("beacon")
    if raw:
        authority.beacon = Beacon(capsules.parse(raw))
        authority._time(authority.beacon.time, "beacon")
    # after the beacon, which it may take back
    if authority.store.load("keys"):
        from .succession import restore

        restore(authority)
    try:
        raw = authority.store.load("member")
    except StoreDamaged:
        # any node that has this capsule can hand it over again
        authority.store.reset("member")
        authority.is_member_lost = True
        raw = None
    if raw:
        member = Member(capsules.parse(raw))
        if member.x != authority.own_x:
            raise NotOurs()
        authority.me = member
        if authority.key_epoch:
            from .succession import vouch

            vouch(authority, member)
