"""The amendment rule: the policy state that follows from another one by a list of operations. Pure.

Devices load it while an amendment is checked or applied.
"""

from .. import cbor
from ..errors import TooLarge, UnknownKind
from ..limits import (
    AMENDMENT_OPS_MAX,
    AMENDMENTS_MAX,
    CAPSULE_BYTES_MAX,
    HEAD_BYTES,
    RECORD_BYTES_MAX,
)
from .capsule import (
    AMENDMENT,
    IAT,
    NODE_ID_BYTES,
    POLICY,
    ROLES_MASK,
    TIME_MAX,
    WRIT,
    assemble,
    check,
    check_bytes,
    check_uint,
)
from .policy import (
    OP_ADD_RULE,
    OP_GRANT,
    OP_RESTORE,
    OP_SET,
    PARAM_APPROVALS,
    PARAM_GRANTS,
    PARAM_VOID_BEFORE,
    Policy,
    check_rule,
)


def amend(policy, body):
    """The `Policy` that follows from another one by an amendment's body.

    Raises `BadShape`, or `TooLarge` where no capsule could hold that state. The caller has checked
    epoch, previous head and signature.
    """
    rules = list(policy.rules)
    revoked = set(policy.revoked)
    params = dict(policy.params)
    grants = params[PARAM_GRANTS] = dict(policy.grants)
    for op in body[3:]:
        if isinstance(op, bytes):
            check(op not in revoked)
            revoked.add(op)
            continue
        code, subject = op[0], op[1]
        if code == OP_RESTORE:
            check(subject in revoked)
            revoked.remove(subject)
        elif code == OP_GRANT:
            grants[subject] = op[2]
            if not op[2]:
                del grants[subject]
        elif code == OP_ADD_RULE:
            check(subject not in rules)
            rules.append(subject)
        elif code == OP_SET:
            params[subject] = op[2]
            if op[2] is None:
                del params[subject]
        else:
            check(subject in rules)
            rules.remove(subject)
    if not grants:
        del params[PARAM_GRANTS]
    body = [POLICY, body[1], body[2], rules, policy.routes, sorted(revoked), params]
    # through the parser, so that an amendment can make no state that a capsule could not
    following = Policy(cbor.decode(cbor.encode({IAT: policy.issued, WRIT: body})))
    if len(assemble(following.payload(), bytes(64))) > CAPSULE_BYTES_MAX:
        raise TooLarge()
    return following


def check_amendment(body):
    """`body` if it is an amendment's: [3, epoch, previous, op...]; raises `BadShape`."""
    check(body[0] == AMENDMENT and 4 <= len(body) <= 3 + AMENDMENT_OPS_MAX)
    check_uint(body[1], TIME_MAX)
    check_bytes(body[2], HEAD_BYTES)
    for op in body[3:]:
        if isinstance(op, bytes):
            check_bytes(op, NODE_ID_BYTES)
            continue
        check(isinstance(op, list) and len(op) >= 2)
        code = check_uint(op[0], 255)
        if code > OP_SET:
            raise UnknownKind()
        check(len(op) == (3 if code == OP_GRANT or code == OP_SET else 2))
        if code == OP_RESTORE or code == OP_GRANT:
            check_bytes(op[1], NODE_ID_BYTES)
            if code == OP_GRANT:
                check_uint(op[2], ROLES_MASK)
        elif code == OP_SET:
            # the parser of the new state checks the value
            check(check_uint(op[1], PARAM_VOID_BEFORE) >= PARAM_APPROVALS)
        else:
            check_rule(op[1])
    return body


def trim(payload, base, amendments):
    """(base, amendments) that fit the record of the policy beside its payload.

    When they do not fit, the payload alone keeps the state, and the chain that proves it to other
    nodes becomes shorter: the base goes first, then the oldest amendments.
    """
    size = len(payload) + len(base) + sum([len(item) for item in amendments])
    # 32 bytes hold all the heads of a record
    while len(amendments) > AMENDMENTS_MAX or size > RECORD_BYTES_MAX - 32:
        size -= len(base) + len(amendments[0])
        base = b""
        amendments = amendments[1:]
    return base, amendments
