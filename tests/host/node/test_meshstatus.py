"""The mesh of a node's status as text: airtime against the budget, neighbours and their names."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from writ_host.node import meshstatus

NAMES = {1: "gate", 2: "hill", 3: "soil"}
MESH: dict[str, Any] = {
    "rank": 2,
    "gateway": 1,
    "parents": [2],
    "waiting": 0,
    "links": [
        [
            2, 4430, 36000, [[0, 1430, 360000], [1, 3000, None], [15, 0, 0]],
            [[2, 3000], [0, 200], [9, 30]], {"NoAnswer": 2}, None,
        ],
        [1, 0, None, [], [], {}, "no such port"],
    ],
    "sleep_s": 900,
    "requesters": [[1, 3100, 12], [9, 200, 1]],
    "sleepers": [[3, 900, 90, 2], [9, 3600, None, None], [8, 60, 200, 0]],
    "neighbours": [[3, 0, 255, False, 128, None, 90], [2, 0, 1, True, 256, -7, 3]],
}  # fmt: skip


def test_the_mesh_as_text() -> None:
    shown = meshstatus.describe_mesh(MESH, NAMES)
    assert shown["mesh"] == "2 hops to the gateway gate (0001), by hill (0002)"
    assert shown["link 0"] == (
        "lora: [##..................] 12.3% of the budget: 4.4 s of 36.0 s in the last hour, as far"
        " as the node knows"
    )
    assert shown["link 0 sent most for"] == "hill (0002) 3.0 s, strangers 0.2 s, 0009 0.0 s"
    assert shown["link 0 counters"] == "NoAnswer 2"
    assert shown["link 1"] == (
        "serial: 0.0 s in the last hour, as far as the node knows, no duty cycle"
    )
    assert shown["link 1 problem"] == "no such port"
    assert meshstatus.class_rows(MESH) == [
        ("0", "0 governance", "1.4 s", "0.4% of 360.0 s"),
        ("0", "1 requests", "3.0 s", "all"),
        ("0", "15 join", "0.0 s", "none"),
    ]
    assert meshstatus.neighbour_rows(MESH, NAMES) == [
        ("hill (0002)", "0", "1", "parent 1", "100%", "-7 dB", "3 s ago"),
        ("soil (0003)", "0", "none", "not greeted", "50%", "", "1 min 30 s ago"),
    ]


def test_an_account_that_is_younger_than_an_hour_says_so() -> None:
    mesh = {key: value for key, value in MESH.items() if key != "sleep_s"}
    since = "4.4 s of 36.0 s since the start 5 min ago"
    known = "4.4 s of 36.0 s in the last 5 min"
    hour = "4.4 s of 36.0 s in the last hour"
    # airtime_s is of a host, which keeps the account over a restart
    for known_s, uptime_s, text in (
        (None, 300, since),
        (None, 3600, hour),
        (None, None, hour),
        (None, "x", hour),
        (300, 300, known),
        (300, 10, known),
        (300, 9000, known),
        (3600, 300, hour),
        ("x", 300, since),
    ):
        account = {} if known_s is None else {"airtime_s": known_s}
        shown = meshstatus.describe_mesh({**mesh, **account}, NAMES, uptime_s)
        assert str(shown["link 0"]).endswith(text)
    shown = meshstatus.describe_mesh({**MESH, "airtime_s": 300}, NAMES)
    assert str(shown["link 0"]).endswith(known)


def test_the_mesh_as_a_document() -> None:
    found = meshstatus.document(MESH, NAMES)
    assert found["links"][0]["classes"][0] == {"class": 0, "spent_ms": 1430, "allowed_ms": 360000}
    assert found["links"][0]["noisiest"][0] == {"address": 2, "name": "hill", "spent_ms": 3000}
    assert found["links"][1]["kind"] == "serial" and found["links"][1]["budget_ms"] is None
    assert found["neighbours"][1]["name"] == "hill" and found["neighbours"][1]["snr_db"] == -7


def test_nodes_that_sleep() -> None:
    assert meshstatus.describe_mesh(MESH, NAMES)["sleep"] == "at most 15 min at a time"
    assert meshstatus.sleeper_rows(MESH, NAMES) == [
        ("soil (0003)", "15 min", "1 min 30 s ago", "within 13 min 30 s", "2"),
        ("0009", "1 h", "", "", ""),
        ("0008", "1 min", "3 min 20 s ago", "overdue by 2 min 20 s", "0"),
    ]
    found = meshstatus.document(MESH, NAMES)
    assert found["sleep_s"] == 900
    assert found["sleepers"][0] == {
        "address": 3, "name": "soil", "sleep_s": 900, "heard_s": 90, "waiting": 2,
    }  # fmt: skip
    # of a node without sleep, and of an older version
    assert "sleep" not in meshstatus.describe_mesh({"rank": 0}, {})
    assert meshstatus.sleeper_rows({}, NAMES) == []


def test_who_has_spent_the_airtime_of_requests_from_ip() -> None:
    shown = meshstatus.describe_mesh(MESH, NAMES)
    assert shown["requests from IP"] == "gate (0001) 3.1 s for 12, 0009 0.2 s for 1"
    found = meshstatus.document(MESH, NAMES)["requesters"]
    assert found[0] == {"address": 1, "name": "gate", "spent_ms": 3100, "requests": 12}


def test_a_gateway_and_a_node_without_a_way() -> None:
    assert meshstatus.describe_mesh({"rank": 0}, {})["mesh"] == "gateway"
    for rank in (None, 255):
        assert meshstatus.describe_mesh({"rank": rank}, {})["mesh"] == "no way to a gateway"


def test_the_least_airtime_is_seen_and_more_than_all_fits() -> None:
    assert meshstatus.bar(0) == "[" + 20 * "." + "]"
    assert meshstatus.bar(0.0001).startswith("[#.")
    assert meshstatus.bar(1.7) == "[" + 20 * "#" + "]"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(sorted(MESH)), VALUES | st.lists(st.lists(VALUES))))
def test_any_mesh_can_be_shown(mesh: dict[str, Any]) -> None:
    meshstatus.describe_mesh(mesh, NAMES)
    meshstatus.class_rows(mesh)
    meshstatus.neighbour_rows(mesh, NAMES)
    meshstatus.sleeper_rows(mesh, NAMES)
    meshstatus.document(mesh, NAMES)
