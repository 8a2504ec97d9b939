"""The ledger's capsules: which are new, and which are kept."""

import pytest
import signer
from ledger_rig import (
    NOW,
    YEAR,
    action,
    amendment,
    beacon,
    member,
    node_of,
    policy,
    raw,
    reopened,
    succession,
)

from writ.authority import capsule
from writ.errors import Rejection
from writ_host.governor.ledger import capsules
from writ_host.governor.ledger.database import LedgerFull
from writ_host.governor.ledger.ledger import Ledger


def test_a_capsule_is_new_once(ledger: Ledger) -> None:
    listed = [
        raw(signer.charter_payload()),
        policy(1),
        beacon(NOW),
        member("soil"),
        action(1, NOW + 9),
    ]
    assert ledger.capsules.add([*listed, listed[0]]) == listed
    assert ledger.capsules.add(listed) == []
    # nor with another signature
    other = [raw(capsule.parse(one).payload, b"s" * 64) for one in listed]
    assert ledger.capsules.add(other) == []
    assert ledger.capsules.charter() == listed[0] and ledger.capsules.beacon() == listed[2]
    assert ledger.capsules.find(capsule.digest(listed[3])[:16]) == listed[3]
    assert ledger.capsules.find(bytes(16)) is None
    with pytest.raises(Rejection):
        ledger.capsules.add([member("rain", 2), b"rubbish"])
    assert ledger.capsules.member_count() == 1
    assert ledger.capsules.add([raw(capsule.build(capsule.RELEASE, [1], iat=1))]) == []


def test_older_capsules_are_not_new(ledger: Ledger) -> None:
    ledger.capsules.add([policy(5), beacon(NOW), amendment(5), member("soil", exp=NOW + 9)])
    for old in (policy(4), beacon(NOW - 1), amendment(4), member("soil", exp=NOW + 8)):
        assert ledger.capsules.add([old]) == []
    assert ledger.capsules.add([action(1, NOW)]) == []


def test_a_renewal_replaces_the_older_capsule(ledger: Ledger) -> None:
    ledger.capsules.add([member("soil"), member("rain", 2)])
    new = member("soil-2", 3, "soil", NOW + 2 * YEAR)
    assert ledger.capsules.add([new]) == [new]
    assert (
        ledger.capsules.member_count() == 2
        and ledger.capsules.named("soil") == ledger.capsules.addressed(1) == []
    )
    (named,) = ledger.capsules.named("soil-2")
    assert ledger.capsules.member(node_of("soil")).raw == new == named.raw
    assert [one.name for one in ledger.capsules.members()] == ["rain", "soil-2"]
    assert ledger.reservations.highest_address() == 3
    assert ledger.capsules.known(node_of("stranger")) is None


def test_a_name_of_two_keys_belongs_to_the_one_that_expires_last(ledger: Ledger) -> None:
    ledger.capsules.add([member("soil", 1, "old", NOW + 5), member("soil", 2, "new", NOW + 9)])
    assert [one.node_id for one in ledger.capsules.named("soil")] == [
        node_of("new"),
        node_of("old"),
    ]


def test_after_a_succession_the_same_payload_is_new_again(ledger: Ledger) -> None:
    soil, rain = member("soil"), member("rain", 2)
    ledger.capsules.add([policy(1), beacon(NOW), soil, rain])
    step = succession(2)
    assert ledger.capsules.add([step, step]) == [step] and ledger.capsules.add([step]) == []
    assert ledger.capsules.known(node_of("soil")).is_of_former_key
    # devices no longer accept what only the old key has signed
    assert ledger.capsules.beacon() is None and ledger.capsules.policy() == policy(1)
    (first, _), (last, _) = pages = ledger.capsules.outdated(0, 9)
    assert [raw for _, raw in pages] == [soil, rain]
    assert ledger.capsules.outdated(0, 1) == pages[:1]
    assert ledger.capsules.outdated(first, 9) == pages[1:] and not ledger.capsules.outdated(last, 9)
    again = raw(capsule.parse(soil).payload, b"n" * 64)
    assert ledger.capsules.add([again]) == [again] and ledger.capsules.add([soil, again]) == []
    assert (
        not ledger.capsules.known(node_of("soil")).is_of_former_key
        and ledger.capsules.member_count() == 2
    )
    assert ledger.capsules.outdated(0, 9) == pages[1:]
    late = beacon(NOW - 5, 2)
    assert ledger.capsules.add([late]) == [late] and ledger.capsules.beacon() == late


def test_since_returns_pages_in_the_order_of_arrival(ledger: Ledger) -> None:
    listed = [member(f"m{i:02}", i + 1) for i in range(70)]
    ledger.capsules.add(listed)
    found, cursor = [], 0
    while True:
        cursor, page = ledger.capsules.since(cursor, 20, 1500)
        if not page:
            break
        assert len(page) <= 20 and sum(map(len, page)) <= 1500
        found += page
    assert found == listed and cursor == ledger.capsules.cursor
    assert ledger.capsules.since(0, 5, 1) == (1, listed[:1])
    # a replaced capsule moves to the end, for peers that have read that far
    new = member("m00", 1, exp=NOW + 2 * YEAR)
    ledger.capsules.add([new])
    assert ledger.capsules.since(cursor, 20, 9999) == (ledger.capsules.cursor, [new])
    assert ledger.capsules.since(cursor + 999, 20, 9999) == (ledger.capsules.cursor, [])


def test_positions_are_never_reused(ledger: Ledger) -> None:
    ledger.capsules.add([action(1, NOW + 5)])
    cursor = ledger.capsules.cursor
    ledger.clock_s.now_s += 10
    ledger.capsules.add([action(2, NOW + 99)])
    assert ledger.capsules.since(cursor, 9, 999)[1] == [action(2, NOW + 99)]
    assert reopened(ledger).capsules.cursor == cursor + 1


def test_the_path_of_a_device_of_any_age(ledger: Ledger) -> None:
    ledger.capsules.add([policy(1), amendment(2), policy(2), policy(3), succession(4)])
    for number in range(5, 30):
        ledger.capsules.add([policy(number)])
    ledger.capsules.add([succession(30), amendment(31), policy(31)])

    def path(epoch: int) -> list[tuple[int, int]]:
        steps = []
        while (found := ledger.capsules.policy_after(epoch)) is not None:
            parsed = capsule.parse(found)
            epoch = parsed.body[1]
            steps.append((parsed.kind, epoch))
        return steps

    tail = [(capsule.POLICY, 29), (capsule.SUCCESSION, 30), (capsule.AMENDMENT, 31)]
    # no device skips the last policy that the old key has signed: it may revoke a node
    first = [(capsule.POLICY, 3), (capsule.SUCCESSION, 4)]
    assert path(0) == path(1) == path(2) == [*first, *tail]
    assert path(3) == [*first[1:], *tail]
    assert path(4) == path(28) == tail
    assert path(30) == tail[-1:] and path(31) == path(99) == []


def test_each_kind_is_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capsules, "MEMBERS_MAX", 50)
    monkeypatch.setattr(capsules, "ACTIONS_KEPT", 10)
    for number in range(1, 100):
        ledger.capsules.add(
            [
                policy(number),
                amendment(number),
                beacon(NOW + number, number),
                action(number, NOW + 99),
                member(f"m{number}", number, exp=NOW + number),
            ]
        )
    counts = dict(ledger.database.rows("SELECT kind, count(*) FROM capsules GROUP BY kind"))
    assert counts == {
        capsule.POLICY: capsules.POLICIES_KEPT,
        capsule.AMENDMENT: capsules.AMENDMENTS_KEPT,
        capsule.BEACON: capsules.BEACONS_KEPT,
        capsule.ACTION: 10,
        capsule.MEMBER: 50,
    }
    # the members that expire first were dropped
    assert (
        ledger.capsules.member(node_of("m49")) is None
        and ledger.capsules.member(node_of("m50")) is not None
    )


def test_charters_are_all_kept(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capsules, "CHARTERS_MAX", 3)
    listed = [raw(signer.charter_payload(name=f"farm{i}")) for i in range(4)]
    ledger.capsules.add(listed[:3])
    assert ledger.capsules.charters() == listed[:3] and ledger.capsules.charter() == listed[0]
    with pytest.raises(LedgerFull):
        ledger.capsules.add(listed[3:])
