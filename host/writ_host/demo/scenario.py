"""The demonstration's scope: its governors, its nodes, and the policies that it goes through."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import files

SCOPE = "farm"
GOVERNORS = ("anna", "ben", "carl", "dora")
ANNA, BEN, CARL, DORA = GOVERNORS
SUCCESSOR = "emil"
THRESHOLD = 3

# Live values of this machine (boards/unix/sensors.py): one that many nodes read, one that the
# second policy makes private, and one more.
_LINUX = files.exists(Path("/proc/net/dev"))
READING = "load" if _LINUX else "uptime"
PRIVATE = "network" if _LINUX else "heap"
OTHER = "memory" if _LINUX else "load"


@dataclass(frozen=True)
class NodeSpec:
    """One node of the testbed. serve: its resources; ask: ("node/path", interval in seconds).

    governors: the governors that the node delegates to, in this order. sleep_s: how long the node
    sleeps at a time, None for never.
    """

    name: str
    role: str
    description: str
    serve: tuple[str, ...] = ()
    ask: tuple[tuple[str, float], ...] = ()
    governors: tuple[str, ...] = ()
    sleep_s: int | None = None


_MACHINE = ("load", "memory", "network", "temperature", "heap", "uptime")
GATE, DESK, SOIL, TANK, PUMP, GUEST, SLUICE, WELL = (
    NodeSpec(
        "gate",
        "gateway",
        "gateway",
        ("uptime",),
        ((f"soil/{READING}", 2.0), (f"tank/{READING}", 2.0)),
        (ANNA, BEN, CARL),
    ),
    NodeSpec("desk", "operator", "operator's laptop"),
    NodeSpec("soil", "sensor", "sensor", _MACHINE, (), (ANNA, BEN, CARL)),
    NodeSpec("tank", "sensor", "sensor, wire tapped", _MACHINE),
    NodeSpec(
        "pump", "actuator", "actuator, reads soil", ("pump", PRIVATE), ((f"soil/{READING}", 2.0),)
    ),
    NodeSpec("guest", "visitor", "visitor's device", ("uptime",)),
    NodeSpec("sluice", "actuator", "actuator, needs two", ("sluice",), (), (ANNA, BEN, CARL)),
    NodeSpec("well", "sensor", "sensor, joins late", ("uptime",)),
)
# The gateway of the mesh; behind its modem a relay, and two nodes that only the relay hears. One of
# them sleeps.
MAST, HILL, SPRING, BARN = (
    NodeSpec("mast", "gateway", "gateway to LoRa", ("uptime",)),
    NodeSpec("hill", "relay", "relay, LoRa and serial", ("uptime",)),
    NodeSpec("spring", "sensor", "sensor, LoRa, sleeps", ("uptime", "pump"), sleep_s=2),
    NodeSpec("barn", "sensor", "sensor, serial, 2 hops", ("uptime",)),
)
MESH = (HILL, SPRING, BARN)
# The devices of the founding, and those that join later.
DEVICES = (SOIL, TANK, PUMP, GUEST)
LATE = (SLUICE, WELL)

_POLICY = """\
# The farm's policy: which role may do what. What no rule allows is denied.

[roles]
gateway = "reads and commands"
operator = "a person's laptop"
sensor = "measures"
actuator = "moves water"
visitor = "a device of another owner"
relay = "forwards frames"

[[rule]]
from = ["gateway", "operator"]
to = "any"
resource = {read}
methods = ["GET"]

[[rule]]
from = ["gateway", "operator"]
to = "actuator"
resource = "pump"
methods = ["PUT"]
fresh = true

# This operation needs an action, and an action needs the approval of two operators (below).
[[rule]]
from = "gateway"
to = "actuator"
resource = "sluice"
methods = ["PUT"]
quorum = true

[[rule]]
from = "actuator"
to = "sensor"
resource = {asked}
methods = ["GET"]
{visitors}
# The number of operators, each at a governor of their own, that must approve a proposal.
[approvals]
operators = 2

[[approvals.rule]]
kind = "beacon"
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["gateway", "operator", "sensor", "actuator", "relay"]
renew = true
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["gateway", "operator", "sensor", "actuator", "visitor", "relay"]
operators = 1

[[test]]
from = "gateway"
to = "sensor"
get = "@PRIVATE"
expect = "{gateway}"

[[test]]
from = "visitor"
to = "sensor"
get = "@READING"
expect = "{visitor}"

[[test]]
from = "visitor"
to = "actuator"
put = "pump"
fresh = true
expect = "deny"

[[test]]
from = "gateway"
to = "actuator"
put = "sluice"
expect = "NeedsAction"
"""
_VISITORS = """
[[rule]]
from = "visitor"
to = "sensor"
resource = "@READING"
methods = ["GET"]
"""


def _toml_list(paths: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{path}"' for path in paths) + "]"


def first_policy() -> str:
    """policy.toml of epoch 1: the gateway reads everything, visitors nothing."""
    return _policy('"*"', (READING,), "", "allow", "deny")


def second_policy() -> str:
    """policy.toml of epoch 2: visitors may read READING, the gateway may not read PRIVATE."""
    read = [path for path in (*_MACHINE, "pump", "sluice", "writ/status") if path != PRIVATE]
    return _policy(_toml_list(read), (READING,), _VISITORS, "deny", "allow")


def other_policy(text: str) -> str:
    """The policy file for a later epoch: allows actuators to read OTHER of sensors, or ends that.

    All else stays as it is in `text`, above all the list of revoked nodes.
    """
    without, with_other = f"= {_toml_list((READING,))}\n", f"= {_toml_list((READING, OTHER))}\n"
    if with_other in text:
        return text.replace(with_other, without)
    return text.replace(without, with_other)


_ROUTE = """
[[route]]
class = {number}
send = {send}
relay = ["gateway", "relay"]
links = ["serial", "lora"]
hops = {hops}
airtime = {airtime}
priority = {priority}
"""


def mesh_policy(text: str) -> str:
    """The policy file for the mesh: its routes, and else what `text` says."""
    rows = (0, '"any"', 4, 100, 7), (1, '"any"', 4, 100, 3), (15, '["gateway"]', 0, 20, 0)
    keys = "number", "send", "hops", "airtime", "priority"
    return text + "".join(_ROUTE.format(**dict(zip(keys, row, strict=True))) for row in rows)


def pumping_policy(text: str) -> str:
    """The policy file for a later epoch: operators may switch the pumps of sensors."""
    rule = '[[rule]]\nfrom = "operator"\nto = "sensor"\nresource = "pump"\nmethods = ["PUT"]\n\n'
    return text.replace("[[rule]]\n", rule + "[[rule]]\n", 1)


def _policy(read: str, asked: Sequence[str], visitors: str, gateway: str, visitor: str) -> str:
    text = _POLICY.format(
        read=read, asked=_toml_list(asked), visitors=visitors, gateway=gateway, visitor=visitor
    )
    return text.replace("@PRIVATE", PRIVATE).replace("@READING", READING)
