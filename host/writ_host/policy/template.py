"""A first policy.toml for a new scope: short, commented, and right as it stands."""

from collections.abc import Mapping

from writ.authority.capsule import check_name

DEFAULT_ROLES = {
    "gateway": "reads, commands and forwards",
    "sensor": "measures",
    "actuator": "moves things",
}

_TEMPLATE = """\
# The policy of {scope}: who may do what to whom. What no rule allows is denied.
# Change it here, look at what the change means, then propose it: devices obey only what
# your governors have certified.

# Members that are out, by name or node id. Keep this line above the first [table].
revoked = []

# A role's place in this list is its number in every member capsule: add new ones at the end,
# never move or remove one. Every member also has the role "any".
[roles]
{roles}

# A rule allows; the first that does decides. `resource` is a path ("temp"), all below one
# ("pump/*", which leaves out "pump" itself), everything ("*"), or a list. GET includes Observe.
[[rule]]
from = "{first}"
to = {rest}
resource = "*"
methods = ["GET"]

# fresh: denied while the device's newest beacon is too old, as it is when it has been cut off.
# quorum = true would ask for a certified action, for what one person alone must not do.
[[rule]]
from = "{first}"
to = "{last}"
resource = "set/*"
methods = ["PUT", "POST"]
fresh = true

# Who may be certified how: `operators` people, each at a governor of their own, must say yes; 0
# leaves it to the governors. They go by what is certified, so a change here is one of the policy.
[approvals]
operators = 1

[[approvals.rule]]
kind = "beacon"
operators = 0

# Whoever is a member with these roles, and no more, stays one without being asked about.
[[approvals.rule]]
kind = "member"
roles = {all}
renew = true
operators = 0

# Tests run before anything is proposed. `expect` is "allow", "deny" or a reason.
[[test]]
from = "{first}"
to = "{rest_first}"
get = "temp"
expect = "allow"

[[test]]
from = "{first}"
to = "{last}"
put = "set/level"
expect = "NotFresh"

[[test]]
from = "{first}"
to = "{last}"
put = "set/level"
fresh = true
expect = "allow"

[[test]]
from = "any"
to = "{last}"
put = "set/level"
fresh = true
expect = "deny"
"""


def template(scope_name: str, roles: Mapping[str, str] | None = None) -> str:
    """A first policy.toml that compiles, passes its own tests and says what to write where.

    roles: {name: what it is for}; the first one reads all others and commands the last one.
    """
    roles = roles or DEFAULT_ROLES
    names = [str(check_name(name)) for name in roles]
    rest = names[1:] or names
    return _TEMPLATE.format(
        scope=check_name(scope_name),
        roles="\n".join(f"{_quoted_key(name)} = {_quoted(roles[name])}" for name in names),
        first=names[0],
        rest="[" + ", ".join(_quoted(name) for name in rest) + "]",
        all="[" + ", ".join(_quoted(name) for name in names) + "]",
        rest_first=rest[0],
        last=rest[-1],
    )


def _quoted_key(name: str) -> str:
    # a dot in a bare key would make a table
    return _quoted(name) if "." in name else name


def _quoted(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
