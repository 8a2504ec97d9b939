"""The ledger's reservations of names and short addresses, and the expiries that it signed."""

import pytest
from ledger_rig import (
    NOW,
    YEAR,
    Clock,
    action,
    beacon,
    member,
    member_payload,
    node_of,
    policy,
    reopened,
    succession,
)

from writ.authority import capsule
from writ_host.governor.ledger import reservations
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.ledger.reservations import Reservation

EMIL, FAY = bytes(32), bytes(31) + b"f"


def test_a_name_or_address_is_reserved_for_one_node(ledger: Ledger) -> None:
    assert ledger.reservations.reserve([member_payload("soil", 1)]) is None
    ledger = reopened(ledger)
    assert ledger.reservations.reserve([member_payload("soil", 1)]) is None
    # the same node may be renewed, even with another name
    assert (
        ledger.reservations.reserve([member_payload("soil-2", 1, "soil", NOW + 2 * YEAR)]) is None
    )
    assert "the name soil" in ledger.reservations.reserve([member_payload("soil", 2, "other")])
    assert "the address 1" in ledger.reservations.reserve([member_payload("rain", 1)])
    # a batch with one impossible reservation reserves nothing
    good, bad = member_payload("wind", 9), member_payload("rain", 1)
    assert ledger.reservations.reserve([good, bad]) is not None
    assert ledger.reservations.reserve([member_payload("wind", 9, "another")]) is None
    ledger.close()


def test_a_batch_reserves_each_name_for_one_node(ledger: Ledger) -> None:
    one, two = member_payload("soil", 1), member_payload("soil", 2, "other")
    assert ledger.reservations.reserve([one, two]) is not None
    assert ledger.reservations.reserve([one, member_payload("rain", 1)]) is not None
    assert ledger.reservations.reserve([two]) is None


def test_other_kinds_reserve_nothing(ledger: Ledger) -> None:
    payloads = [capsule.parse(one).payload for one in (beacon(NOW), action(1, NOW + 9))]
    assert ledger.reservations.reserve(payloads) is None
    assert ledger.reservations.count() == 0


def test_a_reservation_expires_with_its_capsule(ledger: Ledger, clock: Clock) -> None:
    ledger.reservations.reserve([member_payload("soil", 1, exp=NOW + 30 * 86400)])
    rival = member_payload("soil", 2, "other")
    clock.now_s = NOW + 30 * 86400 - 1
    assert ledger.reservations.reserve([rival]) is not None
    assert ledger.reservations.reserve([member_payload("rain", 1)]) is not None
    clock.now_s += 1
    assert ledger.reservations.reserve([rival]) is None
    assert ledger.reservations.reserve([member_payload("rain", 1)]) is None


def test_a_revoked_node_holds_no_reservation(ledger: Ledger) -> None:
    ledger.reservations.reserve([member_payload("soil", 1)])
    ledger.capsules.add([policy(1, [node_of("soil")])])
    assert ledger.reservations.reserve([member_payload("soil", 1, "new")]) is None
    assert ledger.reservations.reserve([member_payload("soil", 1)]) is not None


def test_reserved_addresses_count_as_taken(ledger: Ledger) -> None:
    assert ledger.reservations.highest_address() == 0
    ledger.capsules.add([member("soil", 4)])
    ledger.reservations.reserve([member_payload("rain", 7)])
    assert ledger.reservations.highest_address() == 7


def test_reservations_are_bounded(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "RESERVATIONS_MAX", 6)
    two = [member_payload("a", 1, exp=NOW + 5), member_payload("b", 2)]
    assert ledger.reservations.reserve(two) is None
    assert "too many" in ledger.reservations.reserve([member_payload("c", 3)])
    clock.now_s += 10
    # the expiry of a waits for a policy of a later time, whatever this clock says
    assert "too many" in ledger.reservations.reserve([member_payload("c", 3)])
    assert ledger.reservations.signed_until(node_of("a")) == NOW + 5
    ledger.capsules.add([policy(1, iat=NOW + 5)])
    assert ledger.reservations.reserve([member_payload("c", 3)]) is None
    assert ledger.reservations.signed_until(node_of("a")) == 0
    assert ledger.reservations.count() == 6


# --- the latest expiry that was signed for a node -------------------------------------------------


def test_the_latest_expiry_is_kept_whatever_is_signed_after_it(ledger: Ledger) -> None:
    assert ledger.reservations.signed_until(node_of("soil")) == 0
    for days in (30, 90, 60):
        assert ledger.reservations.reserve([member_payload("soil", exp=NOW + days)]) is None
    ledger = reopened(ledger)
    assert ledger.reservations.signed_until(node_of("soil")) == NOW + 90
    assert ledger.reservations.signed_until(node_of("rain")) == 0
    ledger.close()


def test_the_latest_expiry_of_a_batch_counts(ledger: Ledger) -> None:
    """Two proposals for one node, in one batch: the second one replaced what the first had set."""
    batch = [member_payload("soil", exp=NOW + days) for days in (90, 30)]
    assert ledger.reservations.reserve(batch) is None
    assert ledger.reservations.signed_until(node_of("soil")) == NOW + 90
    rows = ledger.reservations.after("", NOW, 9)
    assert {row.until for row in rows} == {NOW + 90} and len(rows) == 3


def test_a_replacement_takes_name_and_address_and_leaves_the_expiry(ledger: Ledger) -> None:
    ledger.reservations.reserve([member_payload("soil", 1, exp=NOW + 90)])
    ledger.capsules.add([policy(1, [node_of("soil")])])
    assert ledger.reservations.reserve([member_payload("soil", 1, "new", NOW + 30)]) is None
    assert ledger.reservations.signed_until(node_of("soil")) == NOW + 90
    assert ledger.reservations.signed_until(node_of("new")) == NOW + 30


def test_the_latest_reported_expiry_counts_too(ledger: Ledger) -> None:
    soil = node_of("soil")
    report(ledger, f"m/{soil.hex()}", "soil", until=NOW + 50)
    assert ledger.reservations.signed_until(soil) == NOW + 50
    ledger.reservations.reserve([member_payload("soil", 1, exp=NOW + 30)])
    report(ledger, f"m/{soil.hex()}", "soil", until=NOW + 40)
    assert ledger.reservations.signed_until(soil) == NOW + 50


# --- void memberships -----------------------------------------------------------------------------


def report(
    ledger: Ledger,
    key: str,
    name: str,
    epoch: int | None = 1,
    until: int = NOW + YEAR,
    reporter: bytes = EMIL,
    most: int = 9,
) -> bool:
    """Another governor reports that `key` is reserved for the node with this name."""
    row = Reservation(key, node_of(name), until, epoch)
    return ledger.reservations.add_reported(reporter, [row], most)


def is_free(ledger: Ledger, name: str = "soil", address: int = 2) -> bool:
    """Whether another node may have the name; reserves nothing that a later call would see."""
    with pytest.raises(ZeroDivisionError), ledger.together():
        found = ledger.reservations.reserve([member_payload(name, address, "new", epoch=9)])
        raise ZeroDivisionError
    return found is None


def test_a_void_membership_holds_no_reservation(ledger: Ledger) -> None:
    """After a clean-up no replacement got the name before the old membership would have expired."""
    ledger.reservations.reserve([member_payload("soil", 1, epoch=3)])
    ledger.capsules.add([policy(4, [node_of("soil")])])
    assert is_free(ledger) and is_free(ledger, "rain", 1)
    # the clean-up frees the id; nodes accept a membership of its epoch
    ledger.capsules.add([policy(5, void_before=3)])
    assert not is_free(ledger) and not is_free(ledger, "rain", 1)
    ledger.capsules.add([policy(6, void_before=4)])
    assert is_free(ledger) and is_free(ledger, "rain", 1)
    assert ledger.reservations.reserve([member_payload("soil", 1, "new", epoch=6)]) is None
    assert ledger.reservations.reserve([member_payload("soil", 1, epoch=6)]) is not None


def test_a_membership_that_names_no_epoch_is_void_after_the_first_clean_up(ledger: Ledger) -> None:
    ledger.reservations.reserve([member_payload("soil", 1)])
    ledger.capsules.add([policy(2)])
    assert not is_free(ledger)
    ledger.capsules.add([policy(3, void_before=1)])
    assert is_free(ledger)


def test_the_newest_epoch_that_was_signed_for_a_node_counts(ledger: Ledger) -> None:
    """A share for the newer capsule was given, whatever is signed before or after it."""
    for epoch, days in ((2, 90), (4, 90), (3, 99)):
        payload = member_payload("soil", 1, epoch=epoch, exp=NOW + days)
        assert ledger.reservations.reserve([payload]) is None
    batch = [member_payload("rain", 7, epoch=epoch, exp=NOW + 90) for epoch in (4, 3)]
    assert ledger.reservations.reserve(batch) is None
    ledger = reopened(ledger)
    ledger.capsules.add([policy(5, void_before=4)])
    for name, address in (("soil", 2), ("tank", 1), ("rain", 2), ("tank", 7)):
        assert not is_free(ledger, name, address)
    ledger.capsules.add([policy(6, void_before=5)])
    assert is_free(ledger) and is_free(ledger, "rain")
    ledger.close()


def test_a_reported_reservation_ends_with_its_epoch_too(ledger: Ledger) -> None:
    report(ledger, "n/soil", "soil", epoch=3)
    report(ledger, "n/soil", "soil", epoch=2, reporter=FAY)
    report(ledger, "a/7", "soil", epoch=2)
    ledger.capsules.add([policy(4, void_before=3)])
    assert not is_free(ledger) and is_free(ledger, "rain", 7)
    ledger.capsules.add([policy(5, void_before=4)])
    assert is_free(ledger)


@pytest.mark.parametrize("epochs", [(None,), (None, 3), (3, None)])
def test_a_report_without_an_epoch_holds_until_it_expires(
    ledger: Ledger, clock: Clock, epochs: tuple[int | None, ...]
) -> None:
    for epoch in epochs:
        report(ledger, "n/soil", "soil", epoch, until=NOW + 90)
    ledger.capsules.add([policy(9, void_before=8)])
    assert not is_free(ledger)
    clock.now_s = NOW + 90
    assert is_free(ledger)


def test_a_void_member_keeps_no_name_that_may_be_anothers(ledger: Ledger) -> None:
    """The name was signed for another node while the member was revoked."""
    ledger.capsules.add([member("soil", 1, epoch=3)])
    report(ledger, "n/soil", "other", epoch=4)
    payload = member_payload("soil", 1, epoch=5)
    ledger.capsules.add([policy(5, void_before=4)])
    assert "may be reserved" in ledger.reservations.reserve([payload])


def test_void_rows_make_room_but_no_expiry_is_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "RESERVATIONS_MAX", 4)
    assert ledger.reservations.reserve([member_payload("soil", 1, epoch=1)]) is None
    report(ledger, "n/well", "well", epoch=None)
    assert "too many" in ledger.reservations.reserve([member_payload("rain", 2, epoch=1)])
    ledger.capsules.add([policy(3, void_before=2)])
    assert "too many" in ledger.reservations.reserve([member_payload("rain", 2, epoch=3)])
    assert ledger.reservations.signed_until(node_of("soil")) == NOW + YEAR
    monkeypatch.setattr(reservations, "RESERVATIONS_MAX", 5)
    assert ledger.reservations.reserve([member_payload("rain", 2, epoch=3)]) is None
    assert not is_free(ledger, "well")


# --- reports of other governors -------------------------------------------------------------------


def test_the_rows_of_a_reporter_are_bounded(ledger: Ledger, clock: Clock) -> None:
    for number in range(9):
        assert report(ledger, f"n/x{number}", "soil", most=3) is (number < 3)
    ledger = reopened(ledger)
    assert not report(ledger, "n/y", "soil", most=3) and is_free(ledger, "y")
    # what is known already takes no room, and each reporter has its own
    assert report(ledger, "n/x0", "soil", most=3, until=NOW + 2 * YEAR)
    assert report(ledger, "n/y", "soil", most=3, reporter=FAY) and not is_free(ledger, "y")
    assert report(ledger, "n/y", "soil", most=3, until=NOW + 2 * YEAR)
    assert ledger.reservations.count() == 4
    # expired rows do not count
    clock.now_s += YEAR
    assert report(ledger, "n/z", "soil", most=3, until=NOW + 2 * YEAR)
    assert ledger.reservations.count() == 3
    ledger.close()


# --- ledgers of the format 1 ----------------------------------------------------------------------


def test_reservations_of_an_older_ledger_bind_as_before(ledger: Ledger, clock: Clock) -> None:
    """They name no epoch. What is signed after the update names one, and none is later."""
    until = NOW + 90
    for key, address in (("n/soil", None), ("a/1", 1), (f"m/{node_of('soil').hex()}", None)):
        ledger.database.write(
            "INSERT INTO pledges (key, node, address, until) VALUES (?, ?, ?, ?)",
            *(key, node_of("soil"), address, until),
        )
    ledger.capsules.add([policy(5), succession(7)])
    ledger.capsules.add([policy(8, void_before=8)])
    assert not is_free(ledger) and not is_free(ledger, "rain", 1)
    # the older capsule may name the epoch in force, though the present one names an earlier one
    assert ledger.reservations.reserve([member_payload("soil", 1, epoch=2, exp=until + 1)]) is None
    assert not is_free(ledger) and not is_free(ledger, "rain", 1)
    ledger.capsules.add([policy(9, void_before=9)])
    assert is_free(ledger) and is_free(ledger, "rain", 1)
