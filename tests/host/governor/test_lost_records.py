"""A governor that has lost one of its records: it names the file and the way back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ceremonies_rig import Network
from council_rig import Council, finish, founded, wait_for
from daemon_rig import Driven, found
from measure.committee import POLICY

from writ_host.governor.join import LedgerLost


def test_a_seat_without_its_ledger_stops_the_governor(tmp_path: Path) -> None:
    driven = Driven(tmp_path / "anna", found())
    with pytest.raises(LedgerLost, match=r"ledger\.db does not hold .* in anna\.seat") as caught:
        driven.start()
    assert "writ governor restore" in caught.value.advice
    assert "writ governor change DIR --remove anna --add anna.toml" in caught.value.advice
    # the empty ledger that the first start made is none either
    with pytest.raises(LedgerLost):
        driven.start()


def test_a_ledger_without_its_seat_is_reported(tmp_path: Path) -> None:
    driven = Driven(tmp_path / "anna", found(), has_seat=False)
    driven.write_genesis()
    daemon = driven.start()
    (event,) = driven.events[1:2]
    assert event[0] == "seat-lost" and "anna.seat is missing" in event[1]
    assert "--remove anna --add anna.toml" in event[1]
    assert daemon.governor.state == "no seat" and not driven.named("waiting")
    daemon.close()


def test_a_new_governor_still_waits_for_an_invitation(tmp_path: Path) -> None:
    driven = Driven(tmp_path / "anna", found(), has_seat=False)
    daemon = driven.start()
    assert driven.named("waiting") and not driven.named("seat-lost")
    daemon.close()


def test_a_founding_that_is_not_done_needs_no_ledger_of_a_scope() -> None:
    """Its seat is saved before the first capsules are signed."""
    network = Network(("anna", "ben", "carl", "dora"))
    network.invite(network.invitation())
    anna = network["anna"]
    network.run(lambda: anna.process.seat is not None)
    assert not anna.seats
    anna.kill()
    network.run(lambda: anna.process is not None)
    assert anna.process.is_founding
    network.run(network.founded)
    # a seat that no ceremony of this daemon made
    anna.files.data.clear()
    anna.start()
    assert anna.process.seat is not None and not anna.process.is_founding


# --- real processes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def council(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Council]:
    with founded(tmp_path_factory.mktemp("council"), POLICY) as council:
        yield council


@pytest.mark.slow
def test_a_governor_joins_anew_without_its_ledger(council: Council) -> None:
    council.stop("d")
    for path in council.path("d").glob("ledger.db*"):
        path.unlink()
    ran = council.run("governor", "run", "d")
    assert ran.returncode == 1 and "ledger.db" in ran.stderr, ran
    assert "--remove d --add d.toml" in ran.stderr
    # as the message says
    shutil.move(council.path("d") / "d.seat", council.root / "d.seat")
    council.start("d")
    words = ("governor", "change", "a", "--remove", "d", "--add", "d/d.toml", "--yes", "--json")
    command = council.begin(*words)
    council.approve("b", "c", "d")
    wait_for(lambda: council.ask("d", "status")["state"] != "no seat", council.log("d"))
    # its key share is not in force: it is no former governor
    assert council.ask("d", "status")["state"] == "learning"
    assert "signs nothing" in council.run("governor", "status", "d").stdout
    council.approve("b", "c")
    assert finish(command)["in_force"]
    wait_for(lambda: council.ask("d", "status")["state"] == "seated", council.log("d"))
