"""What a governor's commands say when something is over, offline, or impossible."""

from council_rig import Council, finish, wait_for

from writ.errors import NotFresh
from writ_host.cli import decision, governorview
from writ_host.errors import HostError
from writ_host.refusals import problem_text


def test_a_late_approval_says_what_has_happened(council: Council) -> None:
    council.writ("member", "request", "late", "--name", "late")
    command = council.begin("member", "admit", "late", "--no-role", "--yes", "--no-deliver")
    wait_for(lambda: council.waiting("b"))
    id = council.waiting("b")[:8]
    council.approve("b")
    command.communicate(timeout=60)
    for name in ("b", "c"):
        wait_for(lambda name=name: not council.waiting(name))
        error = council.writ("governor", "approve", name, id, "--yes", code=1)["error"]
        assert "late" in error["message"] and "certified already" in error["message"]
        assert "governor log" in error["advice"]


def test_an_approval_asks_for_no_other_one_of_the_same_operator() -> None:
    proposal = {
        "what": "proposal",
        "id": "ab" * 16,
        "title": "admit pump",
        "state": "open",
        "lines": [],
        "operators": 2,
        "approvals": [],
        "reason": "",
    }
    assert any("writ governor approve" in line for line in governorview.item(proposal))
    # two equal actions differ in when they were proposed
    dated = governorview.item({**proposal, "proposer": "a", "created_s": 1800000000})
    assert "  proposed by a, 2027-01-15 08:00:00Z" in dated
    shown = governorview.item(proposal, None)
    assert shown[-1] == "  approved by 0 of 2 operators"
    said = {"governor": "a", "yes": True, "time": 0, "reason": ""}
    assert decision.after({**proposal, "approvals": [said]}) == [
        "approved by 1 of 2 operators",
        "the other operators decide at their governors, on abababab",
    ]
    denied = decision.after({**proposal, "operators": 1, "approvals": [{**said, "yes": False}]})
    assert denied[0] == "approved by 0 of 1 operator (denied by a)"
    ceremony = {
        "what": "ceremony",
        "id": "ab" * 16,
        "title": "found farm",
        "state": "compare",
        "waiting_for": ["a", "b"],
        "needs_decision": True,
    }
    assert decision.after(ceremony) == ["waiting for approval by a, b"]


def test_the_commands_of_an_approval_do_not_contradict_each_other(council: Council) -> None:
    council.writ("member", "request", "gate", "--name", "gate")
    command = council.begin("member", "admit", "gate", "--no-role", "--yes", "--no-deliver")
    wait_for(lambda: council.waiting("b"))
    said = council.run("governor", "approve", "b", council.waiting("b")[:8], "--yes").stdout
    command.communicate(timeout=60)
    assert "approved: " in said and "writ governor approve" not in said, said


def test_a_revocation_is_titled_by_its_node_and_reason(council: Council) -> None:
    council.writ("member", "request", "thief", "--name", "thief")
    admit = ("member", "admit", "thief", "--no-role", "--yes", "--no-deliver")
    council.with_approval("b", *admit)
    words = ("member", "revoke", "thief", "--reason", "stolen\nfrom the barn", "--yes")
    command = council.begin(*words, "--wait", "40", "--json")
    wait_for(lambda: council.waiting("c"))
    shown = council.run("governor", "pending", "c").stdout
    assert "revoke thief: stolen" in shown and "policy of epoch" in shown
    council.approve("c")
    finish(command)
    wait_for(lambda: "revoke thief: stolen" in council.run("governor", "log", "d").stdout)


def test_pending_says_that_there_is_no_quorum(council: Council) -> None:
    wait_for(lambda: council.ask("a", "status")["online_count"] == 4)
    assert "no quorum" not in council.run("governor", "pending", "a").stdout
    council.kill("c")
    council.kill("d")
    try:
        # a governor that missed a summary does not count as online any more
        wait_for(lambda: council.ask("a", "status")["online_count"] == 2, timeout_s=30)
        shown = council.run("governor", "status", "a").stdout
        assert "4 of 4" not in shown and "certifies nothing until 1 more are online" in shown
        wait_for(lambda: "no quorum: 2 of 4" in council.run("governor", "pending", "a").stdout)
        # governors that are gone deal no shares
        error = council.writ("governor", "refresh", "a", "--yes", "--no-wait", code=1)["error"]
        assert "offline: c, d" in error["message"] and "Start" in error["advice"]
    finally:
        council.start("c")
        council.start("d")
    wait_for(lambda: council.ask("a", "status")["online_count"] == 4, timeout_s=40)
    assert council.ask("a", "pending")["quorum"] == {"online": 4, "count": 4, "threshold": 3}


def test_dealers_are_those_that_are_online(council: Council) -> None:
    wait_for(lambda: council.ask("a", "status")["online_count"] == 4, timeout_s=40)
    council.kill("b")
    try:
        wait_for(lambda: council.ask("a", "status")["online_count"] == 3, timeout_s=30)
        made = council.ask("a", "change", dry_run=True, remove=["b"])
        shown = "\n".join(made["lines"])
        assert "a, c, d" in shown or "a, c and d" in shown, shown
    finally:
        council.start("b")


def test_a_problem_in_the_log_has_no_repr_and_has_advice() -> None:
    assert problem_text(HostError("no room", "Wait.")) == "no room. Wait."
    assert problem_text(NotFresh()).startswith("NotFresh (")
    assert problem_text(NotFresh()).endswith("writ scope beacon.")


def test_a_silent_governor_is_shown_as_such() -> None:
    one = {
        "number": 2, "name": "b", "me": False, "online": True, "silent": True,
        "last_seen_s": 8.2, "clock_off_s": None, "accused": "",
    }  # fmt: skip
    assert governorview._governors([one], None)[1] == "2  b         silent, last seen 8 s ago"
