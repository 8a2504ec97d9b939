"""Safe and unsafe thresholds, against a brute-force check."""

from itertools import combinations

import pytest

from writ_host.consensus.committee import UnsafeThreshold, check_threshold, tolerance


def any_two_quorums_share_an_honest_governor(count, threshold, byzantine):
    quorums = [set(one) for one in combinations(range(count), threshold)]
    return all(len(one & other) > byzantine for one in quorums for other in quorums)


@pytest.mark.parametrize("count", range(1, 10))
def test_with_a_safe_threshold_any_two_quorums_share_an_honest_governor(count):
    for threshold in range(count // 2 + 1, count + 1):
        most = tolerance(count, threshold)[1]
        assert any_two_quorums_share_an_honest_governor(count, threshold, most)
        one_more = any_two_quorums_share_an_honest_governor(count, threshold, most + 1)
        assert most == count - 1 or not one_more


@pytest.mark.parametrize(
    ("count", "threshold", "byzantine"),
    [(4, 2, 0), (4, 3, 2), (4, 5, 0), (4, 4, 1), (7, 4, 1), (0, 0, 0)],
)
def test_unsafe_and_unreachable_thresholds_are_refused(count, threshold, byzantine):
    with pytest.raises(UnsafeThreshold):
        check_threshold(count, threshold, byzantine)
