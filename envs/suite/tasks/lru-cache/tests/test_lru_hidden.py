import pytest

from lru import LRUCache


def filled(n, capacity):
    cache = LRUCache(capacity)
    for i in range(n):
        cache.put(i, i * i)
    return cache


def test_the_newest_are_kept():
    assert filled(10, 3).keys() == [7, 8, 9]


def test_get_counts_as_use():
    cache = filled(3, 3)
    cache.get(0)
    assert cache.put(9, 9) == 1
    assert cache.keys() == [2, 0, 9]


def test_peek_does_not_count_as_use():
    cache = filled(3, 3)
    assert cache.peek(0) == 0
    assert cache.put(9, 9) == 0


def test_put_of_known_key_counts_as_use():
    cache = filled(3, 3)
    assert cache.put(0, "new") is None
    assert cache.put(9, 9) == 1
    assert cache.peek(0) == "new"


def test_capacity_one():
    cache = filled(4, 1)
    assert cache.keys() == [3] and len(cache) == 1


def test_never_larger_than_capacity():
    cache = LRUCache(4)
    for i in range(50):
        cache.put(i % 7, i)
        assert len(cache) <= 4


def test_statistics():
    cache = filled(2, 2)
    assert cache.hit_rate() == 0.0
    cache.get(0), cache.get(1), cache.get(2), cache.get(1)
    assert (cache.hits, cache.misses) == (3, 1)


def test_contains_is_not_a_use():
    cache = filled(2, 2)
    assert 0 in cache
    assert cache.put(5, 5) == 0


@pytest.mark.parametrize("capacity", [0, -1])
def test_bad_capacity(capacity):
    with pytest.raises(ValueError):
        LRUCache(capacity)


def test_hit_rate_is_the_share_of_hits():
    cache = filled(2, 2)
    cache.get(0), cache.get(1), cache.get(7), cache.get(0)
    assert cache.hit_rate() == 0.75
