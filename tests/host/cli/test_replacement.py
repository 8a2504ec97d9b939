"""A replacement gets the name of a device that was revoked, through real governors."""

import pytest
from council_rig import Council

pytestmark = pytest.mark.slow
ADMIT = ("member", "admit", "--role", "actuator", "--yes", "--no-deliver")


def admitted(council: Council, folder: str, name: str) -> str:
    """Make a device's folder, and have the device admitted by this name; its node id."""
    council.writ("member", "request", folder, "--name", name)
    (member,) = council.with_approval("b", *ADMIT, name)["admitted"]
    return str(member["node_id"])


def test_a_replacement_gets_the_name_after_a_clean_up(council: Council) -> None:
    """The governors refused it as reserved for another node, until that one would have expired."""
    admitted(council, "lamp", "lamp")
    old = admitted(council, "pump", "pump")
    council.with_approval("b", "member", "revoke", "pump", "--yes")
    cleaned = council.with_approval("b", "policy", "clean", "--yes")
    assert old in cleaned["dropped"][0] and len(cleaned["renewed"]) == 5
    new = admitted(council, "new", "pump")
    (pump,) = [one for one in council.writ("member", "list")["members"] if one["name"] == "pump"]
    assert (pump["node_id"], pump["state"]) == (new, "ok")
    # a member that the clean-up has renewed keeps its own
    council.writ("member", "request", "rival", "--name", "lamp")
    refused = council.run(*ADMIT, "lamp", "--wait", "5")
    assert "another member has the name lamp" in refused.stderr
