"""A least-recently-used cache with simple statistics."""

from collections import OrderedDict


class LRUCache:
    """At most `capacity` entries; the least recently used one goes first."""

    def __init__(self, capacity):
        if capacity < 1:
            raise ValueError("capacity has to be at least 1")
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._entries = OrderedDict()

    def __len__(self):
        return len(self._entries)

    def __contains__(self, key):
        return key in self._entries

    def get(self, key, default=None):
        if key not in self._entries:
            self.misses += 1
            return default
        self.hits += 1
        self._entries.move_to_end(key)
        return self._entries[key]

    def peek(self, key, default=None):
        """Look without counting as a use."""
        return self._entries.get(key, default)

    def put(self, key, value):
        """Store a value; returns the key that had to go, or None."""
        if key in self._entries:
            self._entries.move_to_end(key)
            self._entries[key] = value
            return None
        self._entries[key] = value
        if len(self._entries) > self.capacity:
            evicted, _ = self._entries.popitem(last=True)
            return evicted
        return None

    def keys(self):
        """Keys from least to most recently used."""
        return list(self._entries)

    def hit_rate(self):
        total = self.hits + self.misses
        return self.hits / total if total else 0.0
