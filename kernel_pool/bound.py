"""How many kernels may exist: places handed out first come, first served.

A pool has a `LocalBound` of its own. Several pools in several processes of one node can share a second bound
on top, anything with the two methods of `Bound` (an actor, a lock server).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from .errors import LeaseTimeout


class Bound(Protocol):
    """A number of places. A token stands for one place that is taken."""

    async def acquire(self, timeout_s: float | None) -> Any:
        """Wait for a place; a token to give back. Raises `LeaseTimeout`. A cancelled wait takes no place."""
        ...

    async def release(self, token: Any) -> None:
        """Give a place back."""
        ...


class LocalBound:
    """Places shared by the tasks of one event loop. Strictly first come, first served."""

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError(f"a bound needs at least one place, not {places}")
        self.places = places
        self._held: set[object] = set()
        self._queue: deque[tuple[int, asyncio.Future[list[object]]]] = deque()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    async def acquire(self, timeout_s: float | None = None) -> object:
        """One place. Raises `LeaseTimeout`."""
        return (await self.acquire_many(1, timeout_s))[0]

    async def acquire_many(self, count: int, timeout_s: float | None = None) -> list[object]:
        """`count` places at one moment, so that two that want several never wait for each other."""
        if count > self.places:
            raise ValueError(f"{count} places wanted, the bound has {self.places}")
        request: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
        self._queue.append((count, request))
        self._serve()
        kept = False
        try:
            async with asyncio.timeout(timeout_s):
                tokens = await request
            kept = True
            return tokens
        except TimeoutError:
            raise LeaseTimeout(
                f"no place became free within {timeout_s:g} s ({len(self._held)} of {self.places} are taken, "
                f"{max(self.waiting - 1, 0)} others wait); raise the timeout or max_concurrent"
            ) from None
        finally:
            if not kept:
                self._withdraw(count, request)

    async def release(self, token: object) -> None:
        """Give a place back. Twice is as good as once."""
        self._held.discard(token)
        self._serve()

    def _serve(self) -> None:
        while self._queue and self._queue[0][0] <= self.places - len(self._held):
            count, request = self._queue.popleft()
            if request.done():  # cancelled, and its task has not run since
                continue
            tokens = [object() for _ in range(count)]
            self._held.update(tokens)
            request.set_result(tokens)

    def _withdraw(self, count: int, request: asyncio.Future[list[object]]) -> None:
        """The one who asked went away: out of the queue, or the places that had just been given go back."""
        if (count, request) in self._queue:
            self._queue.remove((count, request))
        elif request.done() and not request.cancelled():
            self._held.difference_update(request.result())
        self._serve()
