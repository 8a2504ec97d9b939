"""`writ status` without a node: all members in a table, asked side by side."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field_rig import (
    OPERATOR,
    RULES,
    Field,
    build_tree,
    writ,
    writ_json,
    write_book,
)
from interop_rig import HOST, free_port

from writ.limits import REQUESTS_MAX
from writ_host.cli import memberstatus
from writ_host.node.folder import NodeFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    made = Field(tmp_path, tree)
    yield made
    made.stop()


def states(told: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {one["name"]: (one["state"], one["problem"]) for one in told["members"]}


def test_all_members_that_the_folder_knows_are_asked(field: Field) -> None:
    pump = field.device("pump")
    hub = field.host_node("hub", OPERATOR, "--serve", "none")
    node = field.folder("laptop", OPERATOR)
    silent = f"{HOST}:{free_port()}"
    write_book(node, pump=pump.address, hub=hub.address, gone=silent, other=pump.address)
    told = writ_json("status", "--node", node, "--timeout", "5")
    # this node's own state is as before
    assert (told["name"], told["epoch"]) == ("laptop", 1)
    assert states(told) == {
        "laptop": ("this node", None),
        "gone": ("no answer", "TimedOut"),
        # no rule lets an operator read the status of an operator
        "hub": ("online", "NotAllowed"),
        "other": ("refused", "OtherNode"),
        "pump": ("online", None),
    }
    by_name = {one["name"]: one for one in told["members"]}
    assert by_name["pump"]["roles"] == ["sensor"] and by_name["pump"]["is_newest"] is True
    assert (by_name["pump"]["heard_s"], by_name["pump"]["address"]) == (0, pump.address)
    said = writ("status", "--node", node, "--timeout", "5").stdout
    assert "4 other members: 1 no answer, 2 online, 1 refused" in said
    # an older policy is seen
    field.scope.hand(node, field.scope.enact(RULES))
    pump.kill()
    old = {one["name"]: one for one in writ_json("status", "--node", node)["members"]}
    assert (old["laptop"]["epoch"], old["laptop"]["is_newest"]) == (2, True)
    assert old["pump"]["state"] == "no answer"


def test_members_that_are_silent_hold_up_no_others(field: Field) -> None:
    # more than a node has places for requests
    silent = {f"gone-{number}": f"{HOST}:{free_port()}" for number in range(REQUESTS_MAX + 8)}
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    write_book(node, **silent, pump=pump.address)
    told = states(writ_json("status", "--node", node, "--timeout", "1.5"))
    assert told.pop("pump") == ("online", None) and told.pop("laptop")
    assert set(told.values()) == {("no answer", "TimedOut")} and len(told) == len(silent)


def test_no_member_is_asked_offline_or_where_the_node_runs(field: Field) -> None:
    pump = field.device("pump")
    node = field.folder("laptop", OPERATOR)
    write_book(node, pump=pump.address)
    told = writ_json("status", "--node", node, "--offline")
    assert states(told)["pump"] == ("not asked", None)
    with NodeFolder(node):
        said = writ("status", "--node", node)
        assert states(writ_json("status", "--node", node))["pump"] == ("not asked", None)
    assert "no member was asked" in said.output and "is in use" in said.output
    # of a revoked one no member would take a request
    field.scope.hand(node, field.scope.enact(RULES, (bytes.fromhex(told["node"]),)))
    said = writ("status", "--node", node)
    assert "no member was asked: laptop is no member" in said.stdout


def test_a_node_alone_has_no_table(field: Field) -> None:
    node = field.folder("laptop", OPERATOR)
    said = writ("status", "--node", node).stdout
    assert "member    until" in said and "other member" not in said
    assert [one["name"] for one in writ_json("status", "--node", node)["members"]] == ["laptop"]


FIELDS = """name node_id roles state problem sleep_s expected_s epoch is_newest hops has_mesh parent
spent_ms budget_ms heard_s heard_by address""".split()  # noqa: SIM905


def one(**more: Any) -> dict[str, Any]:
    """The document of a member."""
    made = dict.fromkeys(FIELDS)
    return {**made, "name": "soil", "state": "online", "has_mesh": False, **more}


@pytest.mark.parametrize(
    ("document", "cells"),
    [
        ({"state": "asleep", "sleep_s": 900}, {"state": "asleep, at most 15 min"}),
        (
            {"state": "asleep", "sleep_s": 9, "expected_s": 60, "heard_s": 840, "heard_by": "hill"},
            {"state": "asleep, expected within 1 min", "last heard": "14 min ago by hill"},
        ),
        (
            {"state": "asleep", "sleep_s": 60, "expected_s": -61},
            {"state": "asleep, overdue by 1 min 1 s"},
        ),
        ({"sleep_s": 60}, {"state": "online, sleeps at most 1 min", "last heard": "now"}),
        ({"has_mesh": True, "hops": 0, "spent_ms": 360, "budget_ms": 36000},
         {"way": "gateway", "airtime": "1.0%"}),
        ({"has_mesh": True, "hops": 2, "parent": "hill", "spent_ms": 400},
         {"way": "2 hops by hill", "airtime": "0.4 s"}),
        ({"has_mesh": True}, {"way": "no way to a gateway"}),
        ({"epoch": 6, "is_newest": False}, {"epoch": "6 of 7"}),
        ({"address": "10.0.0.7:5683"}, {"way": "IP"}),
        ({"address": "mesh:0003 via 10.0.0.7:5683", "problem": "NotAllowed"},
         {"way": "", "state": "online, status refused: NotAllowed"}),
    ],
)  # fmt: skip
def test_a_row_of_the_table(document: dict[str, Any], cells: dict[str, str]) -> None:
    _, row = memberstatus.rows([one(name="hub", epoch=7, is_newest=True), one(**document)])
    shown = dict(zip(memberstatus.COLUMNS, row, strict=True))
    assert {key: shown[key] for key in cells} == cells
    json.dumps(document)
