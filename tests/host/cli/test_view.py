"""Every view of a scope is refreshed first, and says how old it is."""

import shutil
from pathlib import Path

import pytest
from cli_rig import Rig
from council_rig import Council, wait_for

pytestmark = pytest.mark.slow


def test_a_view_shows_what_others_have_certified(council: Council, tmp_path: Path) -> None:
    for name in ("pump", "lamp"):
        council.writ("member", "request", name, "--name", name)
        words = ("member", "admit", name, "--role", "actuator", "--yes", "--no-deliver")
        council.with_approval("b", *words, "--out", name)
    # another operator's folder of the same scope
    other = tmp_path / "other"
    shutil.copytree(council.scope, other)
    council.with_approval("b", "member", "revoke", "lamp", "--yes")
    listed = council.writ("member", "list", "--scope", other)
    states = {one["name"]: one["state"] for one in listed["members"]}
    assert (states["pump"], states["lamp"]) == ("ok", "revoked")
    assert listed["refreshed"] and listed["as_of"] and listed["unreached"] is None
    shown = council.writ("scope", "show", "--scope", other)
    assert shown["epoch"] == 2 and shown["refreshed"]
    assert council.writ("policy", "show", "--scope", other)["epoch"] == 2
    # so is the comparison, which would else compare with the epoch before
    changed = council.writ("policy", "diff", "--scope", other)
    assert changed["epoch"] == 2 and "made from epoch 1" in changed["refused"]
    # what this governor's node has heard of a member
    node = council.path("a") / "a.toml"
    address = next(
        line.split('"')[1] for line in node.read_text().splitlines() if line.startswith("listen")
    )
    council.writ("ping", f"coap://{address}", "--node", "pump")
    wait_for(lambda: council.writ("member", "show", "pump")["last_heard"])
    found = council.writ("member", "show", "pump")
    assert found["address"].startswith("127.0.0.1:") and found["epoch"] == 2
    assert found["short_address"] != found["address"] and found["expires"]
    text = council.run("member", "list").stdout
    assert "IP address" in text and "short address" in text and "refreshed now" in text


def test_a_view_says_what_it_could_not_reach(council: Council) -> None:
    council.stop_all()
    listed = council.writ("member", "list")
    assert not listed["refreshed"] and listed["unreached"] and listed["as_of"]
    assert {one["name"] for one in listed["members"]} >= {"pump"}
    ran = council.run("member", "list")
    assert "not refreshed" in ran.stderr and "ago" in ran.stderr


def test_a_folder_without_a_daemon_is_the_scope(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.create()
    rig.admit("gw", "gateway")
    listed = rig.ok("member", "list")
    assert not listed["refreshed"] and listed["unreached"] is None
    assert "newest certified time" in rig.run("scope", "show").out
