"""Requests from IP to a node that sleeps: in its window, in blocks, and after it was given up."""

import time
from typing import Any

import pytest
from airfield_rig import RELAY, SENSOR
from proxy_rig import GATE, Site, why

from writ.limits import AWAKE_S_MAX
from writ.node.call import Answer
from writ.sleeper import Sleeper
from writ.wire import coap

SLEEP_S = 120
PUMP = f"mesh:0004 via {GATE}"


class WakingSite(Site):
    """A `Site` whose "pump", behind the relay, wakes each SLEEP_S. taken: bodies of its PUTs."""

    def __init__(self) -> None:
        super().__init__()
        # the rules let others write to relays
        pump = self.node("pump", 4, SENSOR | RELAY, sleep_s=SLEEP_S)
        self.cut |= {("gate", "pump"), ("pump", "gate"), ("soil", "pump"), ("pump", "soil")}
        self.taken: list[bytes] = []
        pump.resource("level", methods=("PUT",))(self._put)
        self.desk()
        self.wake_ms = self.now_ms
        self._turn()
        assert self.until(lambda: "pump" in self.asleep)
        # the handshake of the two ends
        assert self.patient("temp").payload == b"21.5"
        assert self.until(lambda: "pump" in self.asleep)

    def _put(self, request: Any) -> bytes:
        self.taken.append(bytes(request.payload))
        return b""

    def _turn(self) -> None:
        """Let the pump wake when that is due, and sleep when it is ready."""
        frames = self.frames["pump"]
        if frames.sleeper is None and self.now_ms >= self.wake_ms:
            self.asleep.discard("pump")
            end_ms = self.now_ms + 1000 * AWAKE_S_MAX
            frames.sleeper = Sleeper(frames, SLEEP_S, end_ms)
        elif frames.sleeper and frames.sleeper.is_ready(self.now_ms):
            frames.sleeper = None
            self.asleep.add("pump")
            self.wake_ms = self.now_ms + 1000 * SLEEP_S

    def until(self, condition: Any, seconds: int = 400) -> Any:
        """Run until a condition holds, while the pump sleeps and wakes; whether it does."""
        end_ms = self.now_ms + 1000 * seconds
        while self.now_ms < end_ms and not condition():
            self._turn()
            self.step()
        return condition()

    def patient(self, path: str, **more: Any) -> Answer:
        """The answer to a request of the desk that waits for the next window."""
        self.desks["desk"][2].deadline = time.monotonic() + 10_000
        return self.call(path, **more)

    def call(self, path: str, **more: Any) -> Answer:
        """The answer to a request of the desk."""
        answers = self.begin("desk", path, PUMP, **more)
        assert self.until(lambda: answers)
        self.desks["desk"][2].deadline = None
        return answers[0]


@pytest.fixture
def site() -> WakingSite:
    return WakingSite()


@pytest.mark.parametrize("size", [20, 900, 2000])
def test_a_body_of_any_length_is_taken_in_one_window(site: WakingSite, size: int) -> None:
    body = bytes(number & 255 for number in range(size))
    start_ms = site.now_ms
    answer = site.patient("level", method=coap.PUT, payload=body)
    assert answer.code == coap.CHANGED
    assert site.taken == [body]
    # the blocks that follow the first one are in its window, and none waits for another one
    assert 1000 * (SLEEP_S - 60) < site.now_ms - start_ms < 1000 * (SLEEP_S + 30)
    assert site.until(lambda: "pump" in site.asleep, 60)


def test_a_request_that_is_late_is_carried_out_once_and_its_answer_ends_nowhere(
    site: WakingSite,
) -> None:
    answer = site.call("level", method=coap.PUT, payload=b"late")
    assert why(answer).startswith(b"84 TimedOut 120")
    assert site.taken == []
    legs = len(site.legs)
    assert site.until(lambda: site.taken, SLEEP_S)
    assert site.until(lambda: "pump" in site.asleep, 60)
    assert site.taken == [b"late"]
    # nothing goes to the requester, and nothing is left at the gateway
    assert len(site.legs) == legs
    assert site.proxy.next_ms(site.now_ms) is None
    assert not site.until(lambda: len(site.taken) > 1, 3 * SLEEP_S)
    # the session of the two goes on
    assert site.patient("temp").payload == b"21.5"


def test_a_body_whose_first_block_is_late_changes_nothing(site: WakingSite) -> None:
    answer = site.call("level", method=coap.PUT, payload=b"x" * 900)
    assert why(answer).startswith(b"84 TimedOut")
    assert not site.until(lambda: site.taken, 2 * SLEEP_S)
    answer = site.patient("level", method=coap.PUT, payload=b"y" * 900)
    assert answer.code == coap.CHANGED
    assert site.taken == [b"y" * 900]
