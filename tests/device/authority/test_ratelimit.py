"""Rate limits: a stranger gets so many expensive operations, and only time brings more."""

from writ.authority.ratelimit import RateLimiter, TokenBucket
from writ.limits import RATE_LIMIT_SOURCES_MAX


def taken(bucket, now_ms, tries=100):
    """How many of so many tries succeed at this moment."""
    return sum([1 for _ in range(tries) if bucket.take(now_ms)])


def test_a_bucket_starts_full_and_can_be_emptied():
    bucket = TokenBucket(4, 1000)
    assert taken(bucket, 5000) == 4
    assert taken(bucket, 5999) == 0


def test_a_bucket_refills_with_time_up_to_its_burst():
    bucket = TokenBucket(4, 1000)
    assert taken(bucket, 0) == 4
    assert taken(bucket, 1000) == 1
    assert taken(bucket, 1999) == 0
    assert taken(bucket, 4000) == 3
    # a year later it is full, not more than full
    assert taken(bucket, 31536000000) == 4
    assert taken(bucket, 31536000000) == 0


def test_frequent_requests_bring_no_extra_tokens():
    bucket = TokenBucket(4, 1000)
    count = 0
    for now_ms in range(0, 10000, 10):
        count += taken(bucket, now_ms, 1)
    # the burst, and one for each second that began
    assert count == 4 + 9


def test_no_period_allows_more_than_the_burst_and_its_refills():
    for step_ms in (1, 7, 333, 999, 1000, 1001, 2500):
        bucket = TokenBucket(4, 1000)
        count = sum([taken(bucket, i * step_ms, 3) for i in range(50)])
        assert count <= 4 + 49 * step_ms // 1000


def test_refill_takes_no_token():
    bucket = TokenBucket(2, 1000)
    bucket.refill(0)
    assert bucket.tokens == 2
    assert bucket.take(0) and bucket.tokens == 1
    bucket.refill(999)
    assert bucket.tokens == 1
    bucket.refill(1000)
    assert bucket.tokens == 2


def test_each_source_has_a_bucket_of_its_own():
    limiter = RateLimiter(4, 1000)

    def count(name, now_ms):
        return sum([1 for _ in range(20) if limiter.take(name, now_ms)])

    assert count("a", 0) == 4 and count("a", 0) == 0
    assert count("b", 0) == 4
    # names of any kind: addresses are strings, members are node ids
    assert count(b"b", 0) == 4
    assert count("a", 1000) == 1


def test_all_sources_together_have_one_bucket():
    limiter = RateLimiter(4, 1000)
    count = sum([1 for i in range(100) if limiter.take(i, 0)])
    assert count == 16
    assert not limiter.take("new", 249)
    # the common bucket refills four times as fast as that of one source
    assert limiter.take("new", 250) and not limiter.take("newer", 250)


def test_a_source_that_changes_its_name_is_limited_by_the_common_bucket():
    limiter = RateLimiter(4, 1000)
    count = 0
    for now_ms in range(0, 10000, 50):
        count += 1 if limiter.take(now_ms % (3 * RATE_LIMIT_SOURCES_MAX * 50), now_ms) else 0
    assert count <= 16 + 10000 // 250


def test_the_least_recently_used_source_is_dropped_first():
    limiter = RateLimiter(1, 100000)
    assert limiter.take("a", 0) and not limiter.take("a", 0)
    limiter = RateLimiter(1, 400000)
    for i in range(3):
        assert limiter.take(i, 0)
    # 0 asks again and again, so its empty bucket is kept while others come and go
    for i in range(3, 3 + 2 * RATE_LIMIT_SOURCES_MAX):
        limiter.take(i, 0)
        assert not limiter.take(0, 1)
