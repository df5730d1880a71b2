import pytest

from ratelimit import Limiter, TokenBucket


def allowed(bucket, now, tries):
    return sum(bucket.allow(now) for _ in range(tries))


def test_burst_up_to_the_capacity():
    assert allowed(TokenBucket(2, 5), 0, 20) == 5


def test_quiet_time_does_not_overfill():
    bucket = TokenBucket(2, 5)
    assert allowed(bucket, 3600, 50) == 5


def test_tokens_come_back_slowly():
    bucket = TokenBucket(2, 5)
    allowed(bucket, 0, 5)
    assert bucket.wait_time(0) == pytest.approx(0.5, abs=0.5)


def test_impossible_cost_never_comes():
    assert TokenBucket(2, 5).wait_time(0, cost=6) is None


def test_clients_do_not_share():
    limiter = Limiter(1, 2)
    assert limiter.allow("a", 0) and limiter.allow("b", 0)
    assert len(limiter) == 2


def test_bad_rate():
    with pytest.raises(ValueError):
        TokenBucket(0, 5)
