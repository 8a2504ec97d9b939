"""The resource `founding`: how a daemon refuses parties without a session."""

from typing import Any

import pytest
from ceremonies_rig import Network

from writ.errors import (
    BadShape,
    NotAllowed,
    NotFound,
    RateLimited,
    Rejection,
    TableFull,
    WrongMethod,
    WrongScope,
)
from writ.wire import coap
from writ_host.governor.ceremonies.endpoint import FoundingEndpoint
from writ_host.governor.ledger.failstop import LedgerFailed

FOUR = ["anna", "ben", "carl", "dora"]
ID = bytes(32).hex()


class Rig:
    """The endpoint of anna's daemon."""

    def __init__(self) -> None:
        self.network: Any = Network(FOUR)
        self.ceremonies = self.network["anna"].process
        self.endpoint = FoundingEndpoint(self.ceremonies, lambda: None)

    def invitation(self) -> bytes:
        return bytes(self.network.invitation().to_bytes())

    def invite(self, raw: bytes, source: str = "10.0.0.1:5") -> tuple[int, bytes]:
        return self.endpoint.serve(coap.POST, (), raw, source)

    def refuse(self, raw: bytes, source: str = "10.0.0.1:5") -> Rejection:
        with pytest.raises(Rejection) as caught:
            self.invite(raw, source)
        return caught.value


@pytest.mark.parametrize(
    "path", [(), (ID,), ("x",), (ID, "0"), (ID, "x"), (ID, "1", "2"), (ID, "9" * 9)]
)
def test_what_is_not_there_is_not_found(path: tuple[str, ...]) -> None:
    with pytest.raises(NotFound):
        Rig().endpoint.serve(coap.GET, path, b"", "10.0.0.1:5")


def test_an_invitation_goes_to_founding_alone() -> None:
    with pytest.raises(WrongMethod):
        Rig().endpoint.serve(coap.POST, (ID,), b"", "10.0.0.1:5")


def test_each_refused_invitation_has_a_rejection_of_its_own() -> None:
    rig = Rig()
    listed = [rig.invitation() for _ in range(5)]
    assert type(rig.refuse(b"x")) is BadShape
    assert rig.invite(listed[0])[0] == coap.CHANGED
    # the same one again is answered with its state
    assert rig.invite(listed[0])[0] == coap.CHANGED
    assert type(rig.refuse(listed[1], "10.0.0.2:5")) is RateLimited
    rig.network.idle(3)
    rig.invite(listed[1], "10.0.0.2:5")
    rig.network.idle(3)
    full = rig.refuse(listed[2], "10.0.0.3:5")
    assert type(full) is TableFull and "2 invitations are pending at anna" in str(full)
    # a new invitation replaces the one of its sender, which never comes back
    rig.invite(listed[3], "10.0.0.2:5")
    assert type(rig.refuse(listed[1], "10.0.0.2:5")) is NotAllowed


def test_a_governor_with_a_seat_refuses_every_invitation() -> None:
    rig = Rig()
    network = rig.network
    network.invite(network.invitation())
    network.run(network.founded)
    rejection = rig.refuse(rig.invitation())
    assert type(rejection) is WrongScope and "anna has a seat in" in str(rejection)


def test_an_error_of_the_ledger_is_not_answered() -> None:
    """Its text names files of this machine, and the daemon must stop."""
    rig = Rig()

    def fail(*_: object) -> None:
        raise LedgerFailed("/home/anna/ledger.db: disk I/O error")

    rig.network["anna"].files.put = fail
    with pytest.raises(LedgerFailed):
        rig.invite(rig.invitation())


def test_an_invitation_in_a_flood_costs_no_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    first, second = rig.invitation(), rig.invitation()
    rig.invite(first)
    monkeypatch.setattr(rig.ceremonies, "_build", lambda *_: pytest.fail("it was built"))
    assert type(rig.refuse(second, "10.0.0.2:5")) is RateLimited
