"""Reservations of names and addresses: a newcomer learns those made before it joined."""

from pathlib import Path

import pytest
from governor_rig import DAY_S, Cluster, evidence_of, member_payload

from writ import crypto
from writ.authority.capsule import EXP, MEMBER, WRIT, build, parse_claims
from writ.node.statement import member_request
from writ_host import codec
from writ_host.ceremony.plan import BadPlan
from writ_host.errors import HostError
from writ_host.governor.core.context import NEW_WAITED
from writ_host.governor.core.reservations import (
    REPORTED_EACH_MAX,
    SYNC_TIMEOUT_S,
    UNSYNCED,
)
from writ_host.governor.proposals.messages import ASK_RESERVATIONS, ITEMS_MAX, RESERVATIONS
from writ_host.governor.proposals.messages import type_of as type_
from writ_host.governor.proposals.proposal import CERTIFIED, OPEN
from writ_host.keys.identity import Identity
from writ_host.scope.folder import now_s


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def reserve(cluster: Cluster, name: str, address: int, *numbers: int) -> bytes:
    """Let these governors reserve a name and an address for a key that never becomes a member."""
    private = crypto.p256_generate()
    for number in numbers:
        assert (
            cluster.ledgers[number].reservations.reserve([member_payload(private, name, address)])
            is None
        )
    return private


def admit(cluster: Cluster, name: str, address: int, by: int = 1) -> bytes:
    """Propose to admit a new key by this name, and approve it; the proposal's id."""
    private = crypto.p256_generate()
    payload = member_payload(private, name, address)
    id = cluster.propose(by, [payload], evidence_of(member_request(private, name)))
    cluster.step()
    cluster.approve(by, id)
    return id


def has_learnt(cluster: Cluster) -> bool:
    """Whether emil has learnt the reservations of the others."""
    return cluster.ledgers[4].meta(NEW_WAITED) is None


def test_a_name_reserved_by_a_former_governor_is_not_given_away(cluster: Cluster) -> None:
    # a Byzantine governor, dora and ben have signed; the first withholds the capsule
    reserve(cluster, "pump", 300, 2, 4)
    cluster.replace_dora()
    cluster.run(lambda: has_learnt(cluster))
    for name, address in (("pump", 301), ("valve", 300)):
        id = admit(cluster, name, address)
        for _ in range(300):
            cluster.step()
        # the Byzantine governor, carl and emil would be enough
        assert cluster.view(1, id).state == OPEN
        assert "may be reserved for another node" in cluster.view(1, id).reason
    # other nodes are admitted, which needs emil
    cluster.down.add(2)
    id = admit(cluster, "well", 302)
    cluster.run(lambda: cluster.view(4, id).state == CERTIFIED)


def test_a_newcomer_signs_no_admission_before_it_has_learnt_reservations(cluster: Cluster) -> None:
    cluster.lose = lambda sender, to, data: type_(data) == RESERVATIONS and sender != 1
    cluster.replace_dora()
    cluster.down.add(2)
    id = admit(cluster, "well", 302)
    renewal = cluster.propose(1, [member_payload(cluster.soil.private, "soil", 100, days=60)])
    cluster.step()
    cluster.approve(1, renewal)
    # it signs the renewal of a known member
    cluster.run(lambda: cluster.view(4, renewal).state == CERTIFIED)
    cluster.run(lambda: UNSYNCED in cluster.view(1, id).reason)
    assert cluster.view(1, id).state == OPEN
    cluster.down.discard(2)
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: has_learnt(cluster))
    cluster.down.add(3)
    cluster.run(lambda: cluster.view(4, id).state == CERTIFIED)


def test_a_newcomer_waits_a_week_for_reservations(cluster: Cluster) -> None:
    reserve(cluster, "pump", 300, 2)
    cluster.lose = lambda sender, to, data: type_(data) == RESERVATIONS and sender != 2
    cluster.replace_dora()
    cluster.run(lambda: bool(cluster.ledgers[4].meta(NEW_WAITED)))
    for _ in range(200):
        cluster.step()
    assert not has_learnt(cluster)
    # half of the time before a restart, half of it after that
    cluster.now_ms += 500 * SYNC_TIMEOUT_S
    for _ in range(200):
        cluster.step()
    assert not has_learnt(cluster)
    cluster.start(4)
    for _ in range(200):
        cluster.step()
    cluster.now_ms += 500 * SYNC_TIMEOUT_S
    cluster.run(lambda: has_learnt(cluster))
    # the reservations received until then count
    rival = member_payload(crypto.p256_generate(), "pump", 301)
    assert "may be reserved" in (cluster.ledgers[4].reservations.reserve([rival]) or "")


def test_a_clock_that_jumps_ends_no_wait_for_reservations(cluster: Cluster) -> None:
    """A Raspberry Pi starts with the time of its last shutdown, and gets the true one later.

    The new governor signed without the reservations then, and a revoked device could return.
    """
    cluster.lose = lambda sender, to, data: type_(data) == RESERVATIONS and sender != 1
    cluster.replace_dora()
    cluster.cores[4].context.clock_s = lambda: now_s() - 400 * DAY_S
    cluster.run(lambda: bool(cluster.ledgers[4].meta(NEW_WAITED)))
    cluster.cores[4].context.clock_s = now_s
    for _ in range(200):
        cluster.step()
    assert not has_learnt(cluster)
    # an earlier version kept the time at which the wait began
    cluster.ledgers[4].set_meta(NEW_WAITED, (now_s() - 400 * DAY_S).to_bytes(8, "big"))
    for _ in range(200):
        cluster.step()
    assert not has_learnt(cluster)
    cluster.lose = lambda sender, to, data: False
    cluster.run(lambda: has_learnt(cluster))


def test_many_reservations_arrive_in_pages_and_lost_pages_are_asked_for_again(
    cluster: Cluster,
) -> None:
    for number in range(ITEMS_MAX):
        reserve(cluster, f"pump-{number}", 300 + number, 3)
    lost: list[bytes] = []

    def lose(sender: int, to: int, data: bytes) -> bool:
        if type_(data) in (ASK_RESERVATIONS, RESERVATIONS) and len(lost) < 9:
            lost.append(data)
            return True
        return False

    cluster.lose = lose
    cluster.replace_dora()
    cluster.run(lambda: has_learnt(cluster))
    count = cluster.ledgers[4].reservations.count()
    assert count == 3 * ITEMS_MAX
    assert cluster.ledgers[4].reservations.highest_address() == 100


def test_a_byzantine_governor_reserves_no_name_of_a_member(cluster: Cluster) -> None:
    cluster.replace_dora()
    core, ledger = cluster.cores[4], cluster.ledgers[4]
    reservations = core.cosigning.reservations
    ledger.set_meta(NEW_WAITED, b"")
    other, until = bytes(8), now_s() + 99 * DAY_S
    for key in ("n/", "x/y", "n/a/b", "n", "m/", "m/soil", f"m/{b'another '.hex()}"):
        with pytest.raises(HostError):
            reservations.receive(1, [RESERVATIONS, None, [[key, other, until]]])
    for epoch in (-1, None, 1 << 32, "1"):
        with pytest.raises(HostError):
            reservations.receive(1, [RESERVATIONS, None, [["n/a", other, until, epoch]]])
    reservations.receive(
        1, [RESERVATIONS, "a/5", [["n/soil", other, until], ["a/100", other, until]]]
    )
    assert ledger.reservations.reserve([member_payload(cluster.soil.private, "soil", 100)]) is None
    assert (
        ledger.reservations.reserve([member_payload(crypto.p256_generate(), "soil", 7)]) is not None
    )
    for number in range(2 * REPORTED_EACH_MAX):
        reservations.receive(1, [RESERVATIONS, f"n/{number:06}", [[f"n/{number}", other, until]]])
    assert ledger.reservations.count() <= REPORTED_EACH_MAX + 5


def test_restarts_give_a_byzantine_governor_no_more_rows(cluster: Cluster) -> None:
    """The rows were counted in memory: over five restarts a liar placed 7,680."""
    cluster.lose = lambda sender, to, data: type_(data) == RESERVATIONS
    cluster.replace_dora()
    until = now_s() + 99 * DAY_S
    for life in range(3):
        for page in range(REPORTED_EACH_MAX // ITEMS_MAX + 2):
            rows = [[f"n/x{life}-{page}-{one}", bytes(8), until, 1] for one in range(ITEMS_MAX)]
            items = [RESERVATIONS, f"n/{page:05}", rows]
            cluster.cores[4].cosigning.reservations.receive(1, items)
        cluster.start(4)
    assert cluster.ledgers[4].reservations.count() == REPORTED_EACH_MAX
    # the rows of others are kept
    rows = [["n/well", bytes(8), until, 1]]
    cluster.cores[4].cosigning.reservations.receive(2, [RESERVATIONS, "n/well", rows])
    rival = member_payload(crypto.p256_generate(), "well", 300)
    assert "may be reserved" in (cluster.ledgers[4].reservations.reserve([rival]) or "")


def test_the_governor_has_answered_whose_rows_find_no_room(cluster: Cluster) -> None:
    """It completes the exchange, as one whose rows were counted in this process."""
    cluster.lose = lambda sender, to, data: type_(data) == RESERVATIONS
    cluster.replace_dora()
    for sender in (1, 2, 3):
        for page in range(REPORTED_EACH_MAX // ITEMS_MAX):
            rows = [[f"n/{sender}-{page}-{one}", bytes(8), now_s() + 99] for one in range(64)]
            cluster.cores[4].cosigning.reservations.receive(sender, [RESERVATIONS, "n", rows])
            if page == 1:
                cluster.start(4)
    assert not has_learnt(cluster)
    for sender in (1, 2, 3):
        rows = [[f"n/more-{sender}", bytes(8), now_s() + 99]]
        cluster.cores[4].cosigning.reservations.receive(sender, [RESERVATIONS, "n", rows])
    assert has_learnt(cluster)


def reported(cluster: Cluster, number: int) -> list[list[object]]:
    """The rows that a governor reports to a new governor."""
    core = cluster.cores[number]
    core.cosigning.reservations.answer(4, "")
    sent = [codec.a_list(codec.load(out.data)) for out in core.context.drain()]
    (rows,) = [items[2] for items in sent if items[0] == RESERVATIONS]
    return rows


def test_a_reservation_that_outlives_the_certificate_is_reported(cluster: Cluster) -> None:
    soil, node = cluster.soil, cluster.soil.member.node_id
    reservations = cluster.ledgers[1].reservations
    assert reservations.reserve([member_payload(soil.private, "soil", 100, days=29)]) is None
    assert reported(cluster, 1) == []
    # a share for a longer capsule was given, and a Byzantine governor may complete it later
    longer = member_payload(soil.private, "soil", 100, days=60)
    assert reservations.reserve([longer]) is None
    until = parse_claims(longer)[EXP]
    assert reported(cluster, 1) == [
        ["a/100", node, until, 0],
        [f"m/{node.hex()}", node, until, 0],
        ["n/soil", node, until, 0],
    ]
    # of a row from before epochs were noted none is reported
    cluster.ledgers[1].database.write("UPDATE pledges SET epoch = NULL")
    assert ["n/soil", node, until] in reported(cluster, 1)


def test_a_reservation_of_a_newer_epoch_than_the_certificate_is_reported(cluster: Cluster) -> None:
    """It outlives the next clean-up, and the certified membership does not."""
    soil, node = cluster.soil, cluster.soil.member.node_id
    shorter = parse_claims(member_payload(soil.private, "soil", 100, days=20))
    body, until = [100, shorter[WRIT][2], 1], shorter[EXP]
    payload = build(MEMBER, body, sub="soil", exp=until, key=crypto.p256_public(soil.private))
    assert cluster.ledgers[1].reservations.reserve([payload]) is None
    assert ["n/soil", node, until, 1] in reported(cluster, 1)


def test_a_newcomer_signs_a_renewal_only_if_name_and_address_stay(cluster: Cluster) -> None:
    cluster.replace_dora()
    reservations, ledger = cluster.cores[4].cosigning.reservations, cluster.ledgers[4]
    ledger.set_meta(NEW_WAITED, b"")
    private = cluster.soil.private
    assert ledger.capsules.member(cluster.soil.member.node_id)
    assert reservations.objection(member_payload(private, "soil", 100, days=60)) is None
    for moved in (member_payload(private, "pump", 100), member_payload(private, "soil", 300)):
        assert reservations.objection(moved) == UNSYNCED
    # nor does it renew an expired member, whose name may be another's by now
    cluster.cores[4].context.clock_s = lambda: now_s() + 31 * DAY_S
    assert reservations.objection(member_payload(private, "soil", 100, days=90)) == UNSYNCED


def test_a_governor_that_is_new_itself_does_not_count_as_one_that_has_reported(
    cluster: Cluster,
) -> None:
    reserve(cluster, "pump", 300, 1)
    # anna has lost her reservations, and waits for those of the others
    cluster.lose = lambda sender, to, data: type_(data) == RESERVATIONS
    cluster.replace_dora()
    cluster.ledgers[1].set_meta(NEW_WAITED, b"")
    cluster.lose = lambda sender, to, data: type_(data) == RESERVATIONS and to == 1
    for _ in range(200):
        cluster.step()
    assert not has_learnt(cluster)
    cluster.ledgers[1].set_meta(NEW_WAITED, None)
    cluster.run(lambda: has_learnt(cluster))
    rival = member_payload(crypto.p256_generate(), "pump", 301)
    assert "may be reserved" in (cluster.ledgers[4].reservations.reserve([rival]) or "")


def test_enough_governors_stay_that_one_knows_each_reservation(cluster: Cluster) -> None:
    new = [Identity.generate(name) for name in ("emil", "fay")]
    with pytest.raises(BadPlan, match="2 governors stay"):
        cluster.reshare([cluster.local[0].identity, cluster.local[1].identity, *new])
