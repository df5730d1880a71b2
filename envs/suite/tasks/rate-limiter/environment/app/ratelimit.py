"""Token buckets, one per client."""


class TokenBucket:
    """`rate` tokens per second flow in, at most `capacity` are kept."""

    def __init__(self, rate, capacity, now=0.0):
        if rate <= 0 or capacity <= 0:
            raise ValueError("rate and capacity have to be positive")
        self.rate = rate
        self.capacity = capacity
        self.tokens = capacity
        self.updated = now

    def _refill(self, now):
        elapsed = now - self.updated
        if elapsed <= 0:
            return
        self.tokens = max(self.capacity, self.tokens + elapsed * self.rate)
        self.updated = now

    def allow(self, now, cost=1):
        """Spend `cost` tokens if they are there."""
        self._refill(now)
        if self.tokens > cost:
            self.tokens -= cost
            return True
        return False

    def wait_time(self, now, cost=1):
        """Seconds until `cost` tokens are there; None when they never will be."""
        if cost > self.capacity:
            return None
        self._refill(now)
        missing = cost - self.tokens
        return max(0.0, missing / self.rate)


class Limiter:
    """A bucket per client; clients that have been quiet for `forget_after` seconds are dropped."""

    def __init__(self, rate, capacity, forget_after=3600.0):
        self.rate = rate
        self.capacity = capacity
        self.forget_after = forget_after
        self._buckets = {}

    def allow(self, client, now, cost=1):
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = TokenBucket(self.rate, self.capacity, now)
            self._buckets[client] = bucket
        return bucket.allow(now, cost)

    def sweep(self, now):
        """Forget quiet clients; returns how many."""
        quiet = [c for c, b in self._buckets.items() if now - b.updated > self.forget_after]
        for client in quiet:
            del self._buckets[client]
        return len(quiet)

    def __len__(self):
        return len(self._buckets)
