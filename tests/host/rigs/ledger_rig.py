"""Capsules of each kind, a clock that tests set, and a ledger that is opened again."""

import signer

from writ.authority import capsule
from writ.authority.policy import PARAM_VOID_BEFORE
from writ_host.consensus.effects import Decide
from writ_host.consensus.value import Value
from writ_host.governor.ledger.ledger import Ledger

NOW = 1_800_000_000
YEAR = 365 * 86400
UNSIGNED = bytes(64)


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW

    def __call__(self) -> int:
        return self.now_s


def reopened(ledger: Ledger) -> Ledger:
    ledger.close()
    return Ledger.open(ledger.database.path, ledger.clock_s)


def x_of(name: str) -> bytes:
    return bytes(capsule.compat.sha256(name.encode()))


def node_of(name: str) -> bytes:
    return bytes(capsule.node_id(x_of(name)))


def raw(payload: bytes, signature: bytes = UNSIGNED) -> bytes:
    return bytes(capsule.assemble(payload, signature))


def member_payload(
    name: str, address: int = 1, key: str = "", exp: int = NOW + YEAR, epoch: int = 0
) -> bytes:
    return bytes(signer.member_payload(x_of(key or name), name, address, 2, exp=exp, epoch=epoch))


def member(*args, **changes) -> bytes:
    return raw(member_payload(*args, **changes))


def policy(epoch: int, revoked=(), iat: int = NOW, void_before: int = 0) -> bytes:
    params = {PARAM_VOID_BEFORE: void_before} if void_before else {}
    return raw(signer.policy_payload(epoch, bytes(6), revoked=revoked, params=params, iat=iat))


def amendment(epoch: int) -> bytes:
    return raw(signer.amendment_payload(epoch, bytes(6), node_of("x")))


def beacon(time_s: int, epoch: int = 1) -> bytes:
    return raw(signer.beacon_payload(epoch, bytes(6), time_s))


def succession(epoch: int) -> bytes:
    body = [epoch, bytes(6), bytes(32), bytes(32)]
    return raw(capsule.build(capsule.SUCCESSION, body, iat=NOW))


def action(number: int, exp: int) -> bytes:
    body = [bytes(8), 3, "gate", bytes(32), number.to_bytes(8, "big")]
    return raw(capsule.build(capsule.ACTION, body, exp=exp))


def decide_succession(epoch: int) -> Decide:
    return Decide(epoch, Value((capsule.parse(succession(epoch)).payload,)), (UNSIGNED,))
