"""Requests from IP to a node that sleeps: how long the gateway waits, and what it says then."""

import time

import pytest
from airfield_rig import SENSOR
from proxy_rig import GATE, Site, why

from writ.limits import AWAKE_S_MAX
from writ.sleeper import Sleeper
from writ.wire import coap
from writ_host.node import asleep, behind

SLEEP_S = 120


class SleepySite(Site):
    """A `Site` whose "pump", beside the relay, sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.node("pump", 4, SENSOR, sleep_s=SLEEP_S)
        self.cut |= {("gate", "pump"), ("pump", "gate"), ("soil", "pump"), ("pump", "soil")}
        self.settle()
        self.desk()

    def settle(self) -> None:
        """Let "pump" do what is due, and sleep."""
        self.asleep.discard("pump")
        frames = self.frames["pump"]
        frames.sleeper = Sleeper(frames, SLEEP_S, self.now_ms + 1000 * AWAKE_S_MAX)
        assert self.run(lambda: frames.sleeper.is_ready(self.now_ms), 600)
        frames.sleeper = None
        self.asleep.add("pump")


PUMP = f"mesh:0004 via {GATE}"


@pytest.fixture
def site() -> SleepySite:
    return SleepySite()


def test_a_refusal_says_that_the_node_sleeps(site: SleepySite) -> None:
    start_ms = site.now_ms
    answer = site.fetch("desk", "temp", PUMP)
    assert site.now_ms - start_ms <= 1000 * behind.WAIT_S
    # by the report of the node; the gateway is not its parent
    assert why(answer) == b"84 TimedOut 120"
    # its parent knows when it was heard
    hill = site.nodes["hill"], site.frames["hill"].mesh
    found = asleep.known(*hill, 4, site.now_ms)
    assert found and found.sleep_s == SLEEP_S and 38 <= (found.heard_s or 0) < SLEEP_S
    assert asleep.known(*hill, 3, site.now_ms) is None


def test_the_gateway_waits_for_the_window_of_a_node_that_sleeps(site: SleepySite) -> None:
    # as long as the requester says that it waits
    site.desks["desk"][2].deadline = time.monotonic() + 200
    answers = site.begin("desk", "temp", PUMP)
    site.run(seconds=90)
    assert not answers
    # the first message of the handshake waits at the parent; the rest follows in that window
    site.settle()
    assert site.run(lambda: answers, 5)
    assert (answers[0].code, answers[0].payload) == (coap.CONTENT, b"21.5")


@pytest.mark.parametrize("wait", ["9999", "0239", "", "-1", "1e3", "²", "12345"])
def test_a_requester_cannot_hold_a_place_for_long(site: SleepySite, wait: str) -> None:
    inner = coap.Message(coap.CON, coap.GET, 1, b"", b"")
    inner.add_path("temp")
    for address, longest_s in (("0004", 240), ("0003", 38)):
        if address == "0003":
            # of a node that does not sleep no requester waits longer
            site.cut |= {("soil", "hill"), ("hill", "soil")}
        start_ms = site.now_ms
        query = [f"to={address}", f"wait={wait}"]
        answer = site.fetch(
            "desk",
            behind.PATH,
            "10.0.0.1:5683",
            coap.POST,
            inner.encode(),
            query=query,
            seconds=300,
        )
        took_s = (site.now_ms - start_ms) / 1000
        assert answer.payload.startswith(b"84 TimedOut")
        expected_s = longest_s if wait in ("9999", "0239") else 38
        assert expected_s - 2 <= took_s <= expected_s + 1
