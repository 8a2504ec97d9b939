"""Policy: the parsed state, and the decision about a request. Pure.

Default deny. `decide` is called for each request with the policy in force at that moment.
"""

from ..errors import NeedsAction, NotAllowed, NotFresh
from ..limits import (
    HEAD_BYTES,
    PATH_BYTES_MAX,
    REVOKED_MAX,
    ROLES_MAX,
    ROUTES_MAX,
    RULES_MAX,
)
from .capsule import (
    IAT,
    NODE_ID_BYTES,
    POLICY,
    ROLES_MASK,
    TIME_MAX,
    WRIT,
    build,
    check,
    check_bytes,
    check_name,
    check_uint,
    head,
    parse,
)

# Every member has bit 0, so that "any" is one byte in a rule.
ROLE_MEMBER = 1

# Rule flags
FRESH = 1
QUORUM = 2

# Method bits of AIF (RFC 9237, section 3): bit n is method code n + 1
METHODS = {1: "GET", 2: "POST", 4: "PUT", 8: "DELETE", 16: "FETCH", 32: "PATCH", 64: "iPATCH"}
METHODS_MASK = 127

# Parameters of a policy
PARAM_ROLE_NAMES = 1
PARAM_GRANTS = 2
# For governors; devices keep them unread: the approval rules, and the committee in force
PARAM_APPROVALS = 3
PARAM_COMMITTEE = 4
# Member capsules that name an earlier epoch are void
PARAM_VOID_BEFORE = 5

# Operations of an amendment. A bare node id revokes: it is the most frequent one, and the shortest
OP_RESTORE = 0
OP_GRANT = 1
OP_ADD_RULE = 2
OP_REMOVE_RULE = 3
OP_SET = 4


def check_rule(rule):
    """`rule` if it is [from mask, to mask, path, methods, ? flags]; raises `BadShape`."""
    check(isinstance(rule, list) and 4 <= len(rule) <= 5)
    check(check_uint(rule[0], ROLES_MASK) and check_uint(rule[1], ROLES_MASK))
    path = rule[2]
    check(isinstance(path, str) and 0 < len(path.encode()) <= PATH_BYTES_MAX)
    # a star only at the end: "*" or "pump/*"
    check("*" not in path[:-1] and (path[-1] != "*" or path == "*" or path[-2] == "/"))
    check(check_uint(rule[3], METHODS_MASK))
    if len(rule) == 5:
        # a rule without flags has one encoding: no flags field
        check(check_uint(rule[4], FRESH | QUORUM))
    return rule


def check_route(route):
    """`route` if it is a row for frames; raises `BadShape`.

    [class 0..15, send mask, relay mask, links mask, hops 0..15, airtime in 1/1000, priority 0..7]
    """
    check(isinstance(route, list) and len(route) == 7)
    for value, most in zip(route, (15, ROLES_MASK, ROLES_MASK, 255, 15, 1000, 7)):
        check_uint(value, most)
    return route


class Policy:
    """One policy state: what a policy capsule holds, or what an amendment made of it.

    epoch: int; previous: 6 bytes; rules, routes: lists; revoked: sorted list of node ids;
    role_names: names of roles 1, 2, ...; grants: {node id: extra roles}; issued: Unix seconds;
    approvals: list or None; committee: 8 bytes or None; void_before: an epoch, 0 for none.
    """

    def __init__(self, claims):
        body = claims[WRIT]
        check(body[0] == POLICY and len(body) == 7)
        _, epoch, previous, rules, routes, revoked, params = body
        self.epoch = check_uint(epoch, TIME_MAX)
        check(epoch > 0)
        self.previous = check_bytes(previous, HEAD_BYTES)
        check(isinstance(rules, list) and len(rules) <= RULES_MAX)
        check(isinstance(routes, list) and len(routes) <= ROUTES_MAX)
        check(isinstance(revoked, list) and len(revoked) <= REVOKED_MAX)
        self.rules = [check_rule(rule) for rule in rules]
        # a rule that is listed twice would stay after the amendment that removes it
        for rule in rules:
            check(rules.count(rule) == 1)
        self.routes = [check_route(route) for route in routes]
        last = b""
        for node in revoked:
            check(check_bytes(node, NODE_ID_BYTES) > last)
            last = node
        self.revoked = revoked
        check(isinstance(params, dict))
        for key in params:
            # an empty parameter has one encoding: its absence
            check(check_uint(key, PARAM_VOID_BEFORE) > 0 and params[key])
        self.params = params
        self.role_names = params.get(PARAM_ROLE_NAMES, [])
        self.grants = params.get(PARAM_GRANTS, {})
        check(isinstance(self.role_names, list) and len(self.role_names) < ROLES_MAX)
        for name in self.role_names:
            check(self.role_names.count(check_name(name)) == 1)
        check(isinstance(self.grants, dict) and len(self.grants) <= REVOKED_MAX)
        for node in self.grants:
            check(check_bytes(node, NODE_ID_BYTES) and check_uint(self.grants[node], ROLES_MASK))
        self.approvals = params.get(PARAM_APPROVALS)
        self.committee = params.get(PARAM_COMMITTEE)
        check(self.approvals is None or isinstance(self.approvals, list))
        check(self.committee is None or check_bytes(self.committee, 8))
        # a later epoch would void what is certified now
        self.void_before = check_uint(params.get(PARAM_VOID_BEFORE, 0), epoch)
        self.issued = claims[IAT]

    def payload(self):
        """The only payload (bytes) of this state, from a policy capsule or from amendments."""
        return build(
            POLICY,
            [self.epoch, self.previous, self.rules, self.routes, self.revoked, self.params],
            iat=self.issued,
        )

    def head(self):
        """The head (6 bytes) of this state."""
        return head(self.payload())

    def roles_of(self, member):
        """The roles of a member: those of its capsule, those granted by this policy, and bit 0."""
        return member.roles | self.grants.get(member.node_id, 0) | ROLE_MEMBER


def epoch_of(raw):
    """The epoch of a policy or amendment capsule (bytes); 0 for b""."""
    return parse(raw).body[1] if raw else 0


def path_matches(pattern, path):
    """Whether a rule's path ("temp", "pump/*", "*") covers the request's path."""
    if pattern[-1] == "*":
        return path.startswith(pattern[:-1])
    return pattern == path


def decide(policy, subject_roles, own_roles, method, path, is_fresh=False, has_action=False):
    """(reason, rule number): reason is None when allowed, else the rejection class that says why.

    method: a CoAP code; only the methods 1..7 are ever allowed. The first rule that allows decides;
    one that matches but wants a fresh beacon or an action is remembered as the better reason.
    """
    bit = 1 << method >> 1
    reason = NotAllowed
    number = -1
    for i in range(len(policy.rules)):
        rule = policy.rules[i]
        if not (rule[0] & subject_roles and rule[1] & own_roles and rule[3] & bit):
            continue
        if not path_matches(rule[2], path):
            continue
        flags = rule[4] if len(rule) == 5 else 0
        if flags & FRESH and not is_fresh:
            reason, number = NotFresh, i
        elif flags & QUORUM and not has_action:
            reason, number = NeedsAction, i
        else:
            return None, i
    return reason, number
