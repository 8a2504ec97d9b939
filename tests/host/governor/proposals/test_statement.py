"""Statements of members: strict parsing, and signatures."""

from pathlib import Path
from typing import Any

import pytest
import signer
from judge_rig import NOW, OPEN, Scope, key_of, node_of, private, request, says

from writ import cbor
from writ.authority import capsule
from writ.errors import Rejection
from writ.node.statement import member_request
from writ_host.governor.proposals.statement import (
    ACT,
    ADMIT,
    RENEW,
    REVOKE,
    STATEMENT_BYTES_MAX,
    Statement,
)


@pytest.fixture
def scope(tmp_path: Path):
    found = Scope(tmp_path / "ledger.db")
    yield found
    found.ledger.close()


@pytest.fixture
def open_scope(tmp_path: Path):
    found = Scope(tmp_path / "open.db", OPEN)
    yield found
    found.ledger.close()


# --- statements -----------------------------------------------------------------------------------


def build(asked: list[object], claims: dict[int, object] | None = None, **outer: Any) -> bytes:
    payload = cbor.encode(claims if claims is not None else {6: NOW, -65537: asked})
    parts = {"protected": b"\xa1\x01\x26", "unprotected": {}, "payload": payload, "sig": bytes(64)}
    return bytes(cbor.encode(list((parts | outer).values())))


ME = bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        build([RENEW, ME]) + b"\x00",
        build([RENEW]),
        build([RENEW, ME, 1]),
        build([RENEW, bytes(7)]),
        build([15, ME]),
        build([20, ME]),
        build([True, ME]),
        build([REVOKE, ME]),
        build([REVOKE, ME, "x" * 41]),
        build([REVOKE, ME, "\x1b[2J"]),
        build([REVOKE, ME, b"opened"]),
        build([ADMIT, ME, b"", b""]),
        build([ADMIT, ME, "x", b""]),
        build([ADMIT, ME, bytes(member_request(bytes(31) + b"\x01", "a")), bytes(65)]),
        build([ACT, ME, ME, 0, "gate", bytes(32)]),
        build([ACT, ME, ME, 8, "gate", bytes(32)]),
        build([ACT, ME, ME, 3, "", bytes(32)]),
        build([ACT, ME, ME, 3, "gate/*", bytes(32)]),
        build([ACT, ME, ME, 3, "x" * 49, bytes(32)]),
        build([ACT, ME, ME, 3, "gate", bytes(31)]),
        build([ACT, ME, bytes(9), 3, "gate", bytes(32)]),
        build([], {6: NOW}),
        build([], {6: NOW, -65537: "x"}),
        build([], {6: NOW, -65537: []}),
        build([], {6: NOW, 4: 1, -65537: [RENEW, ME]}),
        build([], {4: NOW, -65537: [RENEW, ME]}),
        build([], {6: -1, -65537: [RENEW, ME]}),
        build([], {6: 2**32, -65537: [RENEW, ME]}),
        build([RENEW, ME], protected=b"\xa1\x01\x27"),
        build([RENEW, ME], unprotected={4: b"x"}),
        build([RENEW, ME], payload="text"),
        build([RENEW, ME], sig=bytes(63)),
        build([RENEW, ME], more=1),
        build([RENEW, ME], payload=bytes(STATEMENT_BYTES_MAX)),
    ],
)
def test_a_statement_of_wrong_shape_is_rejected(data: bytes) -> None:
    with pytest.raises(Rejection):
        Statement.parse(data)


def test_a_statement_round_trips_and_verifies() -> None:
    made = Statement.make(private("gw1"), ADMIT, request("new"), b"code", issued=NOW)
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

    made = signed(private("gw1"), {6: NOW, -65537: [RENEW, node_of("gw1")]})
    statement = Statement.parse(made)
    statement.check_signature(*key_of("gw1"))
    assert statement == Statement.make(private("gw1"), RENEW, issued=NOW)


def test_no_statement_is_a_capsule_or_a_membership_request(scope: Scope) -> None:
    for one in (says("soil1", RENEW), says("soil1", REVOKE, "")):
        with pytest.raises(Rejection):
            capsule.parse(one)
    with pytest.raises(Rejection):
        Statement.parse(request("soil1"))
    with pytest.raises(Rejection):
        Statement.parse(signer.charter())
