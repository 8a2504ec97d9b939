"""Output for authors of a policy: test results, explanations, warnings, and the template."""

import re
from typing import Any

import pytest
from policy_farm import FARM, HEAD, MEMBERS, NODE, OTHER, Node, parse

from writ.mesh.frame import JOIN_CLASS
from writ.mesh.permit import GOVERNANCE, MESSAGES
from writ_host.policy.approvals import ApprovalRule
from writ_host.policy.lint import warnings
from writ_host.policy.strict_toml import PolicyError
from writ_host.policy.template import template
from writ_host.policy.text import decompile, explain

# --- revoked, approvals, tests ------------------------------------------------------------------


def test_revoked_takes_names_and_ids() -> None:
    file = parse(f'revoked = ["old-pump", "{NODE.hex()}", "ffffffffffffffff"]')
    assert file.revoked_ids(MEMBERS) == [NODE, OTHER, b"\xff" * 8]


def test_revoked_refuses_to_guess() -> None:
    with pytest.raises(PolicyError, match="no member is called 'pump-2'") as caught:
        parse('revoked = ["pump-2"]').revoked_ids(MEMBERS)
    assert "'pump-1'" in caught.value.advice
    # a name that two keys had is ambiguous
    with pytest.raises(PolicyError, match="2 nodes") as caught:
        parse('revoked = ["hub"]').revoked_ids([*MEMBERS, Node("hub", b"new hub.", 2)])
    assert NODE.hex() in caught.value.advice
    # a name that equals another node's id
    with pytest.raises(PolicyError, match="2 nodes"):
        parse(f'revoked = ["{NODE.hex()}"]').revoked_ids([Node(NODE.hex(), OTHER, 2)])


def test_approvals() -> None:
    file = parse(
        '[roles]\na = ""\nb = ""\n[approvals]\noperators = 2\n'
        '[[approvals.rule]]\nkind = "member"\nroles = "a"\nrenew = true\noperators = 0\n'
        '[[approvals.rule]]\nkind = "member"\nroles = ["a", "b"]\noperators = 1\n'
    )
    asked = file.approvals.operators_for
    assert file.approvals.rules[0] == ApprovalRule(6, "member", 0, 2, True)
    assert asked("member", 2, renewal=True) == 0
    assert asked("member", 3, renewal=True) == 0
    assert asked("member", 2) == 1
    assert asked("member", 4, renewal=True) == 1
    # a role that no rule names always needs approval
    assert asked("member", 8, renewal=True) == 2
    assert asked("member", 10, renewal=True) == 2
    assert asked("policy") == 2
    assert parse("").approvals.operators_for("beacon") == 1


def run(test: str, members: list[Node] = MEMBERS, **more: Any) -> tuple[bool, str]:
    text = FARM[: FARM.index("[[test]]")] + "[[test]]\n" + test
    (result,) = parse(text).run_tests(members, **more)
    assert result.explanation.startswith("policy.toml:37: ")
    return result.passed, result.explanation


@pytest.mark.parametrize(
    ("who", "on", "request_", "verdict"),
    [
        ("gateway", "pump", 'get = "pump/x"', "allow"),
        ("hub", "pump-1", 'get = "pump/x"', "allow"),
        ("sensor", "pump", 'get = "pump/x"', "NotAllowed"),
        ("gateway", "gateway", 'get = "pump/x"', "NotAllowed"),
        ("hub", "pump", 'put = "pump/x"', "NotFresh"),
        ("hub", "pump", 'put = "pump/x"\nfresh = true', "allow"),
        ("any", "any", 'post = "lock"', "NeedsAction"),
        ("any", "any", 'post = "lock"\naction = true', "allow"),
        ("any", "any", 'ipatch = "lock"', "NotAllowed"),
        ("old-pump", "pump", 'post = "lock"\naction = true', "Revoked"),
        ("hub", "old-pump", 'get = "pump/x"', "allow"),
        ("pump-1", "pump-1", 'get = "pump/x"', "NotAllowed"),
    ],
)
def test_policy_tests_pass_only_for_the_true_verdict(
    who: str, on: str, request_: str, verdict: str
) -> None:
    for expect in ("allow", "deny", "NotAllowed", "NotFresh", "NeedsAction", "Revoked"):
        test = f'from = "{who}"\nto = "{on}"\n{request_}\nexpect = "{expect}"'
        passed, words = run(test)
        assert passed == (expect == verdict or (expect == "deny" and verdict != "allow"))
        assert ("the test expects" in words) == (not passed)


def test_policy_tests_use_the_grants_of_members() -> None:
    test = 'from = "pump-1"\nto = "pump"\nget = "pump/x"\nexpect = "allow"'
    assert not run(test)[0]
    assert run(test, grants={b"pump-1..": 2})[0]


def test_a_policy_test_of_an_unknown_member_fails_with_a_suggestion() -> None:
    passed, words = run('from = "hubb"\nto = "pump"\nget = "x"\nexpect = "deny"')
    assert not passed and "Did you mean 'hub'?" in words
    # of two keys with one name the test uses the one that is not revoked
    test = 'from = "old-pump"\nto = "pump"\npost = "lock"\naction = true\nexpect = "allow"'
    replaced = [*MEMBERS[:2], Node("old-pump", b"new-pump", 8), MEMBERS[2]]
    text = FARM[: FARM.index("[[test]]")].replace('"old-pump"', f'"{OTHER.hex()}"')
    (result,) = parse(text + "[[test]]\n" + test).run_tests(replaced)
    assert result.passed


# --- texts --------------------------------------------------------------------------------------


def test_explanations() -> None:
    policy = parse(FARM).policy(1, HEAD, 0)
    assert (
        explain(policy, 2, 8, 1, "pump/x")
        == "allowed by rule 2: gateway may GET pump/* on sensor or pump"
    )
    assert explain(policy, 2, 8, 3, "pump/x") == (
        "denied (NotFresh): the newest beacon is too old;"
        " rule 3: gateway may POST, PUT pump/* on pump with a fresh beacon"
    )
    assert explain(policy, 4, 8, 1, "pump/x") == (
        "denied (NotAllowed): no rule lets sensor GET pump/x on pump;"
        " rule 2 almost applies, but it is for requests from gateway"
    )
    assert explain(policy, 2, 8, 4, "pump/x").endswith(
        "rule 2 almost applies, but it allows only GET"
    )
    assert explain(policy, 2, 4, 1, "tmp").endswith("rule 1 almost applies, but it covers temp")
    assert explain(policy, 64, 1, 5, "x") == (
        "denied (NotAllowed): no rule lets role 6 FETCH x on a member without roles"
    )


def test_decompile() -> None:
    policy = parse(FARM).policy(5, HEAD, 0, [NODE], {OTHER: 6})
    shown = decompile(policy, {NODE: "hub"})
    assert shown.title.startswith(f"epoch 5, head {policy.head().hex()}, ")
    assert shown.rules[2] == (
        "3", "gateway", "POST, PUT", "pump/*", "pump", "with a fresh beacon",
    )  # fmt: skip
    assert shown.routes == (("1", "sensor", "gateway", "udp, lora", "3", "1 %", "2"),)
    assert shown.revoked == (f"hub ({NODE.hex()})",)
    assert shown.grants == ((OTHER.hex(), "gateway and sensor"),)


@pytest.mark.parametrize(
    "roles",
    [None, {"solo": 'says "hi" \\\n'}, {"a.b": "", "c": ""}, {f"r{i}": "x" for i in range(29)}],
)
def test_the_template_passes_its_own_tests(roles: dict[str, str] | None) -> None:
    file = parse(template("farm", roles))
    results = file.run_tests()
    assert len(results) >= 4 and all(result.passed for result in results)
    unused = [text for text in warnings(file) if "no rule and no route uses" not in text]
    assert unused == []
    assert file.approvals.operators_for("member", 2) == 1
    assert file.approvals.operators_for("member", 2, renewal=True) == 0


def with_routes(text: str) -> str:
    """The template with the lines of its routes, as its comment says."""
    return re.sub(r"^#(?=\S)", "", text, flags=re.M)


@pytest.mark.parametrize("roles", [None, {"solo": ""}, {"a.b": "", "c": ""}])
def test_the_routes_of_the_template_are_a_mesh(roles: dict[str, str] | None) -> None:
    text = template("farm", roles)
    assert parse(text).routes == ()
    file = parse(with_routes(text))
    assert [route.row[0] for route in file.routes] == [GOVERNANCE, MESSAGES, JOIN_CLASS]
    unused = [text for text in warnings(file) if "no rule and no route uses" not in text]
    assert unused == []
    assert all(result.passed for result in file.run_tests())


# --- warnings -----------------------------------------------------------------------------------

RULE = '[[rule]]\nfrom = "{}"\nto = "{}"\nresource = "{}"\nmethods = ["GET"]\n{}\n'


@pytest.mark.parametrize(
    ("one", "two", "warning"),
    [
        (("a", "b", "x", ""), ("a", "b", "x", ""), ":10: x: this rule repeats the rule of line 4"),
        (("a", "b", "x", ""), ("a", "b", "*", ""), ":4: x: this rule is redundant: the rule of"),
        (("any", "b", "x", ""), ("a", "b", "x", ""), ":10: x: this rule is redundant"),
        (("a", "b", "x", "fresh = true"), ("a", "any", "*", ""), ":4: x: this rule requires a fre"),
        (("a", "b", "x", "quorum = true"), ("a", "b", "x", ""), ":4: x: this rule requires a cer"),
        (("a", "b", "x", "fresh = true"), ("a", "b", "x", "quorum = true"), None),
        (("a", "b", "x/*", "fresh = true"), ("a", "b", "x/y", ""), None),
        (("a", "b", "x", ""), ("any", "a", "x", ""), None),
        (("a", "b", "x", ""), ("a", "b", "y", ""), None),
    ],
)
def test_shadowed_rules(one: tuple[str, ...], two: tuple[str, ...], warning: str | None) -> None:
    file = parse('[roles]\na = ""\nb = ""\n' + RULE.format(*one) + RULE.format(*two))
    found = [text for text in warnings(file) if "this rule " in text]
    if warning is None:
        assert found == []
    else:
        assert len(found) == 1 and found[0].startswith("policy.toml" + warning)


def test_other_warnings() -> None:
    def said(text: str, members: list[Node] | None = None) -> str:
        return "\n".join(warnings(parse(text), members))

    assert "no rule: every request is denied" in said("")
    assert "no test reaches this rule" in said(FARM)
    assert "no test expects a denial" in said(FARM)
    assert "no test: add a [[test]]" in said(FARM[: FARM.index("[[test]]")])
    # revoked members do not count
    assert "no member has the role 'sensor'" in said(FARM, MEMBERS)
    assert "'pump'" not in said(FARM, MEMBERS)
    assert "policy.toml:8: no member has the role 'pump'" in said(FARM, MEMBERS[::2])
    assert "policy.toml:7: no rule and no route uses the role 'x'" in said(
        FARM.replace("\n\n[[rule", '\nx = ""\n[[rule', 1)
    )
    assert "hops have no effect" in said(FARM.replace('relay = "gateway"\n', ""))
    assert "relays have no effect" in said(FARM.replace("hops = 3", "hops = 0"))
    assert "never sent" in said(FARM.replace("airtime = 10", "airtime = 0"))
    assert "no approval rule covers needs no approval" in said(FARM + "[approvals]\noperators = 0")
    rule = '[[approvals.rule]]\nkind = "policy"\noperators = 0'
    assert "every policy is certified without approval" in said(FARM + rule)
    rule = '[[approvals.rule]]\nkind = "member"\nroles = "pump"\noperators = 0\n'
    assert "granted without approval" in said(FARM + rule)
    assert "granted without approval" not in said(FARM + rule + "renew = true")


def test_a_mesh_without_its_routes_is_reported() -> None:
    text = template("farm")
    assert warnings(parse(text)) == []
    silent = "policy.toml: no route has class 0: the mesh is silent: its own frames, handshakes"
    (found,) = warnings(parse(text), has_links=True)
    assert found.startswith(silent)
    routes = with_routes(text)
    assert warnings(parse(routes), has_links=True) == []
    # nothing else matters without class 0
    (found,) = warnings(parse(routes.replace("class = 0\n", "class = 2\n")))
    assert "no route has class 0" in found
    (found,) = warnings(parse(routes.replace("class = 1\n", "class = 2\n")))
    assert found.endswith("no route has class 1: the mesh carries no requests and no answers")
    found = warnings(parse(routes.replace("class = 15\n", "class = 2\n")))[0]
    assert "no route has class 15: no node can join" in found


def test_a_role_that_relays_no_requests_is_reported() -> None:
    both = 'relay = ["gateway", "relay"]'
    text = with_routes(template("farm")).replace("[roles]\n", '[roles]\nrelay = "forwards"\n')
    good = text.replace('relay = "gateway"\n', f"{both}\n")
    assert good.count(both) > 1 and warnings(parse(good)) == []
    head, found, tail = good.partition("class = 1\n")
    assert found
    (said,) = warnings(parse(head + found + tail.replace(both, 'relay = "gateway"', 1)))
    assert said.endswith(
        "class 1 is not relayed by 'relay', which relays class 0: requests to nodes behind such a"
        " relay end with NoRoute"
    )
    # the other way round nothing is lost
    assert warnings(parse(head + found + tail.replace(both, 'relay = "any"', 1))) == []


def test_class_15_names_who_makes_link_keys() -> None:
    row = '[[route]]\nclass = 15\nlinks = "lora"\nhops = 0\nairtime = 9\nrelay = "any"\n'
    for send, text in (
        ('"any"', "every member may make link keys: set `send` to a role of the gateways"),
        ('"gateway"', None),
    ):
        said = "\n".join(warnings(parse(f"{FARM}{row}send = {send}\n")))
        assert text in said if text else "link key" not in said


def test_class_15_needs_a_role_that_answers() -> None:
    row = '[[route]]\nclass = 15\nsend = "any"\nlinks = "lora"\nhops = 0\nairtime = 9\n'
    said = "\n".join(warnings(parse(FARM + row)))
    assert "no role relays: no node answers one that joins" in said
    assert "answers one that joins" not in "\n".join(
        warnings(parse(FARM + row + 'relay = "any"\n'))
    )
