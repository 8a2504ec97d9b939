"""Rations: how many expensive operations a stranger gets, and that time alone gives more."""

from writ.authority.ratelimit import Bucket, Rations
from writ.limits import NEIGHBOURS_MAX


def taken(bucket, now_ms, tries=100):
    """How many of so many tries succeed at this moment."""
    return sum([1 for _ in range(tries) if bucket.take(now_ms)])


def test_a_bucket_starts_full_and_runs_dry():
    bucket = Bucket(4, 1000)
    assert taken(bucket, 5000) == 4
    assert taken(bucket, 5999) == 0


def test_a_bucket_refills_with_time_up_to_its_burst():
    bucket = Bucket(4, 1000)
    assert taken(bucket, 0) == 4
    assert taken(bucket, 1000) == 1
    assert taken(bucket, 1999) == 0
    assert taken(bucket, 4000) == 3
    # a year later it is full, not more than full
    assert taken(bucket, 31536000000) == 4
    assert taken(bucket, 31536000000) == 0


def test_asking_often_gives_nothing():
    bucket = Bucket(4, 1000)
    count = 0
    for now_ms in range(0, 10000, 10):
        count += taken(bucket, now_ms, 1)
    # the burst and one for each second begun
    assert count == 4 + 9


def test_over_any_time_no_more_than_burst_and_refills():
    for step_ms in (1, 7, 333, 999, 1000, 1001, 2500):
        bucket = Bucket(4, 1000)
        count = sum([taken(bucket, i * step_ms, 3) for i in range(50)])
        assert count <= 4 + 49 * step_ms // 1000


def test_refill_takes_nothing():
    bucket = Bucket(2, 1000)
    bucket.refill(0)
    assert bucket.left == 2
    assert bucket.take(0) and bucket.left == 1
    bucket.refill(999)
    assert bucket.left == 1
    bucket.refill(1000)
    assert bucket.left == 2


def test_each_neighbour_has_a_ration_of_its_own():
    rations = Rations(4, 1000)

    def count(name, now_ms):
        return sum([1 for _ in range(20) if rations.take(name, now_ms)])

    assert count("a", 0) == 4 and count("a", 0) == 0
    assert count("b", 0) == 4
    # names of any kind: addresses are strings, members are node ids
    assert count(b"b", 0) == 4
    assert count("a", 1000) == 1


def test_all_neighbours_together_have_one_too():
    rations = Rations(4, 1000)
    count = sum([1 for i in range(100) if rations.take(i, 0)])
    assert count == 16
    assert not rations.take("new", 249)
    # and it refills four times as fast as one's own
    assert rations.take("new", 250) and not rations.take("newer", 250)


def test_changing_names_brings_no_more_than_the_ration_of_all():
    rations = Rations(4, 1000)
    count = 0
    for now_ms in range(0, 10000, 50):
        count += 1 if rations.take(now_ms % (3 * NEIGHBOURS_MAX * 50), now_ms) else 0
    assert count <= 16 + 10000 // 250


def test_who_asked_last_is_remembered_longest():
    rations = Rations(1, 100000)
    assert rations.take("a", 0) and not rations.take("a", 0)
    rations = Rations(1, 400000)
    for i in range(3):
        assert rations.take(i, 0)
    # 0 asks again and again, so its empty bucket is kept while others come and go
    for i in range(3, 3 + 2 * NEIGHBOURS_MAX):
        rations.take(i, 0)
        assert not rations.take(0, 1)
