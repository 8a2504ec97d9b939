"""The state of a scope at one governor, and proposals, valid and invalid, for its judge."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import signer

from writ import crypto
from writ.authority import capsule
from writ.authority.amendment import amend, check_amendment
from writ.authority.capsule import ACTION, AMENDMENT, MEMBER, SUCCESSION, Charter
from writ.authority.policy import Policy
from writ.limits import GOVERNORS_MAX
from writ.node.statement import member_request
from writ_host import codec
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.proposals.judge import RENEWAL_S_MAX, Verdict, judge
from writ_host.governor.proposals.scopeview import ScopeView
from writ_host.governor.proposals.statement import ACT, Statement
from writ_host.policy.source import PolicyFile

NOW = signer.FOUNDED + 1_000_000
DAY = 86400
YEAR = 365 * DAY
SKEW = 120  # of the test charter
GATEWAY, SENSOR, SLUICE = 2, 4, 8
TEXT = """
[roles]
gateway = ""
sensor = ""
sluice = ""
[[rule]]
from = "gateway"
to = "sluice"
resource = "gate"
methods = ["PUT"]
quorum = true
[[rule]]
from = "gateway"
to = "sensor"
resource = ["temp", "level", "rain", "wind", "flow", "mud", "sun"]
methods = ["GET"]
[approvals]
operators = 2
[[approvals.rule]]
kind = "beacon"
operators = 0
[[approvals.rule]]
kind = "member"
roles = ["sensor", "gateway"]
renew = true
operators = 0
[[approvals.rule]]
kind = "member"
roles = "sensor"
operators = 1
"""
# a policy under which no operator needs to approve anything
OPEN = TEXT[: TEXT.index("[approvals]")] + "[approvals]\noperators = 0\n"


def private(name: str) -> bytes:
    return bytes(crypto.sha256(name.encode()))


def key_of(name: str) -> tuple[bytes, bool]:
    x, odd = crypto.p256_public(private(name))
    return bytes(x), bool(odd)


def node_of(name: str) -> bytes:
    return bytes(capsule.node_id(key_of(name)[0]))


def raw(payload: bytes) -> bytes:
    return bytes(capsule.assemble(payload, bytes(64)))


def member(
    name: str,
    address: int,
    roles: int = SENSOR,
    exp: int = NOW + 30 * DAY,
    key: str = "",
    flip: bool = False,
    nbf: int | None = None,
    epoch: int = 0,
) -> bytes:
    x, odd = key_of(key or name)
    body = [address, roles, epoch] if epoch else [address, roles]
    made = capsule.build(MEMBER, body, sub=name, exp=exp, nbf=nbf, key=(x, odd != flip))
    return bytes(made)


def action(name: str = "sluice1", **changes: Any) -> bytes:
    fields = {
        "target": node_of(name),
        "method": 3,
        "path": "gate",
        "digest": bytes(crypto.sha256(b"open")),
        "nonce": bytes(8),
        "exp": NOW + 3600,
    } | changes
    exp = fields.pop("exp")
    return bytes(capsule.build(ACTION, list(fields.values()), exp=exp))


class Scope:
    """The state at one governor. Sensors: soil1 and soil2; gateway: gw1; sluice: sluice1."""

    def __init__(self, path: Path, text: str = TEXT) -> None:
        self.ledger = Ledger.open(path, lambda: NOW)
        self.charter: Any = Charter(capsule.parse(signer.charter()))
        self.file = PolicyFile.parse(text)
        policy = self.file.policy(1, self.charter.head, NOW - DAY)
        self.ledger.capsules.add(
            [
                signer.charter(),
                raw(policy.payload()),
                raw(member("soil1", 1)),
                raw(member("soil2", 2)),
                raw(member("gw1", 3, GATEWAY)),
                raw(member("sluice1", 4, SLUICE)),
                raw(member("gone", 5, exp=NOW - 1)),
            ]
        )
        self.view = ScopeView(self.charter, policy, 1, policy.head(), NOW, self.ledger.capsules)

    @property
    def policy(self) -> Any:
        return self.view.policy

    def judge(
        self, *payloads: bytes, evidence: list[bytes] | None = None, **changes: Any
    ) -> Verdict:
        """Judge a proposal; changes: to the view."""
        encoded = b"" if evidence is None else codec.dump(evidence)
        return judge(payloads, encoded, replace(self.view, **changes))

    def allows(self, *payloads: bytes, evidence: list[bytes] | None = None, **changes: Any) -> int:
        """Assert that it may be signed; how many operators must approve."""
        found = self.judge(*payloads, evidence=evidence, **changes)
        assert found.reason is None, found.reason
        assert found.title and found.lines
        return found.operators

    def refuses(self, *payloads: bytes, evidence: list[bytes] | None = None, **changes: Any) -> str:
        """Assert that it must not be signed; the reason."""
        found = self.judge(*payloads, evidence=evidence, **changes)
        assert found.reason is not None, (found.operators, found.lines)
        assert found.operators == GOVERNORS_MAX
        return found.reason

    def change(self, *ops: Any) -> list[bytes]:
        """An amendment with these operations, and the policy that follows from it."""
        body = check_amendment([AMENDMENT, self.view.epoch + 1, self.view.head, *ops])
        return [
            bytes(capsule.build(AMENDMENT, body[1:])),
            bytes(amend(self.policy, body).payload()),
        ]

    def revoke(self, name: str) -> None:
        self.advance(self.change(node_of(name))[1])

    def advance(self, payload: bytes) -> None:
        """Put another policy in force."""
        policy: Any = Policy(capsule.parse_claims(payload))
        self.ledger.capsules.add([raw(payload)])
        self.view = replace(self.view, policy=policy, epoch=policy.epoch, head=policy.head())


def says(name: str, op: int, *asked: object, **changes: Any) -> bytes:
    """A statement; changes: to the scope that it names, its epoch and its time."""
    place = {"scope": signer.scope(), "epoch": 1, "issued": NOW - 5} | changes
    return Statement.make(private(name), op, *asked, **place).raw


def request(name: str, key: str = "") -> bytes:
    return bytes(member_request(private(key or name), name))


def whole(scope: Scope, text: str = TEXT, epoch: int = 2, **changes: Any) -> bytes:
    values = {"previous_head": scope.view.head, "issued": NOW} | changes
    return PolicyFile.parse(text).compile(epoch, **values)


def renewal(name: str = "soil1", address: int = 1, **changes: Any) -> bytes:
    return member(name, address, **{"exp": NOW - 5 + RENEWAL_S_MAX, **changes})


def asks(name: str = "gw1", issued: int = NOW, **changes: Any) -> Statement:
    fields = {
        "target": node_of("sluice1"),
        "method": 3,
        "path": "gate",
        "payload": b"open",
        "random": bytes(8),
    } | changes
    return Statement.parse(says(name, ACT, *fields.values(), issued=issued))


class Heirs:
    """The charter of another group key, and the succession to it."""

    def __init__(self, scope: Scope, name: str = "farm") -> None:
        self.payload = signer.charter_payload(name=name, seed=signer.OTHER_SEED)
        self.charter = signer.certify(self.payload, signer.OTHER_SEED)
        self.key = signer.public_key(signer.OTHER_SEED)
        self.body = [2, scope.view.head, bytes(crypto.sha256(self.payload)), self.key]

    def succession(self, iat: int = NOW, **changes: Any) -> bytes:
        keys = ("epoch", "previous", "digest", "key")
        body = list((dict(zip(keys, self.body, strict=True)) | changes).values())
        return bytes(capsule.build(SUCCESSION, body, iat=iat))
