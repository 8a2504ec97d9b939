"""Commands that wait for approvals: they do not lock the scope's folder, and can be resumed."""

import signal
from pathlib import Path

from council_rig import Council, finish, wait_for

from writ_host.scope.folder import ScopeFolder


def admit(council: Council, name: str) -> tuple[str, ...]:
    """Request membership; returns the arguments of the command that admits."""
    council.writ("member", "request", name, "--name", name)
    return ("member", "admit", name, "--role", "sensor", "--yes", "--no-deliver")


def be_members(council: Council, *names: str) -> None:
    """Admit the nodes that no earlier test has admitted: each test may run first."""
    known = {one.name for one in ScopeFolder.open(council.scope).members.newest()}
    for name in names:
        if name not in known:
            council.with_approval(("b",), *admit(council, name))


def proposals(council: Council) -> list[str]:
    return [one["id"] for one in council.ask("a", "pending")["proposals"]]


def kept(council: Council) -> list[Path]:
    return list((council.scope / "proposed").glob("*"))


def test_a_waiting_command_does_not_block_others(council: Council) -> None:
    first = council.begin(*admit(council, "one"), "--wait", "40", "--json")
    wait_for(lambda: council.waiting("b"))
    second = council.begin(*admit(council, "two"), "--wait", "40", "--json")
    wait_for(lambda: len(proposals(council)) == 2)
    # a beacon needs no approval: it is certified while two commands wait in this folder
    assert council.writ("scope", "beacon", "--wait", "20")["epoch"] == 1
    for id in proposals(council):
        council.writ("governor", "approve", "b", id[:8], "--yes")
    found = [finish(command)["admitted"][0] for command in (first, second)]
    assert [one["name"] for one in found] == ["one", "two"]
    assert found[0]["short_address"] != found[1]["short_address"]
    folder = ScopeFolder.open(council.scope)
    assert folder.members.find("one") and folder.members.find("two") and not kept(council)


def test_the_same_command_continues_with_the_pending_proposal(council: Council) -> None:
    words = admit(council, "three")
    (left,) = council.writ(*words, "--no-wait")["pending"]
    assert (left["state"], left["operators"]) == ("open", 1)
    shown = council.run(*words, "--no-wait")
    assert shown.returncode == 0 and f"approve {council.path('a')} {left['id'][:8]}" in shown.stdout
    # the same command proposes once, however often it runs
    assert proposals(council) == [left["id"]]
    council.approve("c")
    wait_for(lambda: not proposals(council))
    found = council.writ(*words, "--out", council.root / "three")
    assert found["admitted"][0]["name"] == "three"
    assert (council.root / "three").is_dir() and not kept(council)


def test_an_interrupted_command_says_that_its_proposal_stays_open(council: Council) -> None:
    words = admit(council, "four")
    command = council.begin(*words)
    wait_for(lambda: council.waiting("b"))
    id = council.waiting("b")
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=20)
    assert command.returncode == 130 and "Traceback" not in err
    assert id[:8] in err and "Run the same command again" in err and "stays open" in err
    error = council.writ(*words, "--wait", "0.1", code=4)["error"]
    assert error["name"] == "NeedsPerson" and id[:8] in error["message"]
    assert proposals(council) == [id]
    council.approve("b")
    assert finish(council.begin(*words, "--wait", "20", "--json"))["admitted"]


def test_a_denial_is_reported_once_and_then_proposed_anew(council: Council) -> None:
    words = admit(council, "five")
    (left,) = council.writ(*words, "--no-wait")["pending"]
    for name in "ab":
        wait_for(lambda name=name: council.waiting(name))
        council.writ("governor", "deny", name, left["id"][:8], "--yes", "--reason", "not this one")
    wait_for(lambda: not proposals(council))
    error = council.writ(*words, "--no-wait", code=1)["error"]
    assert error["name"] == "Denied" and "run again" in error["advice"]
    (again,) = council.writ(*words, "--no-wait")["pending"]
    assert again["id"] != left["id"]
    council.approve("c")
    assert finish(council.begin(*words, "--wait", "20", "--json"))["admitted"]


def test_a_policy_and_a_revocation_are_taken_by_a_later_command(council: Council) -> None:
    be_members(council, "one")
    text = council.scope / "policy.toml"
    text.write_text(text.read_text().replace('resource = "*"', 'resource = "temp"', 1))
    words = ("policy", "certify", "--yes")
    epoch = ScopeFolder.open(council.scope).epoch
    (left,) = council.writ(*words, "--no-wait")["pending"]
    council.approve("b")
    wait_for(lambda: council.ask("a", "status")["epoch"] == epoch + 1)
    found = council.writ(*words, "--wait", "20")
    assert found["epoch"] == epoch + 1 and found["capsules"]["policy"] and not kept(council)
    revoke = ("member", "revoke", "one", "--reason", "lost", "--yes")
    (left,) = council.writ(*revoke, "--no-wait")["pending"]
    assert left["kind"] == "policy" and council.writ(*revoke, "--no-wait")["pending"] == [left]
    council.approve("b")
    wait_for(lambda: council.ask("a", "status")["epoch"] == epoch + 2)
    found = council.writ(*revoke, "--wait", "20")
    assert found["epoch"] == epoch + 2 and found["noted"] and not kept(council)
    assert "# one: lost" in text.read_text()


def test_a_stale_proposal_is_drafted_anew(council: Council) -> None:
    be_members(council, "two", "three")
    revoke = ("member", "revoke", "two", "--yes")
    (left,) = council.writ(*revoke, "--no-wait")["pending"]
    council.writ("governor", "deny", "b", left["id"][:8], "--yes")
    other = council.begin("member", "revoke", "three", "--yes", "--wait", "20", "--json")
    wait_for(lambda: len(proposals(council)) == 2)
    (id,) = set(proposals(council)) - {left["id"]}
    council.writ("governor", "approve", "c", id[:8], "--yes")
    finish(other)
    (again,) = council.writ(*revoke, "--no-wait")["pending"]
    assert again["id"] != left["id"] and proposals(council) == [again["id"]]
    council.writ("governor", "approve", "c", again["id"][:8], "--yes")
    assert finish(council.begin(*revoke, "--wait", "20", "--json"))["revoked"]


def test_a_clean_up_is_taken_by_a_later_command(council: Council) -> None:
    be_members(council, "six", "seven")
    finish_revocation(council, "six")
    clean = ("policy", "clean", "--yes")
    epoch = ScopeFolder.open(council.scope).epoch
    kinds: list[str] = []
    # first the renewals are approved, then the policy
    while left := (found := council.writ(*clean, "--no-wait")).get("pending"):
        assert council.writ(*clean, "--no-wait")["pending"] == left
        kinds.append(left[0]["kind"])
        council.writ("governor", "approve", "b", left[0]["id"][:8], "--yes")
        wait_for(lambda left=left: left[0]["id"] not in proposals(council))
    assert kinds[-1] == "policy" and len(kinds) <= 2
    assert (found["epoch"], found["changes"], found["capsules"]["policy"] is None) == (
        epoch + 1, False, False,
    )  # fmt: skip
    assert not kept(council) and not proposals(council)
    assert "# six" not in (council.scope / "policy.toml").read_text()
    assert not council.writ("policy", "diff")["changes"]
    # once more: it says so, and proposes nothing
    again = council.run(*clean)
    assert again.returncode == 0 and "clean already" in again.stdout
    assert ScopeFolder.open(council.scope).epoch == epoch + 1 and not proposals(council)


def finish_revocation(council: Council, name: str) -> None:
    council.with_approval(("b",), "member", "revoke", name, "--yes")


def test_options_for_waiting_exclude_each_other(council: Council) -> None:
    for words in (("--no-wait", "--wait", "3"), ("--no-wait", "--local")):
        assert council.writ("scope", "beacon", *words, code=2)["error"]


# --- changes of governors -------------------------------------------------------------------------


def test_a_change_with_no_wait_returns_the_pending_ceremony(council: Council) -> None:
    made = council.writ("governor", "refresh", "a", "--yes", "--no-wait")
    assert made["state"] != "done" and not made["in_force"] and made["id"]
    # the same command, run again, starts no second ceremony with another fingerprint
    error = council.writ("governor", "refresh", "a", "--yes", "--no-wait", code=1)["error"]
    assert "one is running" in error["message"] and made["id"][:8] in error["message"]
    assert made["fingerprint"] in error["message"]
    assert f"writ governor deny {council.path('a').name} {made['id'][:8]}" in error["advice"]
    assert len(council.ask("a", "pending")["ceremonies"]) == 1
    denied = council.writ("governor", "deny", "a", made["id"][:8], "--yes", "--reason", "not now")
    assert denied["decided"] == "denied"


def test_a_denied_refresh_ends_the_command(council: Council) -> None:
    command = council.begin("governor", "refresh", "a", "--yes", "--wait", "50")
    council.approve("b", "c")
    wait_for(lambda: proposals(council))
    (found,) = council.ask("a", "pending")["proposals"]
    assert (
        found["title"] == "putting in force: refreshing shares (farm)" and found["operators"] == 2
    )
    # its ceremony is done, and its shares are not in force yet
    error = council.writ("governor", "refresh", "a", "--yes", code=1)["error"]
    assert "one is running" in error["message"] and found["id"][:8] in error["message"]
    for name in "bc":
        wait_for(lambda name=name: council.waiting(name))
        council.writ("governor", "deny", name, found["id"][:8], "--yes", "--reason", "why?")
    out, err = command.communicate(timeout=30)
    assert command.returncode == 1, out + err
    # the output has the command to approve with, and the reason of the failure
    assert f"approved by 0 of 2 operators: writ governor approve a {found['id'][:8]}" in out
    assert "too many operators denied it" in err and "The old key shares stay in force" in err


def test_an_interrupted_change_goes_on_without_its_command(council: Council) -> None:
    command = council.begin("governor", "refresh", "a", "--yes")
    council.approve("b", "c")
    wait_for(lambda: proposals(council))
    (found,) = council.ask("a", "pending")["proposals"]
    assert command.stdout is not None and command.stderr is not None
    # the command polls the daemon
    while found["id"][:8] not in (line := command.stdout.readline()):
        assert line
    command.send_signal(signal.SIGINT)
    assert command.wait(30) == 130
    err = command.stderr.read()
    assert "Traceback" not in err and found["id"][:8] in err
    council.approve("b", "c")
    wait_for(lambda: council.ask("a", "in_force", seat_id=_committee(council))["in_force"])


def _committee(council: Council) -> str:
    """The committee that the policy in force names, in hex."""
    folder = ScopeFolder.open(council.scope)
    council.writ("scope", "beacon", "--wait", "20")
    folder = ScopeFolder.open(council.scope)
    assert folder.policy is not None
    return bytes(folder.policy.committee or b"").hex()
