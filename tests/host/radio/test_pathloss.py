"""Path loss against the papers' figures, and shadowing: symmetric, seeded, normal."""

import statistics

import pytest
from radio.channel import Channel
from radio.pathloss import MODELS, mix, name_hash, shadowing_db
from radio.timeline import Timeline


@pytest.mark.parametrize(
    ("name", "distance_m", "expected_db"),
    [
        ("lorasim", 40, 127.41),
        # ten times the distance: 10 * 2.08 dB more
        ("lorasim", 400, 148.21),
        ("oulu", 1000, 128.95),
        ("oulu", 10_000, 152.15),
        ("free space", 1000, 91.22),
        # below one metre nothing is gained
        ("free space", 0.001, 31.22),
    ],
)
def test_median_loss(name: str, distance_m: float, expected_db: float) -> None:
    assert MODELS[name].median_db(distance_m) == pytest.approx(expected_db, abs=0.005)


def test_reach_is_where_the_luckiest_pair_has_the_budget() -> None:
    model = MODELS["oulu"]
    assert model.median_db(model.reach_m(140.0)) == pytest.approx(140 + 3 * 7.8)
    assert model.without_shadowing().reach_m(128.95) == pytest.approx(1000)


def test_shadowing_is_normal_and_cut_off() -> None:
    model, seed = MODELS["lorasim"], mix(7)
    hashes = [name_hash(f"n{i}") for i in range(120)]
    found = [shadowing_db(model, seed, a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert len(found) == 7140
    # the standard errors are 0.042 and 0.030 dB
    assert statistics.mean(found) == pytest.approx(0, abs=0.2)
    assert statistics.stdev(found) == pytest.approx(3.57, abs=0.15)
    assert max(map(abs, found)) <= 3 * 3.57


def test_shadowing_is_symmetric_and_of_the_seed() -> None:
    one, other = name_hash("a"), name_hash("b")
    model = MODELS["oulu"]
    assert shadowing_db(model, mix(1), one, other) == shadowing_db(model, mix(1), other, one)
    assert shadowing_db(model, mix(1), one, other) != shadowing_db(model, mix(2), one, other)
    assert shadowing_db(model.without_shadowing(), mix(1), one, other) == 0


def test_both_directions_of_a_link_have_one_loss() -> None:
    channel = Channel(Timeline(), MODELS["oulu"], seed=3)
    one, other = channel.add("a", (0, 0)), channel.add("b", (300, 400, 12))
    one.send(b"x")
    (loss_out, _, _), (loss_back, _, _) = one.neighbours[0], other.neighbours[0]
    assert loss_out == loss_back == channel.path_loss_db(one, other)
