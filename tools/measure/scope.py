"""A small scope for measurements: a plain Ed25519 test key, two members, real capsules."""

from dataclasses import dataclass, field

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from writ import crypto
from writ.authority import capsule
from writ.authority.authority import Authority
from writ.authority.capsule import AMENDMENT, BEACON, CHARTER, MEMBER, POLICY, build, head
from writ.authority.store import Store
from writ.startup import load_key

FOUNDED = 1_790_000_000
RULES = [
    [2, 4, "temp", 1],
    [2, 4, "moisture", 1],
    [2, 8, "pump", 5],
    [2, 12, "config", 5],
    [4, 8, "pump", 1],
    [16, 12, "writ/status", 1],
    [16, 12, "log/*", 1],
    [1, 2, "time", 1],
]
ROUTES = [
    [1, 4, 2, 3, 3, 10, 2],
    [2, 8, 2, 2, 3, 20, 4],
    [3, 2, 2, 7, 4, 50, 5],
    [4, 1, 2, 1, 2, 5, 1],
]


@dataclass
class TestScope:
    """A scope whose group key is one plain Ed25519 key: its signatures look the same."""

    __test__ = False
    key: ECC.EccKey = field(default_factory=lambda: ECC.generate(curve="ed25519"))

    def __post_init__(self) -> None:
        governors = [bytes([i + 1]) * 32 for i in range(4)]
        public = self.key.public_key().export_key(format="raw")
        body = ["hill-farm", 3, governors, public, {1: 86400, 2: 300}]
        payload = build(CHARTER, body, iat=FOUNDED)
        self.id = capsule.scope_id(payload)
        self.head = head(payload)
        self.charter = self.sign(payload)
        self.revoked = sorted(bytes([i]) * 8 for i in range(8))
        self.policy_1 = self.policy(1, self.head)
        self.policy_2 = self.policy(2, head(capsule.parse(self.policy_1).payload))

    def sign(self, payload: bytes) -> bytes:
        """The capsule of a payload."""
        signer = eddsa.new(self.key, "rfc8032")
        return capsule.assemble(payload, signer.sign(capsule.signing_input(payload)))

    def policy(self, epoch: int, previous: bytes) -> bytes:
        """A policy capsule of 8 rules, 4 routes and 8 revoked nodes."""
        names = {1: ["gateway", "sensor", "actuator", "operator"]}
        body = [epoch, previous, RULES, ROUTES, self.revoked, names]
        return self.sign(build(POLICY, body, iat=FOUNDED + epoch))

    def member(self, private: bytes, name: str, address: int, roles: int) -> bytes:
        """A member capsule for a private key."""
        key = crypto.p256_public(private)
        year = 365 * 86400
        body = [address, roles, 1]
        return self.sign(build(MEMBER, body, sub=name, exp=FOUNDED + year, key=key))

    def revocation(self) -> bytes:
        """An amendment that revokes one node."""
        previous = head(capsule.parse(self.policy_1).payload)
        return self.sign(build(AMENDMENT, [2, previous, b"\xff" * 8]))

    def beacon(self) -> bytes:
        """A beacon for epoch 1."""
        previous = head(capsule.parse(self.policy_1).payload)
        return self.sign(build(BEACON, [1, previous], iat=FOUNDED + 100))

    def provision(self, store: Store, name: str, address: int, roles: int, epoch: int = 1) -> None:
        """Make a member of the node whose records are in `store`."""
        private = load_key(store)
        authority = Authority(store, crypto.p256_public(private)[0], self.id)
        authority.receive(self.charter, 0)
        authority.receive(self.member(private, name, address, roles), 0)
        authority.receive(self.policy_1, 0)
        if epoch > 1:
            authority.receive(self.policy_2, 0)
