"""How fast and how many: a token bucket, and the bound on sandboxes that run at once."""

from __future__ import annotations

import asyncio
import time


class TokenBucket:
    """At most `rate` a second, with bursts of up to `burst` after a pause. First come, first served."""

    def __init__(self, rate: float, burst: int = 1) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a rate has to be positive, and a burst at least 1")
        self._rate = rate
        self._burst = burst
        self._free_at = time.monotonic() - burst / rate  # when the bucket was, or will be, empty

    async def take(self) -> None:
        """Wait for one token. A cancelled wait has used its token up."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - self._burst / self._rate) + 1 / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
