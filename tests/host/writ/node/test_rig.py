"""The recorded capsules of the device's node test are those that signer.py makes."""

import signer
import vectors_node
import vectors_renewed

from writ import crypto
from writ.authority import capsule
from writ.authority.policy import PARAM_VOID_BEFORE

RULES = [[2, 4, "t", 3]]


def member(name: str, number: int, roles: int, exp: int = signer.EXPIRES, epoch: int = 0) -> bytes:
    x, odd = crypto.p256_public(crypto.sha256(name.encode()))
    payload = signer.member_payload(x, name, number, roles, exp, odd=odd, epoch=epoch)
    return signer.certify(payload)


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
    void = signer.policy_payload(2, capsule.head(first), RULES, params={PARAM_VOID_BEFORE: 1})
    assert signer.certify(void) == vectors_renewed.CLEANED
    assert member("g", 1, 2, signer.FOUNDED + 600) == vectors_renewed.ENDING
    assert member("g", 1, 2, signer.EXPIRES + 1, 1) == vectors_renewed.RENEWED
    assert member("s", 2, 4, signer.EXPIRES + 1, 1) == vectors_renewed.SENSOR
