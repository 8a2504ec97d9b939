"""A beacon far ahead, with daemons: each governor's own operator decides; and the way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from council_rig import Council, finish, founded, wait_for

from writ_host.scope.clock import CLOCK_JUMP_S_MAX

pytestmark = pytest.mark.slow

AHEAD_S = CLOCK_JUMP_S_MAX + 20 * 86400


@pytest.fixture
def council(tmp_path: Path) -> Iterator[Council]:
    with founded(tmp_path) as council:
        yield council


def test_all_operators_decide_about_a_beacon_far_ahead(council: Council) -> None:
    right = council.writ("scope", "beacon")["time"]
    council.set_clocks(AHEAD_S)
    error = council.writ("scope", "beacon", code=1)["error"]
    assert error["name"] == "ClockJump" and "--time-jump" in error["advice"]
    words = ("scope", "beacon", "--time-jump", "--json", "--wait")
    command = council.begin(*words, 50)
    council.approve("a", "b")
    # two operators of three: governors c and d sign nothing without their own
    wait_for(lambda: len(council.ask("c", "find", id=council.waiting("c"))["approvals"]) == 2)
    view = council.ask("c", "find", id=council.waiting("c"))
    assert (view["state"], view["operators"]) == ("open", 3)
    assert any("approval of its own operator" in line for line in view["lines"])
    assert council.ask("a", "state")["beacon"] == council.ask("d", "state")["beacon"] != ""
    assert command.poll() is None
    council.approve("c")
    made = finish(command)
    assert made["time"] >= right + AHEAD_S
    # from here on the time goes on without operators
    assert council.writ("scope", "beacon")["time"] > made["time"]

    council.set_clocks(0)
    error = council.writ("scope", "beacon", code=1)["error"]
    assert "before the newest certified time" in error["message"]
    # as docs/limits.md says, governors take no time back: at once, not after a timeout
    error = council.writ("scope", "beacon", "--time-jump", code=1)["error"]
    assert "governors sign no older beacon" in error["message"]
    assert "docs/limits.md" in error["advice"]


def test_an_operator_that_denies_keeps_a_beacon_far_ahead_from_being_certified(
    council: Council,
) -> None:
    council.writ("scope", "beacon")
    council.kill("d")
    council.set_clocks(AHEAD_S)
    before = council.ask("a", "state")["beacon"]
    command = council.begin("scope", "beacon", "--time-jump", "--json", "--wait", 5)
    council.approve("a", "b")
    wait_for(lambda: council.waiting("c"))
    id = council.waiting("c")
    council.writ("governor", "deny", "c", id[:12], "--yes", "--reason", "the clock is wrong")
    out, err = command.communicate(timeout=60)
    assert command.returncode != 0, out + err
    assert council.ask("a", "find", id=id)["state"] != "certified"
    assert council.ask("a", "state")["beacon"] == before
    # the way back before anything is certified: the right clock, and nothing else
    council.set_clocks(0)
    assert council.writ("scope", "beacon")["epoch"] == 1
