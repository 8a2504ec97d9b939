"""Statements of members: strict parsing, and signatures."""

from typing import Any

import pytest
import signer
from judge_rig import NOW, Scope, key_of, node_of, private, request, says

from writ import cbor, crypto
from writ.authority import capsule
from writ.errors import BadSignature, Rejection
from writ.node.statement import member_request
from writ_host.governor.proposals.statement import (
    ACT,
    ADMIT,
    RENEW,
    REVOKE,
    STATEMENT_BYTES_MAX,
    Statement,
)
from writ_host.keys.identity import P256_ORDER
from writ_host.scope.admission import read_request

# --- statements -----------------------------------------------------------------------------------


def build(asked: list[object], claims: dict[int, object] | None = None, **outer: Any) -> bytes:
    payload = cbor.encode(claims if claims is not None else {6: NOW, -65537: asked})
    parts = {"protected": b"\xa1\x01\x26", "unprotected": {}, "payload": payload, "sig": bytes(64)}
    return bytes(cbor.encode(list((parts | outer).values())))


ME = AT = bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        build([RENEW, ME, AT, 1]) + b"\x00",
        build([RENEW]),
        build([RENEW, ME, AT]),
        build([RENEW, ME, bytes(7), 1]),
        build([RENEW, ME, AT, -1]),
        build([RENEW, ME, AT, True]),
        build([RENEW, ME, AT, 2**32]),
        build([RENEW, ME, AT, 1, 1]),
        build([RENEW, bytes(7), AT, 1]),
        build([15, ME, AT, 1]),
        build([20, ME, AT, 1]),
        build([True, ME, AT, 1]),
        build([REVOKE, ME, AT, 1]),
        build([REVOKE, ME, AT, 1, "x" * 41]),
        build([REVOKE, ME, AT, 1, "\x1b[2J"]),
        build([REVOKE, ME, AT, 1, b"opened"]),
        build([ADMIT, ME, AT, 1, b"", b""]),
        build([ADMIT, ME, AT, 1, "x", b""]),
        build([ADMIT, ME, AT, 1, bytes(member_request(bytes(31) + b"\x01", "a")), bytes(65)]),
        build([ACT, ME, AT, 1, ME, 0, "gate", b"open", bytes(8)]),
        build([ACT, ME, AT, 1, ME, 8, "gate", b"open", bytes(8)]),
        build([ACT, ME, AT, 1, ME, 3, "", b"open", bytes(8)]),
        build([ACT, ME, AT, 1, ME, 3, "gate/*", b"open", bytes(8)]),
        build([ACT, ME, AT, 1, ME, 3, "x" * 49, b"open", bytes(8)]),
        build([ACT, ME, AT, 1, ME, 3, "gate", "open", bytes(8)]),
        build([ACT, ME, AT, 1, ME, 3, "gate", bytes(513), bytes(8)]),
        build([ACT, ME, AT, 1, ME, 3, "gate", b"open", bytes(7)]),
        build([ACT, ME, AT, 1, ME, 3, "gate", b"open"]),
        build([ACT, ME, AT, 1, bytes(9), 3, "gate", b"open", bytes(8)]),
        build([], {6: NOW}),
        build([], {6: NOW, -65537: "x"}),
        build([], {6: NOW, -65537: []}),
        build([], {6: NOW, 4: 1, -65537: [RENEW, ME, AT, 1]}),
        build([], {4: NOW, -65537: [RENEW, ME, AT, 1]}),
        build([], {6: -1, -65537: [RENEW, ME, AT, 1]}),
        build([], {6: 2**32, -65537: [RENEW, ME, AT, 1]}),
        build([RENEW, ME, AT, 1], protected=b"\xa1\x01\x27"),
        build([RENEW, ME, AT, 1], unprotected={4: b"x"}),
        build([RENEW, ME, AT, 1], payload="text"),
        build([RENEW, ME, AT, 1], sig=bytes(63)),
        build([RENEW, ME, AT, 1], more=1),
        build([RENEW, ME, AT, 1], payload=bytes(STATEMENT_BYTES_MAX)),
    ],
)
def test_a_statement_of_wrong_shape_is_rejected(data: bytes) -> None:
    with pytest.raises(Rejection):
        Statement.parse(data)


def test_a_statement_round_trips_and_verifies() -> None:
    made = Statement.parse(says("gw1", ADMIT, request("new"), b"code", issued=NOW))
    again = Statement.parse(made.raw)
    assert again == made and len(made.raw) < STATEMENT_BYTES_MAX
    assert (again.request.name, again.voucher, again.issued) == ("new", b"code", NOW)
    again.check_signature(*key_of("gw1"))
    for key in (key_of("soil1"), (key_of("gw1")[0], not key_of("gw1")[1])):
        with pytest.raises(Rejection):
            again.check_signature(*key)


def test_the_host_parses_the_statement_of_a_device() -> None:
    # as firmware/writ/node/delegate.py makes it
    from writ.node.statement import signed

    made = signed(private("gw1"), {6: NOW, -65537: [RENEW, node_of("gw1"), signer.scope(), 1]})
    statement = Statement.parse(made)
    statement.check_signature(*key_of("gw1"))
    assert statement.raw == says("gw1", RENEW, issued=NOW)


def test_no_statement_is_a_capsule_or_a_membership_request(scope: Scope) -> None:
    for one in (says("soil1", RENEW), says("soil1", REVOKE, "")):
        with pytest.raises(Rejection):
            capsule.parse(one)
    with pytest.raises(Rejection):
        Statement.parse(request("soil1"))
    with pytest.raises(Rejection):
        Statement.parse(signer.charter())


# --- one payload, many signatures -----------------------------------------------------------------


def twin(raw: bytes) -> bytes:
    """The same payload with (r, n - s), which any party can make of (r, s)."""
    number = P256_ORDER - int.from_bytes(raw[-32:], "big")
    return raw[:-32] + number.to_bytes(32, "big")


def test_the_other_signature_of_a_statement_is_refused() -> None:
    """(r, n - s) is valid ES256, too: one statement became two actions."""
    made = Statement.parse(says("gw1", ACT, node_of("sluice1"), 3, "gate", b"open", bytes(8)))
    made.check_signature(*key_of("gw1"))
    other = Statement.parse(twin(made.raw))
    signed = capsule.signing_input(other.payload, capsule.ES256)
    assert crypto.es256_verify(*key_of("gw1"), signed, other.signature)
    with pytest.raises(BadSignature):
        other.check_signature(*key_of("gw1"))
    # a device that accepted it would still execute the command once
    assert other.nonce == made.nonce


def test_the_other_signature_of_a_membership_request_is_refused() -> None:
    raw = request("soil1")
    assert read_request(raw).name == "soil1"
    with pytest.raises(BadSignature):
        read_request(twin(raw))


def test_devices_sign_with_the_lower_s() -> None:
    for number in range(16):
        signature = cbor.decode(request(f"node-{number}"))[3]
        assert 2 * int.from_bytes(signature[32:], "big") <= P256_ORDER


def test_the_nonce_of_an_action_depends_on_every_part_of_its_statement() -> None:
    asked = [node_of("sluice1"), 3, "gate", b"open", bytes(8)]
    found = {Statement.parse(says("gw1", ACT, *asked)).nonce}
    others = ((0, bytes(8)), (1, 2), (2, "lock"), (3, b"shut"), (4, b"12345678"))
    for place, value in others:
        changed = [*asked[:place], value, *asked[place + 1 :]]
        found.add(Statement.parse(says("gw1", ACT, *changed)).nonce)
    for changes in ({"scope": bytes(8)}, {"epoch": 2}, {"issued": NOW}):
        found.add(Statement.parse(says("gw1", ACT, *asked, **changes)).nonce)
    found.add(Statement.parse(says("soil1", ACT, *asked)).nonce)
    assert len(found) == 2 + len(others) + 3
