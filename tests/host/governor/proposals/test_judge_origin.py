"""Where and when a statement counts: one scope, a day, and never from before a restoration."""

from pathlib import Path
from typing import Any

import pytest
from judge_rig import (
    DAY,
    NOW,
    OPEN,
    TEXT,
    Scope,
    action,
    asks,
    member,
    node_of,
    renewal,
    request,
    says,
)

from writ.authority import capsule
from writ_host.governor.proposals.judge import RENEWAL_S_MAX
from writ_host.governor.proposals.origin import STATEMENT_AGE_MAX_S, STATEMENT_WAIT_MAX_S
from writ_host.governor.proposals.statement import ACT, ADMIT, RENEW, REVOKE, Statement

COMMAND = (node_of("sluice1"), 3, "gate", b"open", bytes(8))


@pytest.fixture
def scope(tmp_path: Path):
    found = Scope(tmp_path / "ledger.db", OPEN)
    yield found
    found.ledger.close()


def proposals(at: Scope, issued: int = NOW - 5, **origin: Any) -> list[tuple[str, Any, Any]]:
    """(signer, payloads, evidence) of a proposal for each operation, with this origin."""
    origin = {"issued": issued, **origin}
    admitted = member("new", 9, roles=0, exp=issued + RENEWAL_S_MAX)
    act = Statement.parse(says("gw1", ACT, *COMMAND, **origin))
    return [
        ("soil1", [renewal(exp=issued + RENEWAL_S_MAX)], [says("soil1", RENEW, **origin)]),
        ("soil1", at.change(node_of("soil1")), [says("soil1", REVOKE, "", **origin), b""]),
        ("gw1", [admitted], [says("gw1", ADMIT, request("new"), b"", **origin)]),
        ("gw1", [action(nonce=act.nonce, exp=issued + 3600)], [act.raw]),
    ]


def test_statements_of_this_scope_and_this_day_count(scope: Scope) -> None:
    for _, payloads, evidence in proposals(scope):
        assert scope.allows(*payloads, evidence=evidence) == 0


def test_a_statement_for_another_scope_is_refused(scope: Scope) -> None:
    """One device key in two scopes: "revoke me" for one was certified in the other, too."""
    for _, payloads, evidence in proposals(scope, scope=b"scope  2"):
        assert "is for another scope" in scope.refuses(*payloads, evidence=evidence)


def test_a_statement_of_an_epoch_that_is_not_in_force_yet_is_refused(scope: Scope) -> None:
    for _, payloads, evidence in proposals(scope, epoch=2):
        assert "not in force here" in scope.refuses(*payloads, evidence=evidence)
    for _, payloads, evidence in proposals(scope, epoch=0):
        assert scope.allows(*payloads, evidence=evidence) == 0


def test_a_statement_from_before_the_restoration_of_its_signer_is_void(scope: Scope) -> None:
    for signer, payloads, evidence in proposals(scope):
        late = {node_of(signer): 2}
        restored = {"void_before": lambda node, late=late: late.get(node, 0)}
        assert "is void" not in str(scope.judge(*payloads, evidence=evidence).reason)
        found = scope.refuses(*payloads, evidence=evidence, **restored)
        assert "before a restoration" in found
        late[node_of(signer)] = 1
        assert scope.allows(*payloads, evidence=evidence, **restored) == 0


def test_a_neighbour_is_not_admitted_by_a_statement_from_before_its_restoration(
    scope: Scope,
) -> None:
    late = {node_of("new"): 2}
    _, payloads, evidence = proposals(scope)[2]
    void_before = lambda node: late.get(node, 0)  # noqa: E731
    found = scope.refuses(*payloads, evidence=evidence, void_before=void_before)
    assert "before a restoration" in found


def test_no_statement_counts_for_more_than_a_day_without_an_operator(scope: Scope) -> None:
    """An old admission by a neighbour counted for ever."""
    old = NOW - STATEMENT_AGE_MAX_S
    for _, payloads, evidence in proposals(scope, issued=old)[:3]:
        assert scope.allows(*payloads, evidence=evidence) == 0
    for _, payloads, evidence in proposals(scope, issued=old - 1):
        assert "too far from our clock" in scope.refuses(*payloads, evidence=evidence)


def test_a_statement_may_wait_for_operators_as_long_as_its_proposal(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "two.db", TEXT.replace("operators = 0", "operators = 1"))
    oldest = NOW - STATEMENT_AGE_MAX_S - STATEMENT_WAIT_MAX_S
    for issued, is_allowed in ((oldest, True), (oldest - 1, False)):
        for number in (0, 2):
            _, payloads, evidence = proposals(scope, issued=issued)[number]
            if is_allowed:
                assert scope.allows(*payloads, evidence=evidence) > 0
            else:
                assert "too far from our clock" in scope.refuses(*payloads, evidence=evidence)
    # but no command is carried out, and no device revoked, by a statement of yesterday
    for number in (1, 3):
        _, payloads, evidence = proposals(scope, issued=NOW - STATEMENT_AGE_MAX_S - 1)[number]
        assert "too far from our clock" in scope.refuses(*payloads, evidence=evidence)
    scope.ledger.close()


def test_an_admission_by_a_neighbour_ends_a_year_after_its_statement(scope: Scope) -> None:
    """It ended a year after whatever moment a governor chose to present it."""
    asked = [says("gw1", ADMIT, request("new"), b"", issued=NOW - DAY)]
    assert scope.allows(member("new", 9, exp=NOW - DAY + RENEWAL_S_MAX), evidence=asked) == 0
    assert scope.allows(member("new", 9, exp=NOW - DAY + RENEWAL_S_MAX + 1), evidence=asked) == 1


def test_an_operator_reads_the_whole_command_and_no_escape_sequence(scope: Scope) -> None:
    for payload, shown in (
        (b"open", '"open"'),
        (b"", "nothing"),
        ("22,5 \u00b0C".encode(), '"22,5 \u00b0C"'),
        (b"a\nb", '"a\\nb"'),
        (b"\x1b[2Jshut", "h'1b5b324a73687574'"),
        ("\u202enepo".encode(), "h'e280ae6e65706f'"),
        (b"\xff" * 512, f"h'{'ff' * 512}'"),
        (b"h'00'", "\"h'00'\""),
    ):
        asked = asks(payload=payload)
        digest = bytes(capsule.compat.sha256(payload))
        found = scope.judge(action(nonce=asked.nonce, digest=digest), evidence=[asked.raw])
        assert found.reason is None
        assert f"payload: {shown} ({len(payload)} bytes)" in found.lines
        assert all(line.isprintable() for line in found.lines)
        (command,) = found.commands
        assert command.to_facts()["payload"] == payload.hex()
        assert len(command.line) < 400 and command.line.isprintable()
        assert command.line.startswith(f"PUT gate on sluice1 ({node_of('sluice1').hex()}), payload")
