"""Succession: a new group key, certified by the old one. Loaded after the first succession.

The scope keeps its id and its policy. Capsules for single nodes that the old key has certified are
no longer valid. Record: "keys", the succession capsules, oldest first, for nodes that missed them.
"""

from .. import cbor, crypto
from ..compat import const
from ..errors import AlreadyKnown, Forked, RolledBack, WrongPrevious
from ..limits import SUCCESSIONS_MAX
from . import capsule as capsules
from .capsule import Succession

# The limit for a wrong clock, 30 days in seconds. A succession waits at most 14 days for its
# certification, so only a wrong clock has made a beacon that is so much later.
_JUMP_S = const(2592000)


def chain(store):
    """The succession capsules (bytes) on flash, oldest first."""
    record = store.load("keys")
    return cbor.decode(record) if record else []


def check_succession(authority, capsule):
    """The `Succession` in a capsule, if it may follow the state in force; unverified.

    Raises `BadShape`, `RolledBack`, `Forked`, `WrongPrevious` or `AlreadyKnown`.
    """
    found = Succession(capsule)
    if found.epoch < authority.epoch:
        raise RolledBack()
    if found.epoch == authority.epoch:
        raise AlreadyKnown() if found.head == authority.head else Forked()
    if found.epoch == authority.epoch + 1 and found.previous != authority.previous():
        raise WrongPrevious()
    return found


def apply(authority, succession):
    """Write a verified succession to flash and put it in force."""
    kept = chain(authority.store)[1 - SUCCESSIONS_MAX :]
    authority.store.save("keys", cbor.encode(kept + [succession.raw]))
    enforce(authority, succession)


def restore(authority):
    """Put in force the newest succession on flash."""
    newest = Succession(capsules.parse(chain(authority.store)[-1]))
    authority._time_s = max(authority._time_s, newest.issued)
    enforce(authority, newest)


def enforce(authority, succession):
    """Put the new key in force. The policy stays, at the succession's epoch if that is later.

    This takes back a beacon of the former key with the time of a wrong clock.
    """
    authority.group_key = succession.group_key
    authority.key_epoch = succession.epoch
    if succession.epoch > authority.epoch:
        authority.epoch = succession.epoch
        authority.head = succession.head
    authority.forget()
    beacon = authority.beacon
    if beacon and beacon.epoch < succession.epoch and beacon.time - succession.issued > _JUMP_S:
        authority.beacon = None
        # what else is certified, which `Authority.now_s` counts on from
        issued = authority.policy.issued if authority.policy else 0
        authority._time_s = max(authority.charter.founded, issued, succession.issued)
        authority._time_from = "policy"
        authority._time_ms = None


def after(store, epoch):
    """The `Succession` that a node of `epoch` needs next, or None."""
    for raw in chain(store):
        found = Succession(capsules.parse(raw))
        if found.epoch > epoch:
            return found
    return None


def vouch(authority, member):
    """Whether the group key in force has certified this member of a session from flash."""
    capsule = capsules.parse(member.raw)
    if crypto.ed25519_verify(authority.group_key, capsule.signing_input(), capsule.signature):
        member.key_epoch = authority.key_epoch
    return member.key_epoch == authority.key_epoch
