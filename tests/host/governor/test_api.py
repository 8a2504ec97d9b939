"""The operators' API of a daemon in this process."""

from pathlib import Path

import pytest
from daemon_rig import Driven, found

from writ.authority import capsule as capsules
from writ_host.governor.api import Api
from writ_host.governor.ledger.ledger import Ledger
from writ_host.scope import issuance
from writ_host.scope.clock import ClockJump
from writ_host.scope.folder import now_s
from writ_host.scope.issuance import Draft, LocalSigner
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


def test_a_beacon_of_a_wrong_clock_is_named_at_once(tmp_path: Path) -> None:
    """Governors sign no older beacon; the command must not wait for governors that are online."""
    driven = Driven(tmp_path / "anna", found())
    _, policy, *_ = driven.write_genesis()
    later = now_s() + 50 * 86400
    scope_head = capsules.head(capsules.parse(policy).payload)
    payload = capsules.build(capsules.BEACON, [1, scope_head], iat=later)
    signer = LocalSigner(driven.governors)
    ledger = Ledger.open(driven.folder.ledger)
    ledger.capsules.add(issuance.sign([Draft("beacon", payload)], signer))
    ledger.close()
    api = Api(driven.start().governor)
    with pytest.raises(ClockJump, match="governors sign no older beacon"):
        api.answer({"do": "beacon"})
    driven.daemon.close()
