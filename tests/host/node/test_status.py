"""The status of a node as text."""

from hypothesis import given
from hypothesis import strategies as st

from writ_host.node.status import describe_status


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
