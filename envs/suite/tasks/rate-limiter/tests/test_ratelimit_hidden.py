import pytest

from ratelimit import Limiter, TokenBucket


def allowed(bucket, now, tries=50):
    return sum(bucket.allow(now) for _ in range(tries))


@pytest.mark.parametrize("capacity", [1, 3, 5])
def test_burst_is_exactly_the_capacity(capacity):
    assert allowed(TokenBucket(2, capacity), 0) == capacity


def test_refill_follows_the_rate():
    bucket = TokenBucket(2, 5)
    assert allowed(bucket, 0) == 5
    assert allowed(bucket, 1) == 2
    assert allowed(bucket, 1.5) == 1
    assert allowed(bucket, 100) == 5


def test_long_run_rate():
    bucket = TokenBucket(2, 5)
    total = sum(allowed(bucket, second) for second in range(11))
    assert total == 5 + 10 * 2


def test_exact_cost():
    bucket = TokenBucket(1, 4)
    assert bucket.allow(0, cost=4)
    assert not bucket.allow(0, cost=1)
    assert bucket.allow(1, cost=1)


def test_refused_request_costs_nothing():
    bucket = TokenBucket(1, 4)
    assert not bucket.allow(0, cost=5)
    assert bucket.allow(0, cost=4)


def test_clock_going_backwards():
    bucket = TokenBucket(2, 5, now=10)
    assert allowed(bucket, 10) == 5
    assert allowed(bucket, 5) == 0
    assert allowed(bucket, 10) == 0
    assert allowed(bucket, 10.5) == 1


def test_wait_time():
    bucket = TokenBucket(2, 4)
    assert bucket.wait_time(0, 4) == 0
    bucket.allow(0, 4)
    assert bucket.wait_time(0, 1) == pytest.approx(0.5)
    assert bucket.wait_time(0, 4) == pytest.approx(2.0)
    assert bucket.wait_time(1, 4) == pytest.approx(1.0)
    assert bucket.wait_time(0, 4.5) is None


def test_full_bucket_after_a_pause():
    bucket = TokenBucket(2, 4)
    bucket.allow(0, 4)
    assert bucket.wait_time(1000, 4) == 0
    assert bucket.tokens == 4


def test_limiter():
    limiter = Limiter(1, 1, forget_after=10)
    assert limiter.allow("a", 0) and not limiter.allow("a", 0)
    assert limiter.allow("b", 5)
    assert limiter.sweep(10) == 0
    assert limiter.sweep(11) == 1 and len(limiter) == 1
