"""The errors of calls that a gateway has not passed on."""

import pytest

from writ.errors import ClassAirtime, NoRoute, TimedOut
from writ_host.errors import Asleep, HostError, NotReachable, RefusedByNode
from writ_host.node.behind import NotPassedOn
from writ_host.node.callerror import no_answer, to_error
from writ_host.target import Target

SOIL = Target("soil", None, "temp")


def error_of(text: bytes) -> Exception:
    """The error for a request that the gateway has refused with this text."""
    rejection = NotPassedOn()
    rejection.text, rejection.via = text, "10.0.0.1:5683"
    return to_error(rejection, "desk", SOIL, "mesh:0003 via 10.0.0.1:5683")


@pytest.mark.parametrize("kind", [NoRoute, ClassAirtime])
def test_a_refusal_names_the_gateway_and_the_node(kind: type[NoRoute]) -> None:
    error = error_of(b"%d %s" % (kind.code, kind.__name__.encode()))
    assert isinstance(error, RefusedByNode) and error.code == kind.code
    assert f"the gateway 10.0.0.1:5683 passes nothing to soil: {kind.__name__}" in str(error)


def test_a_node_that_does_not_answer_is_not_known_to_sleep() -> None:
    for text in (b"", b" ", b" x", b" -900", b" 900 x", b" 900 1 2", b" 999999"):
        error = error_of(b"%d TimedOut%s" % (TimedOut.code, text))
        assert isinstance(error, NotReachable) and not isinstance(error, Asleep)
        assert "has not heard from it that it sleeps" in error.advice


@pytest.mark.parametrize(
    ("text", "said", "advice"),
    [
        (b"120", "it sleeps for at most 2 min", "--timeout 160."),
        (
            b"120 30",
            "it sleeps for at most 2 min, last heard 30 s ago, expected within 1 min 30 s",
            "--timeout 160.",
        ),
        (
            b"900 120",
            "sleeps for at most 15 min, last heard 2 min ago, expected within 13 min",
            "call it shortly before 13 min are over, --timeout 240.",
        ),
        (b"900 1000", "overdue by 1 min 40 s", "call it when it is about to wake, --timeout 240."),
    ],
)
def test_a_refusal_says_for_how_long_a_node_sleeps(text: bytes, said: str, advice: str) -> None:
    error = error_of(b"%d TimedOut %s" % (TimedOut.code, text))
    assert isinstance(error, Asleep) and said in str(error) and advice in error.advice


def test_a_time_out_names_the_gateway_and_the_node() -> None:
    gateway = "10.0.0.1:5683"
    place = f"mesh:0003 via {gateway}"
    one = f"no answer from soil behind the gateway {gateway}"
    # of the proxy, of a timer on this side, and of the call's own time
    ended = [error_of(b"%d TimedOut" % TimedOut.code), no_answer(SOIL, place, ())]
    ended.append(to_error(TimedOut(), "desk", SOIL, place))
    assert {str(error) for error in ended} == {one}
    for error in (
        no_answer(SOIL, place, {gateway}),
        to_error(TimedOut(), "desk", SOIL, place, {gateway}),
    ):
        assert isinstance(error, NotReachable) and "that the gateway runs" in error.advice
        assert str(error) == f"the gateway {gateway} of soil does not answer"
    # without a gateway nothing changes
    assert str(no_answer(SOIL, gateway, {gateway})) == f"no answer from soil at {gateway}"


def test_a_gateway_that_answers_otherwise_passes_no_requests_on() -> None:
    error = error_of(b"\xff")
    assert isinstance(error, HostError) and not isinstance(error, RefusedByNode)
    assert "10.0.0.1:5683 does not pass requests to soil" in str(error)
