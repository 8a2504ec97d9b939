"""The rows of the mesh in the bench: what they count."""

from pathlib import Path

import build_mpy
import pytest
from measure import heap_mesh, joining, peers, relaying, sleeping
from measure.row import Row

from writ.mesh.airtime import time_on_air_us


def test_a_read_of_a_neighbour_takes_three_frames() -> None:
    assert [len(item[2]) for item in joining.read()] == [38, 38, 16]


@pytest.mark.parametrize(("is_blank", "goal"), [(False, 1.5), (True, 4.0)])
def test_joining_takes_little_more_than_a_link_of_reticulum(is_blank: bool, goal: float) -> None:
    packets = peers.reticulum_packets()
    if packets is None:
        pytest.skip("no Reticulum here")
    beside_us = sum(time_on_air_us(size, 7) for size in packets[:4])
    # frames may collide: the better of three
    took_us = min(sum(item[3] for item in joining.join(7, is_blank)) for _ in range(3))
    assert took_us <= goal * beside_us


def test_the_relay_forwards_what_it_is_timed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "MESSAGES", 200)
    monkeypatch.setattr(relaying, "ROUNDS", 1)
    assert relaying.relay() > 0


def test_a_sensor_that_sleeps_lasts_as_long_as_its_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    lorawan = sleeping.compute_lorawan()
    # 17 bytes at SF9, as airtime calculators give it; eight symbols of 4.096 ms and of 32.768 ms
    assert lorawan.sending_s == pytest.approx(0.164864)
    assert lorawan.listening_s == pytest.approx(8 * 0.036864)
    # an hour: one report of the neighbours is in it
    monkeypatch.setattr(sleeping, "CYCLES", 4)
    node = sleeping.measure_sensor()
    assert sleeping.GOAL_DAYS <= node.days < lorawan.days
    # request, receipt of the answer, POLL
    assert 3 <= node.frames <= 4 and node.listening_s + node.sending_s <= node.awake_s + 0.001
    assert not Row("days.less", sleeping.GOAL_DAYS - 1, "d", sleeping.GOAL_DAYS).holds()


@pytest.mark.slow
def test_a_device_joins_over_an_emulated_modem_in_the_largest_heap(tmp_path: Path) -> None:
    if build_mpy.find_micropython() is None or build_mpy.find_compiler() is None:
        pytest.skip("no micropython or no mpy-cross here")
    build_mpy.build(tmp_path)
    figures = heap_mesh.try_heap(tmp_path, heap_mesh.HIGH)
    assert figures and figures["epoch"] == 1
    # a heap that does not hold the idle device is too small
    assert heap_mesh.try_heap(tmp_path, figures["idle"]) is None


@pytest.mark.slow
def test_a_relay_takes_a_serial_line_to_the_gateway_in_the_largest_heap(tmp_path: Path) -> None:
    if build_mpy.find_micropython() is None or build_mpy.find_compiler() is None:
        pytest.skip("no micropython or no mpy-cross here")
    build_mpy.build(tmp_path)
    assert heap_mesh.try_relay(tmp_path, heap_mesh.HIGH)
