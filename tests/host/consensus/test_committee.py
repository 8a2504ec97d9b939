"""Safe and unsafe thresholds, against a brute-force check."""

import pytest

from writ_host.consensus.committee import Committee, UnsafeThreshold, check_threshold, tolerance


@pytest.mark.parametrize("count", range(1, 10))
def test_with_a_safe_threshold_any_two_quorums_share_an_honest_governor(count):
    for threshold in range(count // 2 + 1, count + 1):
        committee = Committee(bytes(32), count, threshold)
        byzantine = tolerance(count, threshold)[1]
        assert committee.quorums_share_an_honest_one(byzantine)
        assert byzantine == count - 1 or not committee.quorums_share_an_honest_one(byzantine + 1)


@pytest.mark.parametrize(
    ("count", "threshold", "byzantine"),
    [(4, 2, 0), (4, 3, 2), (4, 5, 0), (4, 4, 1), (7, 4, 1), (0, 0, 0)],
)
def test_unsafe_and_unreachable_thresholds_are_refused(count, threshold, byzantine):
    with pytest.raises(UnsafeThreshold):
        check_threshold(count, threshold, byzantine)
