"""The policy and members of a small farm, for the tests of policy files."""

from dataclasses import dataclass

from writ_host.policy.source import PolicyFile

HEAD = bytes(range(6))
NODE = bytes.fromhex("00112233445566aa")
OTHER = bytes.fromhex("00112233445566bb")

FARM = """\
revoked = ["old-pump"]

[roles]
gateway = "reads and forwards"
sensor = "measures"
pump = "moves water"

[[rule]]
from = "gateway"
to = ["sensor", "pump"]
resource = ["temp", "pump/*"]
methods = ["GET"]

[[rule]]
from = "gateway"
to = "pump"
resource = "pump/*"
methods = ["PUT", "POST"]
fresh = true

[[rule]]
from = "any"
to = "any"
resource = "lock"
methods = ["POST"]
quorum = true

[[route]]
class = 1
send = "sensor"
relay = "gateway"
links = ["udp", "lora"]
hops = 3
airtime = 10
priority = 2

[[test]]
from = "gateway"
to = "pump"
get = "pump/state"
expect = "allow"
"""


@dataclass(frozen=True)
class Node:
    name: str
    node_id: bytes
    roles: int


MEMBERS = [Node("hub", NODE, 2), Node("pump-1", b"pump-1..", 8), Node("old-pump", OTHER, 8)]


def parse(text: str) -> PolicyFile:
    return PolicyFile.parse(text)
