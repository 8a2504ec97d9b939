"""The governors' part of the bench: its arithmetic, and that one decision is really measured."""

import shutil
from pathlib import Path

import governor_rig
import pytest
from governor_rig import Cluster
from measure import deciding, etcd, governing
from measure.committee import Committee
from measure.row import Row
from measure.times import Times

from writ_host.governor.proposals import messages
from writ_host.governor.proposals.messages import SUMMARY

pytestmark = pytest.mark.slow


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    times = Times([number / 1000 for number in range(100, 0, -1)])
    assert (times.ms(50), times.ms(99), times.ms(100)) == (50.0, 99.0, 100.0)
    assert Times([0.0042]).ms(1) == Times([0.0042]).ms(99) == 4.2


def test_what_cannot_be_measured_misses_no_goal() -> None:
    row = Row("ms.x", None, "ms", goal=1.0, peer="not installed")
    assert row.holds() and row.to_item()["value"] is None
    assert not Row("ms.x", 1.1, "ms", goal=1.0).holds()


def test_without_etcd_there_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(etcd, "FSYNCS", 3)
    rows = {row.name: row for row in etcd.measure()}
    assert rows["ms.etcd_put_p50"].value is None
    assert rows["ms.etcd_put_p50"].peer == "etcd is not installed"
    assert rows["ms.fsync_p50"].value is not None


def test_the_goal_is_ten_times_what_etcd_took_in_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("enforcing", "renewing"):
        monkeypatch.setattr(getattr(governing, module), "measure", lambda *_: [])
    decided = [Row("ms.decide_4_p50", 12.0, "ms"), Row("ms.decide_4_p99", 20.0, "ms")]
    monkeypatch.setattr(governing.deciding, "measure", lambda: decided)
    for put, goal, holds in ((1.5, 15.0, True), (1.0, 10.0, False), (None, None, True)):
        beside = [Row("ms.etcd_put_p50", put, "ms")]
        monkeypatch.setattr(governing.etcd, "measure", lambda beside=beside: beside)
        decided[:] = [Row("ms.decide_4_p50", 12.0, "ms"), Row("ms.decide_4_p99", 20.0, "ms")]
        rows = {row.name: row for row in governing.measure(None)}  # type: ignore[arg-type]
        assert rows["ms.decide_4_p50"].goal == goal and rows["ms.decide_4_p50"].holds() == holds
        assert ("times.decide_4_etcd" in rows) == (put is not None)


@pytest.mark.parametrize("count, threshold", [(4, 3), (7, 5)])
def test_a_decision_costs_few_messages(tmp_path: Path, count: int, threshold: int) -> None:
    policy = governor_rig.POLICY.replace("operators = 2", "operators = 0")
    cluster = Cluster(tmp_path, count, threshold, policy)
    cluster.run(lambda: all(core.replica.is_active for core in cluster.cores.values()))
    # the beacon of the first epoch, and what everybody tells at a start
    cluster.run(lambda: all(ledger.capsules.beacon() for ledger in cluster.ledgers.values()))
    cluster.run(lambda: not cluster.queue, seconds=1)
    sent: list[int] = []

    def note(sender: int, to: int, data: bytes) -> bool:
        sent.append(messages.type_of(data))
        return False

    cluster.lose = note
    cluster.propose(1, cluster.revocation(cluster.soil.member.node_id))
    cluster.run(lambda: cluster.all_at(2), seconds=1)
    # told, voted, a session, shares, decided: docs/consensus.md
    told = 2 * (count - 1)
    voted = {3: 3 * 2 + 2 * 2, 5: 3 * 4}[threshold]
    assert len([kind for kind in sent if kind != SUMMARY]) == told + voted


def test_a_decision_is_measured_where_it_happens() -> None:
    with Committee(4, ["soil"]) as committee:
        times = deciding.decide(committee, 3)
        assert len(times.seconds) == 3 and committee.policy.epoch == 4
        committee.wait(lambda: _epochs(committee) == {4}, "all to be at epoch 4")
        # revoked, restored, revoked
        assert committee.policy.revoked == [committee.devices[0].node_id]
        log = committee.governors[2].ask("log", last=50)["entries"]
        assert [one["event"] for one in log].count("decided") == 3
        # three decisions of sixteen messages, less those that shared a datagram
        assert deciding.traffic(committee)["writ_governor_datagrams_sent_total"] > 3 * 12


def _epochs(committee: Committee) -> set[int]:
    return {one.ask("state")["epoch"] for one in committee.governors}
