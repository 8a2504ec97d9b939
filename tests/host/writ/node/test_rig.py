"""The recorded capsules of the device's node test are those that signer.py makes."""

import signer
import vectors_node

from writ import crypto
from writ.authority import capsule

RULES = [[2, 4, "t", 3]]


def member(name: str, number: int, roles: int) -> bytes:
    x, odd = crypto.p256_public(crypto.sha256(name.encode()))
    return signer.certify(signer.member_payload(x, name, number, roles, odd=odd))


def test_the_capsules_of_the_device_test_are_what_they_say() -> None:
    assert signer.charter() == vectors_node.CHARTER
    assert member("s", 2, 4) == vectors_node.SENSOR
    assert member("g", 1, 2) == vectors_node.GATEWAY
    assert member("g", 1, 8) == vectors_node.GUEST
    first = signer.policy_payload(1, signer.charter_head(), RULES)
    assert signer.certify(first) == vectors_node.POLICY
    gone = capsule.node_id(crypto.p256_public(crypto.sha256(b"g"))[0])
    second = signer.policy_payload(2, capsule.head(first), RULES, revoked=[gone])
    assert signer.certify(second) == vectors_node.REVOKING
