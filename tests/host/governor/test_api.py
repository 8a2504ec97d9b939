"""The operators' API of a daemon in this process."""

from pathlib import Path

from daemon_rig import Driven, found

from writ_host.governor.api import Api
from writ_host.scope.folder import now_s
from writ_host.scope.validation import CLOCK_JUMP_S_MAX


def test_a_beacon_after_a_long_time_is_a_proposal(tmp_path: Path) -> None:
    driven = Driven(tmp_path / "anna", found())
    driven.write_genesis()
    api = Api(driven.start().governor)
    assert api.answer({"do": "beacon"})["proposal"] is None
    driven.daemon.close()
    driven.clock_s = lambda: now_s() + CLOCK_JUMP_S_MAX + 60
    api = Api(driven.start().governor)
    proposal = api.answer({"do": "beacon"})["proposal"]
    assert (proposal["kind"], proposal["operators"], proposal["state"]) == ("beacon", 3, "open")
    shown = api.answer({"do": "find", "id": proposal["id"].hex()})
    assert any("approval of its own operator" in line for line in shown["lines"])
    # the same command, run again, continues with it
    assert api.answer({"do": "beacon"})["proposal"]["id"] == proposal["id"]
    driven.daemon.close()
