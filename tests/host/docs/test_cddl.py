"""A stock CDDL validator takes the grammar of docs/wire.md unchanged, and Writ's bytes fit it."""

from collections.abc import Callable
from typing import Any

import cddl_verifier
import node_rig
import pytest
import signer
import succession_rig
from airfield_rig import RELAY, AirField
from deepfield_rig import DeepField
from docs_rig import CDDL, examples

from writ import cbor, crypto
from writ.authority import amendment, capsule, policy
from writ.authority.store import Store
from writ.sleeper import Sleeper
from writ_host.policy.approvals import ApprovalRule, Approvals

RULES = {
    "charter": "charter",
    "member": "member",
    "policy": "policy",
    "revocation": "amendment",
    "beacon": "beacon",
    "request": "member-request",
    "renewal": "statement",
}
NODE_ID, HEAD = bytes(8), bytes(6)


def fits(rule: str, data: bytes) -> bool:
    """Whether the stock validator accepts `data` as this rule of the page."""
    found = cddl_verifier.Validator(f"start = {rule}\n{CDDL}").validate(data)
    return bool(found.valid)


def of_kind(rule: str, raw: bytes) -> bool:
    """Whether a capsule fits the grammar of capsules, and its payload the rule of its kind."""
    return fits("capsule", raw) and fits(rule, bytes(capsule.parse(raw).payload))


@pytest.mark.parametrize("name", RULES)
def test_an_example_fits_the_grammar(name: str) -> None:
    raw, rule = examples()[name], RULES[name]
    if rule in ("member-request", "statement"):
        whole = rule
    else:
        whole = "capsule"
        assert fits(rule, bytes(capsule.parse(raw).payload))
    assert fits(whole, raw)
    assert not fits(whole, raw + b"\x00") and not fits(whole, raw[:-1])


def full_policy() -> bytes:
    """A policy capsule with all parts that a policy can have."""
    approvals = Approvals((ApprovalRule(None, "member", 2, 6, True),), 0)
    params = {
        policy.PARAM_ROLE_NAMES: ["sensor", "pump"],
        policy.PARAM_GRANTS: {NODE_ID: 4},
        policy.PARAM_APPROVALS: approvals.to_wire(),
        policy.PARAM_COMMITTEE: bytes(8),
    }
    rules = [[2, 4, "temp", 1], [2, 4, "pump/*", 4, 3]]
    routes = [[1, 2, 2, 3, 4, 10, 5]]
    body = [1, HEAD, rules, routes, [NODE_ID, b"\x01" * 8], params]
    return signer.certify(capsule.build(capsule.POLICY, body, iat=signer.FOUNDED))


def test_every_part_of_a_policy_fits() -> None:
    raw = full_policy()
    policy.Policy(capsule.parse(raw).claims)
    assert of_kind("policy", raw)


OPERATIONS: list[Any] = [
    NODE_ID,
    [policy.OP_RESTORE, NODE_ID],
    [policy.OP_GRANT, NODE_ID, 0],
    [policy.OP_ADD_RULE, [2, 4, "temp", 1]],
    [policy.OP_REMOVE_RULE, [2, 4, "temp", 1, 1]],
    [policy.OP_SET, policy.PARAM_APPROVALS, None],
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=repr)
def test_every_operation_fits(operation: Any) -> None:
    raw = signer.certify(capsule.build(capsule.AMENDMENT, [2, HEAD, operation]))
    amendment.check_amendment(capsule.parse(raw).body)
    assert of_kind("amendment", raw)


def test_successions_and_actions_fit() -> None:
    assert of_kind("succession", succession_rig.succession_raw(2, HEAD))
    body = [NODE_ID, 3, "sluice", bytes(32), bytes(8)]
    raw = signer.certify(capsule.build(capsule.ACTION, body, exp=signer.FOUNDED + 3600))
    assert of_kind("action", raw)


def changed_claims(raw: bytes, change: Callable[[Any], None]) -> bytes:
    """The payload of a capsule with changed claims."""
    claims = cbor.decode(bytes(capsule.parse(raw).payload))
    change(claims)
    return bytes(cbor.encode(claims))


CHANGES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "an epoch of 0": ("policy", lambda claims: claims[capsule.WRIT].__setitem__(1, 0)),
    "a head of 5 bytes": ("policy", lambda claims: claims[capsule.WRIT].__setitem__(2, bytes(5))),
    "a missing iat": ("policy", lambda claims: claims.pop(capsule.IAT)),
    "one claim more": ("policy", lambda claims: claims.__setitem__(capsule.EXP, 1)),
    "an address of 0": ("member", lambda claims: claims[capsule.WRIT].__setitem__(1, 0)),
    "a name with a capital": ("member", lambda claims: claims.__setitem__(capsule.SUB, "Soil")),
    "another kind": ("beacon", lambda claims: claims[capsule.WRIT].__setitem__(0, 9)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_grammar_refuses(name: str) -> None:
    kind, change = CHANGES[name]
    raw = full_policy() if kind == "policy" else examples()[kind]
    assert fits(kind, changed_claims(raw, lambda claims: None))
    assert not fits(kind, changed_claims(raw, change))


def test_status_fits() -> None:
    status = node_rig.make("soil", 2, node_rig.SENSOR).server.status(0)
    assert fits("status", cbor.encode(status))


def test_the_status_of_a_node_in_a_mesh_fits() -> None:
    field = AirField()
    field.node("gate", 1, RELAY, is_gateway=True)
    field.node("soil", 2)
    # not a member yet
    blank = field.node("blank", 3, is_blank=True).server.status(0)
    assert fits("status", cbor.encode(blank))
    assert field.run(lambda: field.frames["soil"].mesh.routing.rank == 1)
    for name in ("gate", "soil"):
        status = field.nodes[name].server.status(field.now_ms)
        assert status["mesh"]["neighbours"] and status["mesh"]["links"][0][3]
        assert fits("status", cbor.encode(status))


def test_the_status_of_a_node_that_sleeps_and_of_its_parent_fit() -> None:
    field = AirField()
    gate = field.node("gate", 1, RELAY, is_gateway=True)
    field.node("soil", 2, sleep_s=900)
    frames = field.frames["soil"]
    frames.sleeper = Sleeper(frames, 900, field.now_ms + 300_000)
    assert field.run(lambda: frames.sleeper.is_ready(field.now_ms), 300)
    gate.sleepers[3] = 60
    statuses = [field.nodes[name].server.status(field.now_ms) for name in ("gate", "soil")]
    assert [row[0] for row in statuses[0]["mesh"]["sleepers"]] == [2, 3]
    assert statuses[1]["mesh"]["sleep_s"] == 900
    statuses[0]["mesh"] |= {"requesters": [[9, 120, 3]]}
    for status in statuses:
        assert fits("status", cbor.encode(status))


def test_the_record_of_a_deep_sleep_fits() -> None:
    field = DeepField("hill")
    field.power_down()
    record = Store(field.flash).load("sleep")
    assert record is not None
    state = record[8:]
    assert fits("sleep-state", state)
    kept = cbor.decode(state)
    assert [len(session) for session in kept[6]] == [9, 9]
    assert len(kept[7][2][4]) == 1 and kept[7][2][5] == []
    digest = crypto.sha256(state)
    names = ["wake", "key", "link", "frames", *[session[0] for session in kept[6]]]
    for name in names:
        digest = crypto.sha256(digest + (Store(field.flash).load(name) or b""))
    assert record[:8] == digest[:8]
    # a node that has not joined, without links
    kept[7][2] = None
    assert fits("sleep-state", cbor.encode(kept))
    kept[7] = None
    assert fits("sleep-state", cbor.encode(kept))
    # with all tables of a device full it has room in the memory of an RTC
    kept = cbor.decode(state)
    full = len(record) + 15 * len(cbor.encode(kept[7][2][4][0])) + 4 * len(cbor.encode(kept[6][0]))
    # and with three parents that have no session
    assert full + 3 * 155 < 2048
