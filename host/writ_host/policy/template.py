"""The first policy.toml of a new scope: short, commented and ready to certify."""

from collections.abc import Mapping

from writ.authority.capsule import check_name

DEFAULT_ROLES = {
    "gateway": "reads, commands and forwards",
    "sensor": "measures",
    "actuator": "moves things",
}

_TEMPLATE = """\
# The policy of {scope}: which requests are allowed. A request that no rule allows is denied.
# Edit this file, check what the change means (writ policy diff), then have it certified
# (writ policy certify): devices follow only policies that the governors have certified.

# Revoked members, by name or node id. Keep this line above the first [table].
revoked = []

# A role's position in this list is its number in every member capsule: add new roles at the
# end, never move or remove one. Every member also has the role "any".
[roles]
{roles}

# A rule allows requests; the first rule that allows a request decides. `resource` is a path
# ("temp"), all paths below one ("pump/*", without "pump" itself), all paths ("*"), or a list.
# GET includes Observe.
[[rule]]
from = "{first}"
to = {rest}
resource = "*"
methods = ["GET"]

# fresh: denied while the device's newest beacon is too old, for instance after a long time
# offline. quorum = true requires a certified action: several governors must approve each use.
[[rule]]
from = "{first}"
to = "{last}"
resource = "set/*"
methods = ["PUT", "POST"]
fresh = true

# A route lets frames travel on serial lines and LoRa ("links" in a node's config.json). Without
# routes such links are silent. To use them, remove the "#" of the lines below that have no space
# after it. `send`: the roles that may be the origin of a frame. `relay`: the roles that forward
# it, at most `hops` times. `airtime`: what each node may spend on the class, in thousandths of an
# hour; the duty cycle of the band is a limit besides. Of several frames the one of the highest
# `priority` goes first.

# Class 0: the frames of the mesh itself, handshakes and capsules.
#[[route]]
#class = 0
#send = "any"
#relay = "{first}"
#links = ["serial", "lora"]
#hops = 4
#airtime = 100
#priority = 7

# Class 1: requests and answers.
#[[route]]
#class = 1
#send = "any"
#relay = "{first}"
#links = ["serial", "lora"]
#hops = 4
#airtime = 100
#priority = 3

# Class 15: nodes that join. `relay` are the roles that answer them, one hop away, `send` those that
# make the link key: the roles of gateways.
#[[route]]
#class = 15
#send = "{first}"
#relay = "{first}"
#links = ["serial", "lora"]
#hops = 0
#airtime = 20
#priority = 0

# The approvals that certification needs: so many `operators`, each at a governor of their own,
# must approve; with 0 the governors certify alone. The certified policy applies, not this file.
[approvals]
operators = 1

[[approvals.rule]]
kind = "beacon"
operators = 0

# Members with only these roles are renewed without an operator's approval.
[[approvals.rule]]
kind = "member"
roles = {all}
renew = true
operators = 0

# Tests run before a policy is proposed. `expect` is "allow", "deny" or the name of a reason.
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
    """A first policy.toml that compiles, passes its own tests and explains itself.

    Its routes for a mesh are comments, without a space after the "#".

    roles: {name: purpose}; the first role reads from all others and commands the last one.
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
    # a dot in a bare key makes a table
    return _quoted(name) if "." in name else name


def _quoted(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
