"""The errors of calls that a gateway has not passed on."""

import pytest

from writ.errors import ClassAirtime, NoRoute, TimedOut
from writ_host.errors import HostError, NotReachable, RefusedByNode
from writ_host.node.behind import PassedOn
from writ_host.node.callerror import to_error
from writ_host.target import Target

SOIL = Target("soil", None, "temp")


def error_of(text: bytes) -> Exception:
    """The error for a request that the gateway has refused with this text."""
    rejection = PassedOn()
    rejection.text, rejection.via = text, "10.0.0.1:5683"
    return to_error(rejection, "desk", SOIL, "mesh:0003 via 10.0.0.1:5683")


@pytest.mark.parametrize("kind", [NoRoute, ClassAirtime])
def test_a_refusal_names_the_gateway_and_the_node(kind: type[NoRoute]) -> None:
    error = error_of(b"%d %s" % (kind.code, kind.__name__.encode()))
    assert isinstance(error, RefusedByNode) and error.code == kind.code
    assert f"the gateway 10.0.0.1:5683 passes nothing to soil: {kind.__name__}" in str(error)


def test_a_node_that_does_not_answer_may_be_asleep() -> None:
    error = error_of(b"%d TimedOut" % TimedOut.code)
    assert isinstance(error, NotReachable) and "asleep" in error.advice


def test_a_gateway_that_answers_otherwise_passes_no_requests_on() -> None:
    error = error_of(b"\xff")
    assert isinstance(error, HostError) and not isinstance(error, RefusedByNode)
    assert "10.0.0.1:5683 does not pass requests to soil" in str(error)
