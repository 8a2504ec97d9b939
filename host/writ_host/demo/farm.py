"""The demonstration's scope: its governors, its nodes, and the policies that it goes through."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCOPE = "farm"
GOVERNORS = ("anna", "ben", "carl", "dora")
ANNA, BEN, CARL, DORA = GOVERNORS
SUCCESSOR = "emil"
THRESHOLD = 3

# Live values that this machine has (boards/unix/sensors.py): one that many read, one that is
# private soon, and one more.
_LINUX = Path("/proc/net/dev").exists()
READING = "load" if _LINUX else "uptime"
PRIVATE = "network" if _LINUX else "heap"
OTHER = "memory" if _LINUX else "load"


@dataclass(frozen=True)
class Part:
    """A node's part in the play. serve: resources; ask: {"node/path": seconds}.

    governors: who it leaves to what takes a quorum, in its order.
    """

    name: str
    role: str
    words: str
    serve: tuple[str, ...] = ()
    ask: tuple[tuple[str, float], ...] = ()
    governors: tuple[str, ...] = ()


_MACHINE = ("load", "memory", "network", "temperature", "heap", "uptime")
GATE, DESK, SOIL, TANK, PUMP, GUEST, SLUICE, WELL = (
    Part(
        "gate",
        "gateway",
        "gateway",
        ("uptime",),
        ((f"soil/{READING}", 2.0), (f"tank/{READING}", 2.0)),
        (ANNA, BEN, CARL),
    ),
    Part("desk", "operator", "operator's laptop"),
    Part("soil", "sensor", "sensor", _MACHINE, (), (ANNA, BEN, CARL)),
    Part("tank", "sensor", "sensor, wire tapped", _MACHINE),
    Part("pump", "actuator", "actuator, asks soil", ("pump", PRIVATE), ((f"soil/{READING}", 2.0),)),
    Part("guest", "visitor", "visitor's device", ("uptime",)),
    Part("sluice", "actuator", "actuator, wants two", ("sluice",), (), (ANNA, BEN, CARL)),
    Part("well", "sensor", "sensor, comes late", ("uptime",)),
)
# Those who are there from the beginning, and who joins later.
DEVICES = (SOIL, TANK, PUMP, GUEST)
LATE = (SLUICE, WELL)

_POLICY = """\
# Who may do what on the farm. What no rule allows is denied.

[roles]
gateway = "reads and commands"
operator = "a person's laptop"
sensor = "measures"
actuator = "moves water"
visitor = "somebody else's device"

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

# What one person alone must not do: it wants an action, and that wants two operators (below).
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
# How many operators, each at a governor of their own, must agree to what.
[approvals]
operators = 2

[[approvals.rule]]
kind = "beacon"
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["gateway", "operator", "sensor", "actuator"]
renew = true
operators = 0

[[approvals.rule]]
kind = "member"
roles = ["gateway", "operator", "sensor", "actuator", "visitor"]
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


def _words(paths: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{path}"' for path in paths) + "]"


def first_policy() -> str:
    """policy.toml of epoch 1: the gateway reads everything, visitors nothing."""
    return _policy('"*"', (READING,), "", "allow", "deny")


def second_policy(asked: Sequence[str] = (READING,)) -> str:
    """policy.toml of epoch 2: visitors may read READING, the gateway no longer PRIVATE."""
    read = [path for path in (*_MACHINE, "pump", "sluice", "writ/status") if path != PRIVATE]
    return _policy(_words(read), asked, _VISITORS, "deny", "allow")


def other_policy(text: str) -> str:
    """policy.toml of later epochs: an actuator may ask the sensors for OTHER, or no more."""
    with_other = second_policy((READING, OTHER))
    return second_policy() if text == with_other else with_other


def _policy(read: str, asked: Sequence[str], visitors: str, gateway: str, visitor: str) -> str:
    text = _POLICY.format(
        read=read, asked=_words(asked), visitors=visitors, gateway=gateway, visitor=visitor
    )
    return text.replace("@PRIVATE", PRIVATE).replace("@READING", READING)
