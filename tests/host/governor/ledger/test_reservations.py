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
)

from writ.authority import capsule
from writ_host.governor.ledger import reservations
from writ_host.governor.ledger.ledger import Ledger


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
    assert {until for _, _, until in rows} == {NOW + 90} and len(rows) == 3


def test_a_replacement_takes_name_and_address_and_leaves_the_expiry(ledger: Ledger) -> None:
    ledger.reservations.reserve([member_payload("soil", 1, exp=NOW + 90)])
    ledger.capsules.add([policy(1, [node_of("soil")])])
    assert ledger.reservations.reserve([member_payload("soil", 1, "new", NOW + 30)]) is None
    assert ledger.reservations.signed_until(node_of("soil")) == NOW + 90
    assert ledger.reservations.signed_until(node_of("new")) == NOW + 30


def test_the_latest_reported_expiry_counts_too(ledger: Ledger) -> None:
    soil = node_of("soil")
    ledger.reservations.add_reported([(f"m/{soil.hex()}", soil, NOW + 50)])
    assert ledger.reservations.signed_until(soil) == NOW + 50
    ledger.reservations.reserve([member_payload("soil", 1, exp=NOW + 30)])
    ledger.reservations.add_reported([(f"m/{soil.hex()}", soil, NOW + 40)])
    assert ledger.reservations.signed_until(soil) == NOW + 50
