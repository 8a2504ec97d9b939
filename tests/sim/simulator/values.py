"""What the simulated governors decide about: payloads of real shape, of states with a name."""

from functools import lru_cache

from writ import cbor
from writ.authority.capsule import (
    ACTION,
    AMENDMENT,
    BEACON,
    EXP,
    IAT,
    MEMBER,
    POLICY,
    SUB,
    WRIT,
    head,
)
from writ_host.consensus.value import ORDERED, Value

GENESIS = b"\0" * 6
BAD = "bad"


def payload(kind, height, previous, name):
    return cbor.encode({IAT: 1, WRIT: [kind, height, previous, name]})


def make_value(height, previous, name, amended=True):
    """A policy state called `name`, as amendment and policy, or as the policy alone."""
    policy = payload(POLICY, height, previous, name)
    if not amended:
        return Value((policy,))
    return Value((payload(AMENDMENT, height, previous, name), policy))


def make_beacon(height, newest, time_s):
    return cbor.encode({IAT: time_s, WRIT: [BEACON, height, newest]})


def make_members(name):
    """A membership and an action, which are signed together."""
    member = cbor.encode({SUB: name, EXP: 2, WRIT: [MEMBER, 1, 2]})
    return member, cbor.encode({EXP: 2, WRIT: [ACTION, bytes(8), 3, name, bytes(32), bytes(8)]})


def is_beacon(data):
    return _body(data)[0] == BEACON


@lru_cache(4096)
def _body(data):
    return tuple(cbor.decode(data)[WRIT])


def state_of(data):
    """(epoch, (previous, name)) of an ordered payload, (None, None) of another."""
    body = _body(data)
    if body[0] not in ORDERED:
        return None, None
    return body[1], (body[2], body[3])


def head_of(value):
    """What the next state names as previous."""
    return head(value.payloads[-1])


def reason_against(value, previous):
    """The caller's judgement: None for a value that follows from what was decided before."""
    states = {state_of(one) for one in value.payloads}
    kinds = [_body(one)[0] for one in value.payloads]
    if len(states) != 1 or kinds not in ([POLICY], [AMENDMENT, POLICY]):
        return "not one state"
    _, (claimed, name) = states.pop()
    if claimed != previous:
        return "does not follow"
    return "no honest governor accepts it" if name.startswith(BAD) else None
