import os

from harness import raises

from writ.board.bootstate import BootState
from writ.limits import STARTS_MAX

# tests run in several processes in one folder
PATH = "boot_state_" + os.urandom(4).hex()


def fresh():
    try:
        os.remove(PATH)
    except OSError:
        pass


def content(data):
    with open(PATH, "wb") as handle:
        handle.write(data)


def test_three_failed_starts_and_one_that_runs_well():
    fresh()
    for number in range(STARTS_MAX):
        state = BootState(PATH)
        assert state.failed == number and not state.is_failing()
        state.begin()
    state = BootState(PATH)
    assert state.is_failing()
    state.begin()
    state.clear()
    assert BootState(PATH).failed == 0
    fresh()


def test_a_device_that_fails_for_ever_waits_longer_and_writes_a_digit():
    fresh()
    pauses = []
    for _ in range(20):
        state = BootState(PATH)
        state.begin()
        pauses.append(state.pause_s())
    assert pauses[:4] == [5, 5, 5, 10] and pauses[-1] == 300
    assert pauses == sorted(pauses)
    assert BootState(PATH).failed == 9
    fresh()


def test_what_a_power_cut_has_left_is_no_failure():
    for data in (b"", b"x", b"-1", b"12", b"\xff"):
        content(data)
        assert BootState(PATH).failed == 0
    content(b"2")
    assert BootState(PATH).failed == 2
    fresh()


def test_a_start_that_needs_no_write_makes_none():
    fresh()
    BootState(PATH).clear()
    raises(OSError, os.stat, PATH)


def test_only_an_absent_file_is_none():
    # a folder cannot be read
    raises(OSError, BootState, ".")
