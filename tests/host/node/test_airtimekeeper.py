"""The airtime of a host's links over restarts: no hour exceeds the duty cycle, whatever ends it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakeflash import PowerCut
from replace_rig import cut_at

from writ.mesh.budget import Budget
from writ_host import codec, files
from writ_host.errors import Malformed
from writ_host.node import airtimefile
from writ_host.node.airtimefile import Kept
from writ_host.node.airtimekeeper import PAUSE_MS, AirtimeKeeper

HOUR_S = 3600
START_S = 1_800_000_000
# 1 %: 36 s an hour, and a reserve of 0.6 s
LIMIT_US = 36_000_000
RESERVE_US = 600_000


class Host:
    """A node of one link that starts again. real_s: the true time; step_s: of its clock."""

    def __init__(self, folder: Path, permille: int = 10) -> None:
        self.folder, self.permille = folder, permille
        self.real_s, self.step_s = 0.0, 0.0
        self.sent: list[float] = []
        self.start()

    def start(self) -> None:
        """Start, on what the folder has."""
        self._started_s = self.real_s
        self.budget = Budget(self.permille)
        self.budget.set_classes([(0, 1000), (1, 1000)])
        wall: Callable[[], float] = lambda: START_S + self.step_s + self.real_s  # noqa: E731
        self.keeper = AirtimeKeeper([self.budget], self.folder, wall)
        self.keeper.restore(self.now_ms)

    @property
    def now_ms(self) -> int:
        """The running time, with some time of the interpreter's start."""
        return 300 + round(1000 * (self.real_s - self._started_s))

    def run(self, seconds: float, is_sending: bool = True, airtime_us: int = 300_000) -> None:
        """Run, and send all that the budget allows."""
        end_s = self.real_s + seconds
        while self.real_s < end_s:
            if is_sending and self.budget.wait_ms(self.now_ms, airtime_us) == 0:
                self.budget.charge(self.now_ms, airtime_us, 1, None)
                self.sent += [self.real_s] * (airtime_us // 1000)
            self.keeper.tick(self.now_ms)
            self.real_s += 0.5

    @property
    def used_us(self) -> int:
        """Airtime of the account."""
        return int(self.budget.used_us(self.now_ms))

    def most_ms(self) -> int:
        """The largest airtime in any hour, in ms."""
        first, most = 0, 0
        for last, time_s in enumerate(self.sent):
            while self.sent[first] <= time_s - HOUR_S:
                first += 1
            most = max(most, last - first + 1)
        return most


def test_a_clean_restart_forgets_no_airtime(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.run(70)
    used_us = host.used_us
    assert used_us > LIMIT_US // 2
    host.keeper.save(host.now_ms)
    kept = airtimefile.read(tmp_path)
    assert kept and not kept.is_open
    host.real_s += 600
    host.start()
    # each bucket is rounded up to a millisecond
    assert used_us <= host.used_us < used_us + 100_000
    assert host.keeper.known_s(host.now_ms) >= 600
    host.real_s += HOUR_S
    host.start()
    assert host.used_us == 0 and host.keeper.known_s(host.now_ms) == HOUR_S


@pytest.mark.parametrize("alive_s", [0.5, 3, 20, 61, 130])
def test_a_node_that_is_killed_again_and_again_keeps_the_duty_cycle(
    tmp_path: Path, alive_s: float
) -> None:
    host = Host(tmp_path)
    while host.real_s < 2.5 * HOUR_S:
        host.run(alive_s)
        # kill -9
        host.real_s += 5
        host.start()
    assert LIMIT_US // 4000 < host.most_ms() <= LIMIT_US // 1000


def test_a_crash_loop_that_sends_nothing_costs_one_reserve(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.run(1)
    used_us = host.used_us
    for _ in range(20):
        host.real_s += 1
        host.start()
        host.run(1, is_sending=False)
    assert used_us <= host.used_us <= used_us + RESERVE_US


@pytest.mark.parametrize("step_s", [-HOUR_S * 24, -1])
def test_a_clock_that_went_back_frees_nothing(tmp_path: Path, step_s: int) -> None:
    host = Host(tmp_path)
    host.run(70)
    used_us = host.used_us
    host.step_s = step_s
    host.start()
    assert used_us <= host.used_us <= LIMIT_US


@pytest.mark.parametrize("is_sending", [True, False])
def test_a_clock_that_is_set_while_the_node_runs_frees_nothing(
    tmp_path: Path, is_sending: bool
) -> None:
    host = Host(tmp_path)
    host.run(70)
    used_us = host.used_us
    host.start()
    host.run(2, is_sending)
    host.step_s = 24 * HOUR_S
    host.run(2 + PAUSE_MS / 1000, is_sending)
    host.start()
    assert host.used_us >= used_us


def test_the_file_is_written_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path)
    writes = []
    write = airtimefile.write
    monkeypatch.setattr(airtimefile, "write", lambda *a: (writes.append(host.real_s), write(*a)))
    host.run(HOUR_S, is_sending=False)
    assert not writes
    host.run(2 * HOUR_S)
    # at most once a minute, and once a reserve
    assert 60 <= len(writes) <= 2 * 2 * 62
    count = len(writes)
    host.run(300, is_sending=False)
    assert len(writes) <= count + 1


def test_power_may_fail_at_each_step_and_byte(tmp_path: Path) -> None:
    path = tmp_path / airtimefile.NAME
    host = Host(tmp_path)
    host.run(10)
    before = path.read_bytes()
    seen = set()
    for number in range(1, 20):
        path.write_bytes(before)
        with pytest.MonkeyPatch.context() as patched:
            cut_at(patched, number)
            try:
                host.keeper._write(host.now_ms, False)
                break
            except PowerCut:
                pass
        seen.add(path.read_bytes() == before)
        assert airtimefile.read(tmp_path) is not None
    assert seen == {False, True}
    # what mkstemp makes beside the file, cut short
    path.write_bytes(before)
    for size in range(len(before)):
        (tmp_path / f".{airtimefile.NAME}.x{size:07d}").write_bytes(before[:size])
    host.start()
    assert host.keeper.problem == "" and host.used_us > 1_000_000
    assert [*tmp_path.iterdir()] == [path]


def test_a_damaged_file_is_a_spent_hour(tmp_path: Path) -> None:
    path = tmp_path / airtimefile.NAME
    host = Host(tmp_path)
    host.run(10)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(Malformed):
            airtimefile.read(tmp_path)
        host.start()
        assert airtimefile.NAME in host.keeper.problem
        assert host.used_us == LIMIT_US
    # it is replaced with the first frame
    host.run(62 * 60 + 2)
    assert host.keeper.problem == "" and airtimefile.read(tmp_path) is not None


def test_a_full_disk_is_a_problem_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        host.run(3)
        assert "No space left" in host.keeper.problem
    host.run(PAUSE_MS / 1000 + 1)
    assert host.keeper.problem == "" and airtimefile.read(tmp_path) is not None


def test_a_link_without_duty_cycle_has_no_reserve(tmp_path: Path) -> None:
    host = Host(tmp_path, 1000)
    host.run(5)
    host.start()
    # what the first write had
    assert host.used_us == 300_000


def test_what_is_out_of_range_is_refused(tmp_path: Path) -> None:
    duty, spent = bytes(126), bytes(28)
    good = [1, 5, 6, 1, [[duty, [[15, spent]]]]]
    (tmp_path / airtimefile.NAME).write_bytes(codec.dump(good))
    assert airtimefile.read(tmp_path) == Kept(5, 6, True, [(duty, [(15, spent)])])
    for bad in (
        [2, 5, 6, 1, []],
        [1, -1, 6, 1, []],
        [1, 5, 3601, 1, []],
        [1, 5, 6, 2, []],
        [1, 5, 6, 1],
        [1, 5, 6, 1, [[duty[1:], []]]],
        [1, 5, 6, 1, [[duty, [[16, spent]]]]],
        [1, 5, 6, 1, [[duty, [[0, spent[1:]]]]]],
        [1, 5, 6, 1, [[duty]]],
    ):
        (tmp_path / airtimefile.NAME).write_bytes(codec.dump(bad))
        with pytest.raises(Malformed):
            airtimefile.read(tmp_path)
