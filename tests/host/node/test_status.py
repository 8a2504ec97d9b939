"""The status of a node as text."""

from pathlib import Path

from cli_rig import Rig
from hypothesis import given
from hypothesis import strategies as st

from writ.agent import Node
from writ_host.node.status import (
    describe_folder,
    describe_status,
    policy_age,
    read_folder_status,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "epoch", "time", "policy", "beacon", "beacon_age_s", "uptime_s", "rejected"]
        ),
        st.none() | st.integers(0, 2**40) | st.text() | st.binary()
        | st.dictionaries(st.text() | st.binary(), st.integers() | st.text(), max_size=3),
    )
)  # fmt: skip
def test_any_status_can_be_shown(told: dict[str, object]) -> None:
    assert "epoch" in describe_status(told, 1)


def test_a_status_without_some_values_is_shown() -> None:
    told = {"epoch": 2, "time": 1_800_000_100, "policy": 1_800_000_000, "rejected": {"Expired": 2}}
    shown = describe_status(told, 3)
    assert shown["epoch"] == "2 (here: 3), head none"
    assert shown["policy"] == "of 2027-01-15 08:00:00Z, at least 1 min 40 s old"
    assert shown["rejected"] == "Expired 2"


def test_an_amended_policy_is_not_dated_by_the_whole_one() -> None:
    told = {"epoch": 2, "time": 1_800_000_100, "policy": 1_800_000_000, "amended": True}
    shown = describe_status(told, 2)
    assert shown["policy"] == "amended since the whole policy of 2027-01-15 08:00:00Z"
    assert policy_age(100, True) == "amended since the whole policy of 1 min 40 s ago"
    assert policy_age(100, False) == "certified 1 min 40 s ago"


def test_a_folder_and_a_node_say_that_their_policy_was_amended(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.create()
    rig.admit("gw", "gateway", "--out", rig.path / "gw")
    rig.admit("w1", "sensor")
    assert not read_folder_status(rig.path / "gw").is_amended
    rig.ok("member", "revoke", "w1", "--yes")
    node = Node.load(str(rig.path / "gw"))
    assert node.server.status(0)["amended"] is False
    node.authority.receive((rig.scope / "amendments/00002.cbor").read_bytes(), 0)
    assert node.server.status(0)["amended"] is True
    found = read_folder_status(rig.path / "gw")
    assert found.is_amended and found.epoch == 2
    assert str(describe_folder(found)["policy"]).startswith("amended since the whole policy of 20")
    whole = (rig.scope / "policies/00002.cbor").read_bytes()
    node.authority.receive(whole, 0)
    assert node.server.status(0)["amended"] is False
