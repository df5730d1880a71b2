import pytest

from lru import LRUCache


def test_stored_value_is_found():
    cache = LRUCache(2)
    cache.put("a", 1)
    assert cache.get("a") == 1


def test_oldest_entry_goes_when_full():
    cache = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.put("c", 3) == "a"
    assert cache.get("c") == 3


def test_missing_key_gives_default():
    assert LRUCache(1).get("x", 7) == 7


def test_overwriting_keeps_the_size():
    cache = LRUCache(2)
    cache.put("a", 1)
    cache.put("a", 2)
    assert len(cache) == 1 and cache.get("a") == 2


def test_hit_rate():
    cache = LRUCache(2)
    cache.put("a", 1)
    cache.get("a")
    cache.get("b")
    assert cache.hit_rate() == 0.5


def test_capacity_has_to_be_positive():
    with pytest.raises(ValueError):
        LRUCache(0)
