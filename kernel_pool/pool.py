"""The pool: at most so many kernels, ever, each handed to one holder at a time and never handed on dirty.

A request takes a *place* first (first come, first served), then a kernel is started on it. A place is taken
until its kernel is closed, whatever happens to the one who asked: starting and closing run in tasks of
their own, so a cancelled caller neither leaks a kernel nor frees a place too early.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from .bound import Bound
from .errors import KernelError, LeaseTimeout, PoolClosed, PoolError
from .kernel import Backend, BaseSpec, Kernel, Limits, ReadOnlyMount, Snapshot
from .lease import Lease, LeasedKernel, Place, Request
from .places import Deadline, Places
from .stats import Counters, PoolStats

MAX_IDLE = 4  #: unused kernels kept for an equal request; what is asked for again is asked for soon
HEALTH_S = 5.0  #: seconds an unused kernel has to answer before it is handed on

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(eq=False)
class _Preparation:
    """One `prepare` under way and how many wait for it."""

    spec: BaseSpec
    task: asyncio.Task[Snapshot]
    callers: int = 0


class KernelPool:
    """Kernels of one back-end for the tasks of one event loop. Closing the pool leaves the back-end open."""

    def __init__(self, backend: Backend, max_concurrent: int = 8, *, bound: Bound | None = None) -> None:
        """`bound` is shared with the pools of other processes; both bounds hold."""
        if max_concurrent < 1:
            raise ValueError(f"max_concurrent must be at least 1, not {max_concurrent}")
        self._backend = backend
        self._max = max_concurrent
        self._places = Places(max_concurrent, bound)
        self._count = Counters()
        self._leased: set[Place] = set()
        self._idle: list[tuple[Request, Kernel]] = []  # oldest first
        self._evicting: set[asyncio.Task[None]] = set()
        self._preparing: list[_Preparation] = []
        self._background: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._gone: asyncio.Future[None] | None = None  # done when the pool closes
        self._closing: asyncio.Task[None] | None = None

    @property
    def backend(self) -> Backend:
        """The back-end the kernels come from."""
        return self._backend

    async def prepare(self, spec: BaseSpec) -> Snapshot:
        """Build a base, holding one place meanwhile. Equal specs asked for at the same time are built once.

        Raises what `Backend.prepare` raises, and `PoolClosed`.
        """
        self._check_open()
        preparation = next((p for p in self._preparing if p.spec == spec), None)
        if preparation is None:
            preparation = _Preparation(spec, self._spawn(self._prepare(spec)))
            self._preparing.append(preparation)
        preparation.callers += 1
        try:
            return await self._outcome(preparation.task, Deadline(None), "the base")
        finally:
            preparation.callers -= 1
            if preparation.callers == 0:
                self._preparing.remove(preparation)
                preparation.task.cancel()  # nobody waits for it any more; no effect when it is done

    async def acquire(
        self,
        snapshot: Snapshot,
        *,
        timeout_s: float | None = None,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
    ) -> Lease:
        """A kernel in the snapshot's state. `timeout_s` covers waiting and starting; None waits for ever.

        The lease ends when it is released, when nobody refers to it or its kernel any more, or when the task
        that acquired it fails or is cancelled. Raises `LeaseTimeout`, `PoolClosed`, and what
        `Backend.start` raises.
        """
        request, deadline = Request(snapshot, limits, tuple(mounts)), Deadline(timeout_s)
        [lease] = await self._fill(await self._take(1, deadline), request, deadline)
        return lease

    @asynccontextmanager
    async def lease(
        self,
        snapshot: Snapshot,
        *,
        timeout_s: float | None = None,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
    ) -> AsyncIterator[Kernel]:
        """`acquire` for a `with` block."""
        lease = await self.acquire(snapshot, timeout_s=timeout_s, limits=limits, mounts=mounts)
        try:
            yield lease.kernel
        finally:
            await lease.release()

    async def fork(
        self,
        snapshot: Snapshot,
        n: int,
        *,
        timeout_s: float | None = None,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
    ) -> list[Lease]:
        """`n` kernels in the snapshot's state, all or none. Raises as `acquire`, and `PoolError` if n is too large."""
        if n < 1:
            raise ValueError(f"a fork needs at least one kernel, not {n}")
        if n > self._max:
            raise PoolError(
                f"{n} kernels at once are wanted, max_concurrent is {self._max}: raise it, or lease them in turns"
            )
        request, deadline = Request(snapshot, limits, tuple(mounts)), Deadline(timeout_s)
        return await self._fill(await self._take(n, deadline), request, deadline)

    def stats(self) -> PoolStats:
        """The counters now."""
        return PoolStats(
            max_concurrent=self._max,
            leased=len(self._leased),
            idle=len(self._idle),
            waiting=self._places.waiting,
            wait_s=self._places.wait_s,
            **vars(self._count),
        )

    async def close(self) -> None:
        """Close every kernel and send away who waits (`PoolClosed`). Returns when all is gone. Idempotent."""
        if self._closing is None:
            self._closed = True
            if self._gone is not None:
                self._gone.set_result(None)
            self._closing = asyncio.get_running_loop().create_task(self._shut_down())
        await asyncio.shield(self._closing)

    # ---- from a place to a lease

    async def _take(self, n: int, deadline: Deadline) -> list[Place]:
        self._check_open()
        taking = self._spawn(self._places.take(n, deadline))
        taken = False
        try:
            places = await self._outcome(taking, deadline, "a place")
            taken = True
            return places
        finally:
            if not taken:
                taking.cancel()
                self._spawn(self._places.give_back(taking), watched=False)

    async def _fill(self, places: list[Place], request: Request, deadline: Deadline) -> list[Lease]:
        """A kernel on each of the places, or none at all."""
        starting = [self._spawn(self._start(place, request)) for place in places]
        filled = False
        try:
            kernels = [await self._outcome(task, deadline, "a kernel") for task in starting]
            filled = True
        finally:
            if not filled:
                for place, task in zip(places, starting, strict=True):
                    self._spawn(self._retire(place, task), watched=False)
        owner = asyncio.current_task()
        return [self._lend(place, kernel, owner) for place, kernel in zip(places, kernels, strict=True)]

    async def _start(self, place: Place, request: Request) -> Kernel:
        """An unused kernel of an equal request, or a new one. Runs to its end whoever is still waiting."""
        place.request = request
        place.kernel = await self._reuse(request)
        if place.kernel is None:
            await self._make_room()
            with self._count.one_more():
                place.kernel = await self._backend.start(
                    request.snapshot, limits=request.limits, mounts=request.mounts
                )
        return place.kernel

    async def _reuse(self, request: Request) -> Kernel | None:
        while found := next((idle for idle in self._idle if idle[0] == request), None):
            self._idle.remove(found)
            if await _answers(found[1]):
                self._count.reused += 1
                return found[1]
            await self._close_kernel(found[1])
        return None

    async def _make_room(self) -> None:
        """Close idle kernels until one more may exist: who holds an empty place finds one idle or on its way out."""
        while self._count.live >= self._max:
            if self._idle:
                self._evict()
            await asyncio.wait(self._evicting, return_when=asyncio.FIRST_COMPLETED)

    def _evict(self) -> None:
        """Close the oldest idle kernel."""
        _, kernel = self._idle.pop(0)
        self._evicting.add(evicting := self._spawn(self._close_kernel(kernel), watched=False))
        evicting.add_done_callback(self._evicting.discard)

    async def _retire(self, place: Place, starting: asyncio.Task[Kernel]) -> None:
        """The one who asked is gone: close the kernel as soon as it is there."""
        await asyncio.wait({starting})
        place.used = True
        await self._settle(place)

    def _lend(self, place: Place, kernel: Kernel, owner: asyncio.Task[Any] | None) -> Lease:
        leased = LeasedKernel(place, kernel, self._end)
        weakref.finalize(leased, _dropped, self, place, asyncio.get_running_loop()).atexit = False
        if owner is not None:
            watch = partial(self._owner_ended, place)
            owner.add_done_callback(watch)
            place.forget_owner = partial(owner.remove_done_callback, watch)
        self._leased.add(place)
        self._count.leases += 1
        return Lease(leased)

    # ---- the end of a lease

    def _owner_ended(self, place: Place, owner: asyncio.Task[Any]) -> None:
        # A task that ends well may have passed the lease on (`gather`, `wait_for`); one that fails has not.
        # What it returned may hold the leased kernel: kept here, it would never be seen to be dropped.
        place.forget_owner = _nothing
        if owner.cancelled():
            self._abandon(place, "the task that held it was cancelled")
        elif error := owner.exception():
            self._abandon(place, f"the task that held it failed: {error!r}")

    def _abandon(self, place: Place, why: str) -> None:
        if place.ending is None and place.kernel is not None:
            _log.warning("kernel %s was never released: %s", place.kernel.id, why)
            self._count.abandoned += 1
            place.used = True
            self._end(place)

    def _end(self, place: Place) -> asyncio.Task[None]:
        """End a lease, once: the task that closes its kernel and frees its place."""
        if place.ending is None:
            place.forget_owner()
            self._leased.discard(place)
            place.ending = self._spawn(self._settle(place), watched=False)
        return place.ending

    async def _settle(self, place: Place) -> None:
        kernel, place.kernel = place.kernel, None
        try:
            if kernel is not None and place.request is not None and self._may_be_kept(place, place.request):
                self._idle.append((place.request, kernel))
                if len(self._idle) > MAX_IDLE:
                    self._evict()
            elif kernel is not None:
                await self._close_kernel(kernel)
        finally:
            await self._places.free(place)

    def _may_be_kept(self, place: Place, request: Request) -> bool:
        # With a shared bound, an idle kernel would keep others from theirs; what is mounted may change on the host.
        return not (place.used or self._closed or self._places.shared is not None or request.mounts)

    async def _close_kernel(self, kernel: Kernel) -> None:
        try:
            await kernel.close()
        except (KernelError, OSError):
            # The holder's work is done and must not fail for this; the back-end's reaper finds what is left.
            self._count.failed_closes += 1
            _log.exception("kernel %s could not be closed", kernel.id)
        finally:
            self._count.live -= 1

    async def _prepare(self, spec: BaseSpec) -> Snapshot:
        [place] = await self._places.take(1, Deadline(None))
        try:
            await self._make_room()
            with self._count.one_meanwhile():
                return await self._backend.prepare(spec)
        finally:
            await self._places.free(place)

    # ---- the pool's own tasks

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed("the pool is closed; make a new one")
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()

    def _spawn(self, work: Coroutine[Any, Any, _T], *, watched: bool = True) -> asyncio.Task[_T]:
        """A task that the pool keeps alive. Not `watched`: nobody may look at its outcome, so failures are logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(_seen if watched else _log_failure)
        return task

    async def _outcome(self, task: asyncio.Task[_T], deadline: Deadline, what: str) -> _T:
        """What the task gives, in time and with the pool still open. Leaving early does not end the task."""
        assert self._gone is not None
        either: set[asyncio.Future[Any]] = {task, self._gone}
        await asyncio.wait(either, timeout=deadline.left(), return_when=asyncio.FIRST_COMPLETED)
        if self._closed:
            raise PoolClosed("the pool was closed meanwhile")
        if not task.done():
            raise LeaseTimeout(
                f"{what} was not there within {deadline.total_s:g} s ({self._count.live} of {self._max} kernels "
                f"are live, {self._places.waiting} requests wait): raise timeout_s or max_concurrent"
            )
        return task.result()

    async def _shut_down(self) -> None:
        for preparation in self._preparing:
            preparation.task.cancel()
        for place in list(self._leased):
            place.used = True
            self._end(place)
        while self._idle or self._background:
            idle, self._idle = self._idle, []
            for _, kernel in idle:
                await self._close_kernel(kernel)
            if self._background:
                await asyncio.wait(self._background, return_when=asyncio.FIRST_COMPLETED)


async def _answers(kernel: Kernel) -> bool:
    try:
        async with asyncio.timeout(HEALTH_S):
            return await kernel.healthy()
    except (TimeoutError, KernelError, OSError):
        return False


def _dropped(pool: KernelPool, place: Place, loop: asyncio.AbstractEventLoop) -> None:
    """Nobody refers to the leased kernel any more. Called by the garbage collector, in any thread."""
    if place.ending is None:
        with suppress(RuntimeError):  # the loop is closed: nothing runs any more, the back-end cleans up
            loop.call_soon_threadsafe(pool._abandon, place, "nobody refers to it any more")


def _nothing() -> None:
    pass


def _seen(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        _log.error("the end of a kernel went wrong", exc_info=error)
