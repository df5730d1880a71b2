"""Places for kernels: the pool's own and, where processes share a bound, one of theirs for each."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from .bound import Bound, LocalBound
from .errors import LeaseTimeout
from .lease import Place

_PATIENCE_S = 2.0  # how long a fork that holds some shared places waits for the next before it steps back


class Deadline:
    """A moment `total_s` seconds from now, or never (None)."""

    def __init__(self, total_s: float | None) -> None:
        self.total_s = float("inf") if total_s is None else total_s
        self._at = time.monotonic() + self.total_s

    def left(self, at_most: float = float("inf")) -> float | None:
        """Seconds until then, not below 0 and not above `at_most`; None for never."""
        left = min(max(0.0, self._at - time.monotonic()), at_most)
        return None if left == float("inf") else left


class Places:
    """First come, first served. With a shared bound, both bounds hold."""

    def __init__(self, count: int, shared: Bound | None) -> None:
        self.shared = shared
        self.waiting = 0  #: requests waiting now
        self.wait_s = 0.0  #: seconds that requests have waited, in total
        self._local = LocalBound(count)

    async def take(self, n: int, deadline: Deadline) -> list[Place]:
        """`n` places at once. Cancelled or out of time, it has taken none."""
        asked = time.monotonic()
        self.waiting += 1
        local: list[object] = []
        shared: list[Any] | None = None
        try:
            local = await self._local.acquire_many(n)
            shared = await self._take_shared(n, deadline)
            return [Place(mine, ours) for mine, ours in zip(local, shared, strict=True)]
        finally:
            self.waiting -= 1
            self.wait_s += time.monotonic() - asked
            if shared is None:
                for token in local:
                    await self._local.release(token)

    async def free(self, place: Place) -> None:
        """Give a place back."""
        try:
            if self.shared is not None:
                await self.shared.release(place.shared)
        finally:
            await self._local.release(place.local)

    async def give_back(self, taking: asyncio.Task[list[Place]]) -> None:
        """Free what a task that was told to stop has taken nevertheless."""
        await asyncio.wait({taking})
        if not taking.cancelled() and taking.exception() is None:
            for place in taking.result():
                await self.free(place)

    async def _take_shared(self, n: int, deadline: Deadline) -> list[Any]:
        if self.shared is None:
            return [None] * n
        while True:
            held: list[Any] = []
            try:
                held.append(await self.shared.acquire(deadline.left()))
                while len(held) < n:
                    held.append(await self.shared.acquire(deadline.left(_PATIENCE_S)))
                return held
            except LeaseTimeout:
                if not held or deadline.left() == 0:
                    raise
            finally:
                if len(held) < n:
                    for token in held:
                        await self.shared.release(token)
            # Two forks that each hold a part of what the other needs: step back, try again a little later.
            await asyncio.sleep(random.uniform(0.0, 0.2))
