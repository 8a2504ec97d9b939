"""Host names are looked up without waiting: limits of time, threads, names and rate."""

from collections.abc import Iterator

import pytest
from dns_rig import Names, fake_names, until

from writ.authority.ratelimit import TokenBucket
from writ_host.errors import NotReachable
from writ_host.node.plainclient import PlainClient
from writ_host.node.resolver import AGAIN_MS, LIMIT_MS, RETRY_MS, Resolver, look_up


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    yield from fake_names(monkeypatch)


class Rig:
    """A resolver whose time a test sets."""

    def __init__(self, *limits: int, rate_limit: TokenBucket | None = None) -> None:
        self.now_ms = 0
        self.resolver = Resolver(lambda: self.now_ms, rate_limit, *limits)

    def resolve(self, host: str) -> str:
        return self.resolver.resolve(host)

    def wait_for(self, host: str, address: str) -> None:
        until(lambda: self.resolve(host) == address)

    def wait_until_idle(self) -> None:
        until(lambda: not self.resolver._threads)


def test_a_name_server_that_hangs_holds_up_nothing(names: Names) -> None:
    names.addresses = {"gate.farm": "10.0.0.1", "well.farm": "10.0.0.2"}
    names.hanging = {"well.farm"}
    rig = Rig()
    assert rig.resolve("well.farm") == ""
    rig.wait_for("gate.farm", "10.0.0.1")
    assert rig.resolve("well.farm") == ""
    # a late answer counts
    names.release()
    rig.wait_for("well.farm", "10.0.0.2")
    assert not names.in_main_thread


def test_a_name_has_one_look_up_at_a_time(names: Names) -> None:
    names.hanging = {"well.farm"}
    rig = Rig()
    for _ in range(50):
        rig.now_ms += AGAIN_MS
        assert rig.resolve("well.farm") == ""
    assert names.asked == ["well.farm"]


def test_a_look_up_over_its_time_limit_leaves_its_place(names: Names) -> None:
    names.addresses = {"gate.farm": "10.0.0.1"}
    names.hanging = {"a.farm", "b.farm"}
    rig = Rig(2, 16, 128)
    for _ in range(3):
        assert [rig.resolve(host) for host in ("a.farm", "b.farm", "gate.farm")] == [""] * 3
    assert "gate.farm" not in names.asked
    rig.now_ms += LIMIT_MS
    rig.wait_for("gate.farm", "10.0.0.1")


def test_the_number_of_threads_is_bounded(names: Names) -> None:
    listed = [f"h{number}.farm" for number in range(9)]
    names.hanging = set(listed)
    rig = Rig(2, 4, 128)
    for host in listed * 3:
        rig.resolve(host)
        rig.now_ms += LIMIT_MS
    assert rig.resolver._threads == 4 and len(names.asked) <= 4


def test_the_table_of_names_is_bounded(names: Names) -> None:
    names.addresses = {"gate.farm": "10.0.0.1"}
    rig = Rig(4, 16, 8)
    rig.wait_for("gate.farm", "10.0.0.1")
    for number in range(100):
        rig.resolve(f"h{number}.farm")
        rig.wait_until_idle()
        # a name that is in use stays
        assert rig.resolve("gate.farm") == "10.0.0.1"
        assert len(rig.resolver) <= 8
    names.hanging = {f"slow{number}.farm" for number in range(9)}
    rig = Rig(16, 16, 8)
    for host in sorted(names.hanging):
        rig.resolve(host)
    assert len(rig.resolver) == 8


def test_an_address_is_looked_up_again_and_kept_when_that_fails(names: Names) -> None:
    names.addresses = {"gate.farm": "10.0.0.1"}
    rig = Rig()
    rig.wait_for("gate.farm", "10.0.0.1")
    rig.now_ms += AGAIN_MS - 1
    rig.resolve("gate.farm")
    assert names.asked == ["gate.farm"]
    names.addresses.clear()
    rig.now_ms += 1
    assert rig.resolve("gate.farm") == "10.0.0.1"
    rig.wait_until_idle()
    assert rig.resolve("gate.farm") == "10.0.0.1"
    # a failure is repeated sooner: the network may have been down
    names.addresses = {"gate.farm": "10.0.0.9"}
    rig.now_ms += RETRY_MS
    rig.wait_for("gate.farm", "10.0.0.9")
    assert names.asked == ["gate.farm"] * 3


def test_a_rate_limit_bounds_the_look_ups(names: Names) -> None:
    rig = Rig(rate_limit=TokenBucket(3, 1000))
    for number in range(20):
        rig.resolve(f"h{number}.farm")
        rig.wait_until_idle()
    assert len(names.asked) == 3
    rig.now_ms += 1000
    rig.resolve("gate.farm")
    rig.wait_until_idle()
    assert names.asked[3:] == ["gate.farm"]


def test_a_name_that_python_cannot_encode_is_not_found() -> None:
    # the real resolver raises a UnicodeError for an empty label
    rig = Rig()
    assert rig.resolve("b..x") == ""
    rig.wait_until_idle()
    assert rig.resolve("b..x") == "" and rig.resolver._names["b..x"].due_ms == RETRY_MS


# --- commands -------------------------------------------------------------------------------------


def test_a_command_names_a_name_server_that_hangs(names: Names) -> None:
    names.hanging = {"gate.farm"}
    with pytest.raises(NotReachable, match="the name server gave no answer within 0"):
        PlainClient("gate.farm:5683", 0.1)
    assert not names.in_main_thread


def test_a_command_names_a_host_that_is_not_found(names: Names) -> None:
    names.addresses = {"gate.farm": "10.0.0.1"}
    assert look_up("gate.farm", 10) == "10.0.0.1"
    with pytest.raises(NotReachable, match="well"):
        look_up("well.farm", 10)


def test_a_command_names_a_host_that_python_cannot_encode() -> None:
    with pytest.raises(NotReachable, match="not a host name"):
        look_up("b..x", 10)
