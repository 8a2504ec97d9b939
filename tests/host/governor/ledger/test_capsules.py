"""The ledger's capsules and pledges: what is news, what is kept, what is promised to whom."""

import pytest
import signer
from ledger_rig import (
    NOW,
    YEAR,
    Clock,
    action,
    amendment,
    beacon,
    member,
    member_payload,
    node_of,
    policy,
    raw,
    reopened,
    succession,
)

from writ.authority import capsule
from writ.errors import Rejection
from writ_host.governor.ledger import capsules
from writ_host.governor.ledger.database import TableFull
from writ_host.governor.ledger.ledger import Ledger

# --- capsules -------------------------------------------------------------------------------------


def test_capsules_are_news_once(ledger: Ledger) -> None:
    listed = [
        raw(signer.charter_payload()),
        policy(1),
        beacon(NOW),
        member("soil"),
        action(1, NOW + 9),
    ]
    assert ledger.add_capsules([*listed, listed[0]]) == listed
    assert ledger.add_capsules(listed) == []
    # nor when other governors sign the same
    other = [raw(capsule.parse(one).payload, b"s" * 64) for one in listed]
    assert ledger.add_capsules(other) == []
    assert ledger.charter() == listed[0] and ledger.beacon() == listed[2]
    assert ledger.capsule(capsule.digest(listed[3])[:16]) == listed[3]
    assert ledger.capsule(bytes(16)) is None
    with pytest.raises(Rejection):
        ledger.add_capsules([member("rain", 2), b"rubbish"])
    assert ledger.member_count() == 1
    assert ledger.add_capsules([raw(capsule.build(capsule.RELEASE, [1], iat=1))]) == []


def test_what_is_older_is_no_news(ledger: Ledger) -> None:
    ledger.add_capsules([policy(5), beacon(NOW), amendment(5), member("soil", exp=NOW + 9)])
    for old in (policy(4), beacon(NOW - 1), amendment(4), member("soil", exp=NOW + 8)):
        assert ledger.add_capsules([old]) == []
    assert ledger.add_capsules([action(1, NOW)]) == []


def test_a_renewal_takes_the_place_of_what_was_there(ledger: Ledger) -> None:
    ledger.add_capsules([member("soil"), member("rain", 2)])
    new = member("soil-2", 3, "soil", NOW + 2 * YEAR)
    assert ledger.add_capsules([new]) == [new]
    assert ledger.member_count() == 2 and ledger.named("soil") == ledger.addressed(1) == []
    assert ledger.member(node_of("soil")).raw == new == ledger.member_named("soil-2")
    assert [one.name for one in ledger.members()] == ["rain", "soil-2"]
    assert ledger.highest_address() == 3
    assert ledger.known(node_of("nobody")) is None


def test_a_name_that_went_to_another_key_is_the_longer_living_ones(ledger: Ledger) -> None:
    ledger.add_capsules([member("soil", 1, "old", NOW + 5), member("soil", 2, "new", NOW + 9)])
    assert [one.node_id for one in ledger.named("soil")] == [node_of("new"), node_of("old")]


def test_after_a_succession_the_same_content_is_news_again(ledger: Ledger) -> None:
    soil, rain = member("soil"), member("rain", 2)
    ledger.add_capsules([policy(1), beacon(NOW), soil, rain])
    step = succession(2)
    assert ledger.add_capsules([step, step]) == [step] and ledger.add_capsules([step]) == []
    assert ledger.known(node_of("soil")).is_outdated
    # what only the old key has signed counts for no device
    assert ledger.beacon() is None and ledger.policy_capsule() == policy(1)
    assert ledger.outdated(9) == [soil, rain]
    again = raw(capsule.parse(soil).payload, b"n" * 64)
    assert ledger.add_capsules([again]) == [again] and ledger.add_capsules([soil, again]) == []
    assert not ledger.known(node_of("soil")).is_outdated and ledger.member_count() == 2
    assert ledger.outdated(9) == [rain]
    late = beacon(NOW - 5, 2)
    assert ledger.add_capsules([late]) == [late] and ledger.beacon() == late


def test_since_gives_pages_in_the_order_of_arrival(ledger: Ledger) -> None:
    listed = [member(f"m{i:02}", i + 1) for i in range(70)]
    ledger.add_capsules(listed)
    found, cursor = [], 0
    while True:
        cursor, page = ledger.since(cursor, 20, 1500)
        if not page:
            break
        assert len(page) <= 20 and sum(map(len, page)) <= 1500
        found += page
    assert found == listed and cursor == ledger.cursor
    assert ledger.since(0, 5, 1) == (1, listed[:1])
    # what is replaced moves to the end, for those who have read that far
    new = member("m00", 1, exp=NOW + 2 * YEAR)
    ledger.add_capsules([new])
    assert ledger.since(cursor, 20, 9999) == (ledger.cursor, [new])
    assert ledger.since(cursor + 999, 20, 9999) == (ledger.cursor, [])


def test_places_are_never_given_twice(ledger: Ledger) -> None:
    ledger.add_capsules([action(1, NOW + 5)])
    cursor = ledger.cursor
    ledger.clock_s.now_s += 10
    ledger.add_capsules([action(2, NOW + 99)])
    assert ledger.since(cursor, 9, 999)[1] == [action(2, NOW + 99)]
    assert reopened(ledger).cursor == cursor + 1


def test_the_way_of_a_device_of_any_age(ledger: Ledger) -> None:
    ledger.add_capsules([policy(1), amendment(2), policy(2), policy(3), succession(4)])
    for number in range(5, 30):
        ledger.add_capsules([policy(number)])
    ledger.add_capsules([succession(30), amendment(31), policy(31)])

    def way(epoch: int) -> list[tuple[int, int]]:
        steps = []
        while (found := ledger.policy_after(epoch)) is not None:
            parsed = capsule.parse(found)
            epoch = parsed.body[1]
            steps.append((parsed.kind, epoch))
        return steps

    tail = [(capsule.POLICY, 29), (capsule.SUCCESSION, 30), (capsule.AMENDMENT, 31)]
    # nobody jumps over the last rules that the old key has signed: they may revoke somebody
    first = [(capsule.POLICY, 3), (capsule.SUCCESSION, 4)]
    assert way(0) == way(1) == way(2) == [*first, *tail]
    assert way(3) == [*first[1:], *tail]
    assert way(4) == way(28) == tail
    assert way(30) == tail[-1:] and way(31) == way(99) == []


def test_nothing_grows_for_ever(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capsules, "MEMBERS_MAX", 50)
    monkeypatch.setattr(capsules, "ACTIONS_KEPT", 10)
    for number in range(1, 100):
        ledger.add_capsules(
            [
                policy(number),
                amendment(number),
                beacon(NOW + number, number),
                action(number, NOW + 99),
                member(f"m{number}", number, exp=NOW + number),
            ]
        )
    counts = dict(ledger.rows("SELECT kind, count(*) FROM capsules GROUP BY kind"))
    assert counts == {
        capsule.POLICY: capsules.POLICIES_KEPT,
        capsule.AMENDMENT: capsules.AMENDMENTS_KEPT,
        capsule.BEACON: capsules.BEACONS_KEPT,
        capsule.ACTION: 10,
        capsule.MEMBER: 50,
    }
    # who expires first gave way
    assert ledger.member(node_of("m49")) is None and ledger.member(node_of("m50")) is not None


def test_charters_are_all_kept(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capsules, "CHARTERS_MAX", 3)
    listed = [raw(signer.charter_payload(name=f"farm{i}")) for i in range(4)]
    ledger.add_capsules(listed[:3])
    assert ledger.charters() == listed[:3] and ledger.charter() == listed[0]
    with pytest.raises(TableFull):
        ledger.add_capsules(listed[3:])


# --- pledges --------------------------------------------------------------------------------------


def test_no_two_nodes_are_promised_one_name_or_address(ledger: Ledger) -> None:
    assert ledger.pledge([member_payload("soil", 1)]) is None
    ledger = reopened(ledger)
    assert ledger.pledge([member_payload("soil", 1)]) is None
    # the same node may be renewed, even with another name
    assert ledger.pledge([member_payload("soil-2", 1, "soil", NOW + 2 * YEAR)]) is None
    assert "the name soil" in ledger.pledge([member_payload("soil", 2, "other")])
    assert "the address 1" in ledger.pledge([member_payload("rain", 1)])
    # of a batch with one that cannot be promised nothing is
    good, bad = member_payload("wind", 9), member_payload("rain", 1)
    assert ledger.pledge([good, bad]) is not None
    assert ledger.pledge([member_payload("wind", 9, "another")]) is None
    ledger.close()


def test_nor_within_one_batch(ledger: Ledger) -> None:
    one, two = member_payload("soil", 1), member_payload("soil", 2, "other")
    assert ledger.pledge([one, two]) is not None
    assert ledger.pledge([one, member_payload("rain", 1)]) is not None
    assert ledger.pledge([two]) is None


def test_other_kinds_bind_nobody(ledger: Ledger) -> None:
    payloads = [capsule.parse(one).payload for one in (beacon(NOW), action(1, NOW + 9))]
    assert ledger.pledge(payloads) is None
    assert ledger.value("SELECT count(*) FROM pledges") == 0


def test_a_promise_ends_with_what_it_was_for(ledger: Ledger, clock: Clock) -> None:
    ledger.pledge([member_payload("soil", 1, exp=NOW + 30 * 86400)])
    rival = member_payload("soil", 2, "other")
    clock.now_s = NOW + 30 * 86400 - 1
    assert ledger.pledge([rival]) is not None
    assert ledger.pledge([member_payload("rain", 1)]) is not None
    clock.now_s += 1
    assert ledger.pledge([rival]) is None
    assert ledger.pledge([member_payload("rain", 1)]) is None


def test_whoever_is_revoked_holds_nothing(ledger: Ledger) -> None:
    ledger.pledge([member_payload("soil", 1)])
    ledger.add_capsules([policy(1, [node_of("soil")])])
    assert ledger.pledge([member_payload("soil", 1, "new")]) is None
    assert ledger.pledge([member_payload("soil", 1)]) is not None


def test_promised_addresses_are_not_handed_out_again(ledger: Ledger) -> None:
    assert ledger.highest_address() == 0
    ledger.add_capsules([member("soil", 4)])
    ledger.pledge([member_payload("rain", 7)])
    assert ledger.highest_address() == 7


def test_pledges_are_bounded(ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capsules, "PLEDGES_MAX", 4)
    two = [member_payload("a", 1, exp=NOW + 5), member_payload("b", 2)]
    assert ledger.pledge(two) is None
    assert "too many" in ledger.pledge([member_payload("c", 3)])
    clock.now_s += 10
    assert ledger.pledge([member_payload("c", 3)]) is None
