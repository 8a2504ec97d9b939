"""The authority of a simulated field: a group key that certifies real capsules.

The group key is one Ed25519 key here. Governors make the same signatures together (FROST), and no
node can tell the difference.
"""

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from field.firmware import Firmware

# Roles: bit 0 is every member's
MEMBER, RELAY, SENSOR, GATEWAY, OPERATOR = 1, 2, 4, 8, 16
GET, POST = 1, 2
# Path of a sensor's reading at the gateway, and of the present value at the sensor
READING, VALUE = "reading", "temp"
_LORA_BIT = 4
_HOPS = 15
_ALL_OF_AN_HOUR = 1000

# Unix seconds: when the scope was founded, and when memberships expire
FOUNDED = 1_700_000_000
EXPIRES = FOUNDED + 100_000_000
_BEACON_AGE_S = 86_400

RULES = [[SENSOR, GATEWAY, READING, POST], [GATEWAY, SENSOR, VALUE, GET]]
# governance, messages, joining: [class, send, relay, links, hops, airtime, priority]
ROUTES = [
    [0, MEMBER, RELAY | GATEWAY, _LORA_BIT, _HOPS, _ALL_OF_AN_HOUR, 7],
    [1, MEMBER, RELAY | GATEWAY, _LORA_BIT, _HOPS, _ALL_OF_AN_HOUR, 3],
    [15, GATEWAY, RELAY | GATEWAY, _LORA_BIT, 0, 100, 0],
]
# The changes that `amend` knows
CHANGES = ("grant", "rule", "revoke")


class Scope:
    """The capsules of a scope. firmware: any copy of the device code; seed: of the group key."""

    def __init__(self, firmware: Firmware, seed: str) -> None:
        self._capsule = firmware.capsule
        self._policy = firmware.module("authority.policy").Policy
        self._amendment = firmware.module("authority.amendment")
        self._crypto = firmware.crypto
        self._seed = seed
        self._group = Ed25519PrivateKey.from_private_bytes(self._secret("group"))
        self._founders = [bytes((number,)) * 32 for number in range(1, 5)]
        payload = self._capsule.build(
            self._capsule.CHARTER,
            [
                "field",
                3,
                self._founders,
                self._group.public_key().public_bytes_raw(),
                {1: _BEACON_AGE_S, 2: 120},
            ],
            iat=FOUNDED,
        )
        self.id: bytes = self._capsule.scope_id(payload)
        self.charter = self._certify(payload)
        self.epoch = 1
        self.head: bytes = self._capsule.head(payload)
        self._state = self._first_state()
        payload = self._state.payload()
        self.policy = self._certify(payload)
        self.head = self._capsule.head(payload)
        self.beacon = self._next_beacon()

    def _secret(self, what: str) -> bytes:
        return hashlib.sha256(f"{self._seed} {what}".encode()).digest()

    def _certify(self, payload: bytes) -> bytes:
        signature = self._group.sign(self._capsule.signing_input(payload))
        raw: bytes = self._capsule.assemble(payload, signature)
        return raw

    def _first_state(self) -> Any:
        body = [self.epoch, self.head, RULES, ROUTES, [], {}]
        raw = self._capsule.build(self._capsule.POLICY, body, iat=FOUNDED)
        return self._policy(self._capsule.parse_claims(raw))

    def _next_beacon(self) -> bytes:
        payload = self._capsule.build(
            self._capsule.BEACON, [self.epoch, self.head], iat=FOUNDED + self.epoch
        )
        return self._certify(payload)

    def private_key(self, name: str) -> bytes:
        """The P-256 private key (32 bytes) of the node with this name."""
        return self._secret(f"node {name}")

    def node_id(self, name: str) -> bytes:
        """The node id (8 bytes) of the node with this name."""
        found: bytes = self._capsule.node_id(self._crypto.p256_public(self.private_key(name))[0])
        return found

    def member(self, name: str, address: int, roles: int) -> bytes:
        """A certified member capsule."""
        key = self._crypto.p256_public(self.private_key(name))
        payload = self._capsule.build(
            self._capsule.MEMBER, [address, roles], sub=name, exp=EXPIRES, key=key
        )
        return self._certify(payload)

    def link_key(self) -> bytes:
        """The link key (16 bytes) of the first epoch."""
        return self._secret("link")[:16]

    def amend(self, change: str, node_id: bytes) -> bytes:
        """Certify the next epoch's amendment, and its beacon: "grant" a role to a node, add a
        "rule", or "revoke" the node.
        """
        operation: Any = {
            "grant": [1, node_id, OPERATOR],
            "rule": [2, [OPERATOR, SENSOR, f"{VALUE}/{self.epoch}", GET]],
            "revoke": node_id,
        }[change]
        self.epoch += 1
        payload = self._capsule.build(self._capsule.AMENDMENT, [self.epoch, self.head, operation])
        self._state = self._amendment.amend(
            self._state, self._capsule.parse_claims(payload)[self._capsule.WRIT]
        )
        self.head = self._state.head()
        self.beacon = self._next_beacon()
        return self._certify(payload)
