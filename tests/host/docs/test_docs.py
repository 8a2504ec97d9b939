"""Compares docs/wire.md and docs/errors.md with the code: examples, numbers, names and codes."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import signer
import succession_rig
from docs_rig import (
    CDDL,
    DOCS,
    ERRORS,
    FENCE,
    HEX,
    HUB_ID,
    PROSE,
    PUMP,
    PUMP_ID,
    WIRE,
    examples,
    exchange,
    groups,
    raw,
    rows,
    rule,
    sides,
    ticked,
)
from fakeflash import MemoryFlash
from harness import raises

from writ import cbor, crypto, errors, limits
from writ.authority import capsule, policy
from writ.authority.authority import Authority
from writ.authority.store import Store
from writ.node import context, handshake, server
from writ.wire import coap, edhoc_codec
from writ.wire.oscore import Context
from writ_host.node.behind import NotPassedOn
from writ_host.policy import approvals


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """All examples, created by the code."""
    return examples()


@pytest.mark.parametrize("name", sorted(HEX))
def test_an_example_is_what_the_code_makes(made: dict[str, bytes], name: str) -> None:
    assert raw(name) == made[name], made[name].hex()


def diagnostic(value: object) -> str:
    """The CBOR diagnostic notation of a leaf (RFC 8949, section 8)."""
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    return json.dumps(value)


@pytest.mark.parametrize("name", ["member", "revocation", "beacon", "message-1"])
def test_each_line_of_an_example_is_what_its_comment_says(name: str) -> None:
    lines = list(groups(name))
    assert len(lines) > 5
    for data, comment in lines:
        text, mark, said = comment.partition(" = ")
        if mark:
            end = 0
            while end < len(data):
                value, end = cbor.decode_item(data, end)
            shown = diagnostic(value)
            assert shown == said or (said[-4:] == "...'" and shown.startswith(said[:-4])), comment
        else:
            # a CBOR head: its number is in the comment
            assert len(data) <= 2
            sizes = re.findall(r"\d+", text.removeprefix("COSE_Sign1"))
            info = data[-1] if data[0] & 31 == 24 else data[0] & 31
            assert "empty" in text or not sizes or info == int(sizes[0]), comment


def test_a_node_accepts_the_capsules_of_the_examples(made: dict[str, bytes]) -> None:
    x = crypto.p256_public(crypto.sha256(b"pump-1"))[0]
    authority = Authority(Store(MemoryFlash()), x, signer.scope())
    for name in ("charter", "hub", "member", "policy", "revocation", "beacon"):
        authority.receive(raw(name), 0, "carrier")
    assert (authority.me.name, authority.me.address, authority.epoch) == (PUMP, 257, 2)
    assert authority.policy.revoked == [made["gone"]]
    assert authority.capsule_for(1) == raw("revocation")


def test_ids_in_the_text_are_those_of_the_examples(made: dict[str, bytes]) -> None:
    x = crypto.p256_public(crypto.sha256(b"pump-1"))[0]
    known = {signer.scope(), signer.charter_head(), capsule.node_id(x), made["gone"]}
    known |= {made["head-1"], made["head-2"], made["secret"], made["salt"]}
    named = {text for text in ticked(PROSE) if re.fullmatch(r"[0-9a-f]{12,}", text)}
    assert named == {item.hex() for item in known}


def test_the_examples_decrypt(made: dict[str, bytes]) -> None:
    message = coap.decode(raw("datagram-1"))
    assert (message.code, message.path()) == (coap.POST, ".well-known/edhoc")
    assert message.payload == b"\xf5" + raw("message-1") and len(raw("datagram-1")) == 73
    _, pump = sides()
    pump.read_1(raw("message-1"))
    assert pump.ead_1 == [(65000, False, signer.scope()[:4] + b"\x01")]
    message = coap.decode(raw("combined"))
    assert len(raw("combined")) == 203 and message.option(coap.EDHOC) == b""
    _, end = cbor.decode_item(message.payload)
    assert message.payload[:end] == raw("message-3")
    message.payload = message.payload[end:]
    secret, salt = made["secret"], made["salt"]
    inner, _, number = Context(secret, salt, PUMP_ID, HUB_ID).unprotect_request(message)
    assert (inner.code, inner.path(), number) == (coap.GET, "temp", 0)
    assert inner.option_uint(coap.EPOCH) == 2
    context = Context(secret, salt, HUB_ID, PUMP_ID)
    _, binding = context.protect_request(coap.Message(coap.CON, coap.GET))
    assert f"has {len(raw('later'))} bytes:" in PROSE
    inner, _ = context.unprotect_response(coap.decode(raw("response")), binding)
    assert (inner.code, inner.payload, inner.option_uint(coap.EPOCH)) == (coap.CONTENT, b"21.5", 1)


# --- sizes and numbers ----------------------------------------------------------------------------


def sizes() -> dict[str, int]:
    """The size in bytes for each row of the table of sizes."""

    def size(payload: bytes) -> int:
        return len(capsule.assemble(payload, bytes(64)))

    def a_member(name: str, roles: int = 4, nbf: int | None = None, epoch: int = 0) -> int:
        return size(signer.member_payload(bytes(32), name, 300, roles, nbf=nbf, epoch=epoch))

    def a_charter(name: str, count: int) -> int:
        keys = [bytes((i,)) * 32 for i in range(count)]
        body = [name, 3, keys, bytes(32), {1: 3600, 2: 120}]
        return size(capsule.build(capsule.CHARTER, body, iat=signer.FOUNDED))

    rules = [[2, 4, "pump/*", 7], [2, 4, "temp", 1], [8, 4, "valve/set", 4, 1]]
    rules += [[8, 4, "valve/state", 1], [2, 16, "log", 2], [1, 1, "hello", 1]]
    rules += [[2, 4, "writ/status", 1], [8, 16, "alarm", 6]]
    routes = [[i, 6, 2, 3, 3, 100, 2] for i in range(4)]
    revoked = [bytes((i,)) * 8 for i in range(8)]
    names = {1: ["gateway", "sensor", "operator", "store"]}
    found = {
        "charter, 4 governors, name `farm`": a_charter("farm", 4),
        "charter, 13 governors, name of 24 letters": a_charter("x" * 24, limits.GOVERNORS_MAX),
        "member, name of 6 letters, address from 256, roles below 24": a_member("pump-1"),
        "member, name of 6 letters, with an epoch from 256": a_member("pump-1", epoch=256),
        "member, name of 11 letters": a_member("x" * 11),
        "member, name of 11 letters, with an epoch from 256": a_member("x" * 11, epoch=256),
        "member, name of 24 letters": a_member("x" * 24),
        "member, name of 24 letters, all roles, `nbf`": a_member(
            "x" * 24, capsule.ROLES_MASK, signer.FOUNDED
        ),
        "policy, 8 rules, 4 routes, 8 revoked, 4 role names": size(
            signer.policy_payload(24, bytes(6), rules, routes, revoked, names)
        ),
    }
    payload = succession_rig.succession_payload(23, bytes(6))
    found["succession, epoch 2 to 23"] = size(payload)
    for path in ("gate", "sluice/gate"):
        body = [bytes(8), coap.PUT, path, bytes(32), bytes(8)]
        payload = capsule.build(capsule.ACTION, body, exp=signer.EXPIRES)
        found[f"action for `{path}`"] = size(payload)
    for least, most in ((2, 23), (24, 255), (256, 65535)):
        both = []
        for epoch in (least, most):
            amendment = size(signer.amendment_payload(epoch, bytes(6), bytes(8)))
            both.append((amendment, size(signer.beacon_payload(epoch, bytes(6), signer.FOUNDED))))
        assert both[0] == both[1]
        first = "amendment that revokes one node" if least == 2 else "the same"
        found[f"{first}, epoch {least} to {most}"] = both[0][0]
        found[f"beacon, epoch {0 if least == 2 else least} to {most}"] = both[0][1]
    return found


def test_sizes_and_goals() -> None:
    real = sizes()
    table = rows(WIRE, "capsule", "bytes", "goal")
    assert {what: int(size) for what, size, _ in table} == real
    for what, size, goal in table:
        if goal:
            assert (int(size) > int(goal.split(",")[0])) == goal.endswith(", missed"), what


def test_sizes_of_handshakes(made: dict[str, bytes]) -> None:
    table = rows(WIRE, "contact", "message_1", "message_2", "message_3")
    real = [[len(m) for m in exchange(made, by_value)[0]] for by_value in (True, False)]
    assert [[int(cell) for cell in row[1:]] for row in table] == real


def test_limits_are_those_of_the_code() -> None:
    named = re.findall(r"`([A-Z][A-Z_]+)`(?:\s\((\d+)\))?", PROSE)
    assert len(named) > 20
    for name, value in named:
        assert value and int(value) == getattr(limits, name), name
    count = 0
    for line in CDDL.splitlines():
        code, _, comment = line.partition(";")
        for name in re.findall(r"[A-Z]+(?:_[A-Z]+)+", comment):
            count += 1
            assert str(getattr(limits, name)) in re.findall(r"\d+", code), line
    assert count >= 10
    counted = PROSE.replace("\n", " ")
    assert f"blocks of 2^({limits.BLOCK_SZX} + 4) = {16 << limits.BLOCK_SZX} bytes" in counted
    each_s = 4 * limits.HANDSHAKE_REFILL_MS // 1000
    assert f"for one address each {each_s} s" in counted
    # a saved limit is the number at which it was reserved, plus SEQUENCE_RESERVE
    most = limits.SEQUENCE_MAX // limits.SEQUENCE_RESERVE * limits.SEQUENCE_RESERVE
    assert f"limit: {limits.SEQUENCE_RESERVE}..{most + limits.SEQUENCE_RESERVE}," in CDDL


# --- CDDL -----------------------------------------------------------------------------------------


def test_cddl_of_the_claims() -> None:
    assert [int(row[0]) for row in rows(WIRE, "kind", "name", "state in this version")] == list(
        range(len(capsule.KIND_NAMES))
    )
    for number, name, state in rows(WIRE, "kind", "name", "state in this version"):
        assert capsule.KIND_NAMES[int(number)] == name
        wanted = capsule._CLAIMS.get(int(number))
        assert (state == "applied") == (wanted is not None)
        if wanted is not None:
            keys = [
                int(key) for key in re.findall(r"(?<!\? )(?<![\w-])(-?\d+): (?!\d)", rule(name))
            ]
            # keys inside cnf and parameters are not claims
            inner = [1] if name == "member" else []
            assert sorted(keys) == sorted([*wanted, *inner]), name
            assert f"-65537: [{number}," in rule(name)
    assert f"? {capsule.NBF}: unix-time" in rule("member")
    assert rule("claims") == " / ".join(capsule.KIND_NAMES[kind] for kind in capsule._CLAIMS)
    for name, algorithm in (("eddsa", capsule.EDDSA), ("es256", capsule.ES256)):
        assert rule(name) == f"bstr .cbor {{ 1: {algorithm} }}"
        assert f"protected header, {cbor.encode({1: algorithm}).hex()}" in CDDL


def test_cddl_of_operations_and_masks() -> None:
    codes = {
        "restore": policy.OP_RESTORE,
        "grant": policy.OP_GRANT,
        "add-rule": policy.OP_ADD_RULE,
        "remove-rule": policy.OP_REMOVE_RULE,
        "set": policy.OP_SET,
    }
    for name, code in codes.items():
        assert rule(name).startswith(f"[{code}, ")
    assert rule("op").split(" / ") == ["revoke", *codes]
    assert rule("roles") == f"0..{capsule.ROLES_MASK}"
    assert rule("rule").count(f"1..{capsule.ROLES_MASK}") == 2
    assert f"methods: 1..{policy.METHODS_MASK}" in rule("rule")
    assert f"flags: 1..{policy.FRESH | policy.QUORUM}" in rule("rule")
    assert f"? {policy.PARAM_ROLE_NAMES}: [1*{limits.ROLES_MAX - 1} name]" in rule("policy-params")
    assert f"? {policy.PARAM_GRANTS}: {{ 1*{limits.REVOKED_MAX} " in rule("policy-params")
    assert f"? {policy.PARAM_APPROVALS}: approvals" in rule("policy-params")
    kinds = " / ".join(map(str, sorted(approvals.KINDS.values())))
    most, rules = approvals.OPERATORS_MAX, approvals.APPROVAL_RULES_MAX
    each = f"[kind: {kinds}, operators: 0..{most}, roles, renew: 0 / 1]"
    assert rule("approvals") == f"[ operators: 0..{most}, 0*{rules} {each}, ]"
    assert f"? {policy.PARAM_COMMITTEE}: bstr .size 8" in rule("policy-params")
    assert f"? {policy.PARAM_VOID_BEFORE}: 1..{capsule.TIME_MAX}" in rule("policy-params")
    assert rule("set") == f"[4, {policy.PARAM_APPROVALS}..{policy.PARAM_VOID_BEFORE}, any]"
    for name in ("epoch", "unix-time", "seconds"):
        assert rule(name) == f"0..{capsule.TIME_MAX}"
    methods = ", ".join(f"{bit} {name}" for bit, name in policy.METHODS.items())
    assert methods in PROSE.replace("\n", " ")
    assert f"Flag {policy.FRESH} (fresh)" in PROSE and f"flag {policy.QUORUM} (quorum)" in PROSE
    assert rule("node-id") == f"bstr .size {capsule.NODE_ID_BYTES}"
    assert rule("head") == f"bstr .size {limits.HEAD_BYTES}"


BOUNDS: list[tuple[str, Callable[[Any], Any], Any, Any]] = [
    ("rule", policy.check_rule, [1, 1, "x", 127, 3], [1, 1, "x", 128, 3]),
    ("rule", policy.check_rule, [2**30 - 1, 1, "x", 1], [2**30, 1, "x", 1]),
    ("rule", policy.check_rule, [1, 1, "x" * 48, 1], [1, 1, "x" * 49, 1]),
    ("rule", policy.check_rule, [1, 1, "pump/*", 1], [1, 1, "pump*", 1]),
    ("rule", policy.check_rule, [1, 1, "x", 1], [1, 1, "x", 1, 0]),
    ("route", policy.check_route, [15, 0, 0, 255, 15, 1000, 7], [16, 0, 0, 255, 15, 1000, 7]),
    ("route", policy.check_route, [0, 0, 0, 0, 15, 0, 0], [0, 0, 0, 0, 16, 0, 0]),
    ("route", policy.check_route, [0, 0, 0, 0, 0, 1000, 0], [0, 0, 0, 0, 0, 1001, 0]),
    ("route", policy.check_route, [0, 0, 0, 0, 0, 0, 7], [0, 0, 0, 0, 0, 0, 8]),
    ("name", capsule.check_name, "a-z_0.9" + "x" * 17, "x" * 25),
    ("name", capsule.check_name, "x", "X"),
    ("name", capsule.check_name, "x9", "9x"),
    ("name", capsule.check_name, "x-.", "-x"),
    ("name", capsule.check_name, "x", ""),
]


@pytest.mark.parametrize(("name", "check", "good", "bad"), BOUNDS)
def test_cddl_bounds_are_the_parsers(
    name: str, check: Callable[[Any], Any], good: Any, bad: Any
) -> None:
    assert check(good) == good
    raises(errors.BadShape, check, bad)
    parts = {
        "rule": ("methods: 1..127", "? flags: 1..3"),
        "route": ("class: 0..15", "links: 0..255", "hops: 0..15", "airtime: 0..1000", "y: 0..7"),
        "name": ('"[a-z][a-z0-9._-]{0,23}"',),
    }
    assert all(part in rule(name) for part in parts[name])


# --- EDHOC and option numbers ---------------------------------------------------------------------


def test_labels_and_options() -> None:
    assert f"label {handshake.EAD_LABEL} (private use)" in PROSE
    assert f"label {handshake._STOCK_BY_VALUE} in EAD_1" in PROSE.replace("\n", " ")
    assert f"number {coap.EPOCH} (elective" in PROSE and not coap.is_critical(coap.EPOCH)
    assert f"option {coap.EDHOC} (RFC 9668)" in PROSE
    assert re.search(rf"Echo\s+option\s+\({coap.ECHO},", PROSE)
    assert {int(n) for n in re.findall(r"Content-Format (\d+)", PROSE)} == {
        context.FORMAT_EDHOC,
        context.FORMAT_EDHOC + 1,
    }
    for form, first in edhoc_codec.BY_VALUE.items():
        assert re.search(rf"`{{{first[1]}: \w+}}` \({form}\)", PROSE)


def test_edhoc_errors() -> None:
    table = {int(code): (info, when) for code, info, when in rows(WIRE, "code", "info", "when")}
    assert set(table) == {1, 2, 3}
    for cls in REJECTIONS:
        made = edhoc_codec.to_error(cls())
        if not made:
            assert cls is errors.PeerFailed
            continue
        code, info = edhoc_codec.parse_error(made)
        assert (f"`{cls.__name__}`" in table[code][1]) == (code != 1)
        assert info == (cls.__name__ if code == 1 else {2: 2, 3: True}[code])
    assert table[2][0] == "2" and table[3][0] == "`true`"


# --- rejections -----------------------------------------------------------------------------------

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.WritError)
}
REJECTIONS = [cls for cls in CLASSES.values() if cls is not errors.Rejection]
REJECTIONS = [cls for cls in REJECTIONS if issubclass(cls, errors.Rejection)]
TABLE = rows(ERRORS, "code", "name", "when", "answer", "what to do")


def test_every_rejection_has_its_row_and_every_row_its_rejection() -> None:
    assert [(int(row[0]), row[1]) for row in TABLE] == sorted(
        (cls.code, name) for name, cls in CLASSES.items()
    )
    for code, name, when, _, advice in TABLE:
        assert when, name
        assert advice or int(code) in (0, 2), name


def test_the_rejections_of_hosts_are_named() -> None:
    # no class of writ.errors: each is a case of one that has a row
    text = ERRORS + (DOCS / "bridge.md").read_text()
    assert text.count(f"`{NotPassedOn.__name__}`") > 1


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[1])
def test_the_answer_to_a_rejection(row: list[str]) -> None:
    cls, answer = CLASSES[row[1]], row[3]
    if answer.startswith("EDHOC "):
        assert edhoc_codec.parse_error(edhoc_codec.to_error(cls()))[0] == int(answer[6:])
    elif cls is errors.AlreadyKnown:
        # not a refusal: see the resource `writ`
        assert answer == coap.code_text(coap.VALID)
    elif answer != "none":
        refusal = server.refusal(cls())
        assert answer == coap.code_text(refusal.code)
        assert refusal.payload == f"{row[0]} {row[1]}".encode()


@pytest.mark.parametrize("text", [WIRE, ERRORS], ids=["wire", "errors"])
def test_rejections_named_in_the_text_exist(text: str) -> None:
    refusals = [item for item in ticked(FENCE.sub("", text)) if re.fullmatch(r"\d+ [A-Z]\w+", item)]
    refusals += re.findall(r'"(\d+ [A-Z]\w+)"', text)
    assert refusals
    for item in refusals:
        code, name = item.split()
        assert CLASSES[name].code == int(code), item
    for name in ticked(FENCE.sub("", text)):
        if re.fullmatch(r"(?:[A-Z][a-z]+){2,}|Expired|Forked|Revoked", name):
            assert name in {*CLASSES, NotPassedOn.__name__}, name


def test_links_have_targets() -> None:
    for text in (WIRE, ERRORS):
        for target in re.findall(r"\]\((\w+\.md)\)", text):
            assert (DOCS / target).is_file(), target
