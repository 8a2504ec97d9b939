"""Reservations that a Byzantine governor reports to a new one: how long they may block a name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from governor_rig import DAY_S, Cluster, member_payload

from writ import crypto
from writ.authority.capsule import TIME_MAX
from writ_host.governor.core.context import NEW_WAITED
from writ_host.governor.proposals.messages import ASK_RESERVATIONS, RESERVATIONS
from writ_host.governor.proposals.messages import type_of as type_
from writ_host.scope.lifetime import MEMBERSHIP_S_MAX

STRANGER = b"stranger"
LIAR, HONEST, EMIL = 1, 2, 4


class Joined(Cluster):
    """Emil has replaced dora, and waits for the reservations of the others."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.lose = lambda sender, to, data: type_(data) == RESERVATIONS
        self.replace_dora()
        self.context = self.cores[EMIL].context
        self.stored = self.ledgers[EMIL].reservations

    def report(self, *rows: list[object], sender: int = LIAR, after: str | None = None) -> None:
        self.cores[EMIL].cosigning.reservations.receive(sender, [RESERVATIONS, after, list(rows)])

    def objection(self) -> str | None:
        """Why emil would not reserve the name and the address of the rows below."""
        return self.stored.reserve([member_payload(crypto.p256_generate(), "well", 300, days=3660)])

    def until(self, key: str) -> Any:
        (found,) = [row.until for row in self.stored.after("", 0, 99) if row.key.startswith(key)]
        return found


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Joined(tmp_path)


@pytest.mark.parametrize("key", ["n/well", "a/300", f"m/{STRANGER.hex()}"])
def test_a_lie_blocks_no_name_for_longer_than_a_membership_lasts(cluster: Joined, key: str) -> None:
    """It blocked each name until 2106, and kept an id in the list of revoked nodes as long."""
    cluster.report([key, STRANGER, TIME_MAX, 1])
    is_expiry = key.startswith("m/")
    latest_s = cluster.clock_s() + MEMBERSHIP_S_MAX
    assert cluster.until(key) <= latest_s + 600
    assert cluster.stored.signed_until(STRANGER) <= latest_s + 600
    assert is_expiry or "may be reserved" in (cluster.objection() or "")
    cluster.skip_s += MEMBERSHIP_S_MAX + 601
    assert is_expiry or cluster.objection() is None
    # it is counted, and the log names the liar
    assert cluster.context.counters["ExpiryTooLate"] == 1
    (event,) = [one for one in cluster.context.drain() if getattr(one, "name", "") == "malformed"]
    assert event.facts == {"governor": "anna", "rejection": "ExpiryTooLate"}


def test_a_lie_about_the_time_does_not_lengthen_what_an_honest_governor_reports(
    cluster: Joined,
) -> None:
    until = cluster.clock_s() + 9 * DAY_S
    cluster.report(["n/well", STRANGER, until, 1], sender=HONEST)
    assert cluster.until("n/well") == until
    assert "ExpiryTooLate" not in cluster.context.counters


def test_a_clock_that_is_behind_shortens_no_reservation(cluster: Joined) -> None:
    # a Raspberry Pi starts with the time of its last shutdown
    until = cluster.clock_s() + MEMBERSHIP_S_MAX
    cluster.context.clock_s = lambda: cluster.clock_s() - 400 * DAY_S
    cluster.report(["n/well", STRANGER, until, 1], sender=HONEST)
    assert cluster.until("n/well") == until
    assert "ExpiryTooLate" not in cluster.context.counters


def test_a_longer_membership_from_before_the_limit_may_be_refreshed(cluster: Joined) -> None:
    node = bytes(cluster.soil.member.node_id)
    known: Any = cluster.ledgers[EMIL].capsules.member(node)
    known.expires = TIME_MAX - 1
    cluster.ledgers[EMIL].capsules.member = lambda _: known  # type: ignore[method-assign]
    cluster.report(["n/soil", node, TIME_MAX, 1], sender=HONEST)
    assert cluster.until("n/soil") == TIME_MAX


def test_a_row_of_an_epoch_to_come_is_asked_for_again_when_it_has_come(cluster: Joined) -> None:
    """A clean-up ended no row of an epoch that never comes."""
    epoch = cluster.context.chain.epoch
    row: list[object] = ["n/well", STRANGER, cluster.clock_s() + DAY_S, epoch + 1]
    cluster.report(["n/first", STRANGER, cluster.clock_s() + DAY_S, epoch], row, after="n/well")
    assert cluster.stored.count() == 0
    # the page is asked for again
    cluster.context.drain()
    cluster.cores[EMIL].cosigning.reservations.tick()
    sent = [one for one in cluster.context.drain() if getattr(one, "to", 0) == LIAR]
    assert [type_(one.data) for one in sent] == [ASK_RESERVATIONS]
    # a reporter whose rows are never of this epoch counts as one that does not answer
    for sender in (LIAR, HONEST, 3):
        cluster.report(row, sender=sender)
    assert cluster.ledgers[EMIL].meta(NEW_WAITED) is not None
    cluster.context.chain = replace(cluster.context.chain, epoch=epoch + 1)
    for sender in (LIAR, HONEST, 3):
        cluster.report(row, sender=sender)
    assert cluster.ledgers[EMIL].meta(NEW_WAITED) is None
    assert "may be reserved" in (cluster.objection() or "")
