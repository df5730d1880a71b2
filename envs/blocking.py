"""Episodes for callers without an event loop: one loop in a thread of its own, and sandboxes that all share.

    workshop = Workshop.open("local")
    episode = workshop.run(workshop.start(task))
    workshop.run(episode.reset())
    observation = workshop.run(episode.step(call))
    verdict = workshop.run(workshop.verify(episode, verifier))
    workshop.close()

The thread is started when it is first needed. A process that was forked from one with such a thread starts its
own, and leaves the sandboxes of its parent alone.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import json
import os
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kernel_pool import KernelPool, Limits, Snapshot
from kernel_pool.registry import backend as make_backend
from verifiers import Verdict, Verifier

from .diff import known_originals, originals
from .episode import Episode
from .errors import EpisodeOver
from .task import Task

T = TypeVar("T")

#: Sandboxes that may be held at once in one process, where nobody says otherwise.
MAX_KERNELS = 64
#: Seconds to wait for a sandbox before `LeaseTimeout` says that too many are held.
WAIT_S = 120.0


def run(work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
    """Carry out a coroutine on the background loop and wait for it; any thread may call.

    Raises what the coroutine raises, and `TimeoutError` after `timeout_s` seconds. An interrupt
    (`KeyboardInterrupt`) cancels the coroutine, waits until it has ended, and goes on. Raises `RuntimeError` when
    called from the background loop itself, which would wait for itself.
    """
    background = _background()
    if threading.get_ident() == background.thread.ident:
        work.close()
        raise RuntimeError("blocking.run was called from its own loop; await the coroutine there")
    job: _Job[T] = _Job(work, timeout_s)
    try:
        background.loop.call_soon_threadsafe(job.start)
        job.ended.wait()
    finally:
        if not job.ended.is_set():
            background.loop.call_soon_threadsafe(job.cancel)
            job.ended.wait()
    return job.result()


def start(work: Coroutine[Any, Any, Any]) -> None:
    """Have a coroutine carried out on the background loop without waiting for it; any thread may call."""
    _background().loop.call_soon_threadsafe(_Job(work, None).start)


def check_loop(coroutine: str, blocking: str) -> None:
    """Raises `RuntimeError` off the background loop, to which the sandboxes belong; `blocking` is the way there."""
    if asyncio.get_running_loop() is not _background().loop:
        raise RuntimeError(
            f"{coroutine} was awaited on another event loop than that of the sandboxes; await "
            f"asyncio.to_thread(env.{blocking}, ...) here, or have envs.blocking.run carry out {coroutine}"
        )


class Workshop:
    """A user's share of the sandboxes of this process: equal back-ends are one back-end.

    `pool` is for what an episode holds between calls. `checks` is for what ends by itself: preparing tasks and
    verifying. They are two pools of one back-end because whoever holds a sandbox and waits for another one of
    the same pool waits for ever once everybody does.
    """

    def __init__(self, shared: _Shared) -> None:
        """Use `Workshop.open`."""
        self._shared = shared
        self._closed = False

    @classmethod
    def open(
        cls,
        backend: str = "local",
        options: Mapping[str, Any] | None = None,
        *,
        max_kernels: int = MAX_KERNELS,
        max_checks: int | None = None,
    ) -> Workshop:
        """Join the users of a back-end, or be the first.

        `max_kernels` sandboxes may be held at once by all users who ask for the same, `max_checks` (default:
        twice the number of processors) may verify or prepare. Raises `UnsupportedFeature` and
        `BackendUnavailable`, with the mend.
        """
        checks = max_checks or 2 * (os.cpu_count() or 1)
        if max_kernels < 1:
            raise ValueError(f"max_kernels must be at least 1, not {max_kernels}")
        key = json.dumps([backend, dict(options or {}), max_kernels, checks], sort_keys=True, default=repr)
        with _lock:
            shared = _shared.get(key)
            if shared is None:
                made = make_backend(backend, **(options or {}))
                shared = _Shared(key, made.name, KernelPool(made, max_kernels), KernelPool(made, checks))
                _shared[key] = shared
            shared.users += 1
        return cls(shared)

    @property
    def backend(self) -> str:
        """The back-end's name."""
        return self._shared.backend

    @property
    def pool(self) -> KernelPool:
        """For sandboxes that are held."""
        return self._shared.pool

    @property
    def checks(self) -> KernelPool:
        """For sandboxes of a piece of work that ends by itself."""
        return self._shared.checks

    @property
    def usable(self) -> bool:
        """Neither closed, nor inherited from the process that this one was forked from."""
        return not self._closed and self._shared.pid == os.getpid()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """See `run`. Raises `EpisodeOver` when the workshop is not usable any more."""
        if not self.usable:
            work.close()
            what = "is closed" if self._closed else "belongs to the process this one was forked from"
            raise EpisodeOver(f"the workshop {what}; open another one")
        return run(work, timeout_s)

    async def prepare(self, task: Task) -> Snapshot:
        """A task's prepared state, with what a diff against it needs. Raises `KernelError`."""
        base = await self.checks.prepare(task.base)
        if known_originals(task.base.workdir, base.digest) is None:
            async with self.checks.lease(base, timeout_s=WAIT_S) as kernel:
                await originals(kernel, task.base.workdir, base.digest)
        return base

    async def start(
        self,
        task: Task,
        *,
        snapshot: Snapshot | None = None,
        limits: Limits | None = None,
        wait_s: float | None = WAIT_S,
        **settings: Any,
    ) -> Episode:
        """An episode in a sandbox of `pool`; `settings` are those of `Episode.start`.

        Raises `LeaseTimeout` when no sandbox became free within `wait_s` seconds, and other `KernelError`s.
        """
        base = await self.prepare(task)
        lease = await self.pool.acquire(snapshot or base, timeout_s=wait_s, limits=limits)
        return await Episode.start(
            task, self.pool, snapshot=snapshot, base=base, limits=limits, lease=lease, **settings
        )

    async def verify(self, episode: Episode, verifier: Verifier) -> Verdict:
        """Have an episode's present state verified, in sandboxes that nobody holds. Raises `KernelError`."""
        return await verifier.verify(await episode.submission(), self.checks)

    def close(self, *, wait: bool = True) -> None:
        """Leave; the last user's leaving ends every sandbox. Idempotent. Not `wait`: do not wait for that."""
        with _lock:
            if not self.usable:
                return
            self._closed = True
            self._shared.users -= 1
            if self._shared.users > 0:
                return
            _shared.pop(self._shared.key, None)
        if wait:
            run(self._shared.close())
        else:
            start(self._shared.close())


class _Shared:
    """One back-end and its pools, for all users in a process."""

    def __init__(self, key: str, backend: str, pool: KernelPool, checks: KernelPool) -> None:
        self.key = key
        self.backend = backend
        self.pool = pool
        self.checks = checks
        self.users = 0
        self.pid = os.getpid()

    async def close(self) -> None:
        await self.pool.close()
        await self.checks.close()
        await self.pool.backend.close()


@dataclass(frozen=True)
class _Background:
    """The loop and its thread."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread


class _Job(Generic[T]):
    """A coroutine on its way through the loop, seen from the thread that waits for it."""

    def __init__(self, work: Coroutine[Any, Any, T], timeout_s: float | None) -> None:
        self.ended = threading.Event()
        self._work = work
        self._timeout_s = timeout_s
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._in_time())
        self._task.add_done_callback(lambda _: self.ended.set())

    def cancel(self) -> None:
        if self._task is None:  # interrupted before it was handed over
            self._work.close()
            self.ended.set()
        else:
            self._task.cancel()

    def result(self) -> T:
        assert self._task is not None
        return self._task.result()

    async def _in_time(self) -> T:
        async with asyncio.timeout(self._timeout_s):
            return await self._work


_lock = threading.RLock()  # the collector may close a workshop while its own thread opens one
_current: _Background | None = None
_shared: dict[str, _Shared] = {}
_inherited: list[object] = []  # what belongs to the parent process: never used here, and never collected


def _background() -> _Background:
    """The loop of this process, started on first use."""
    global _current  # noqa: PLW0603 - one loop for the process
    with _lock:
        if _current is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(loop,), name="episodes", daemon=True)
            thread.start()
            _current = _Background(loop, thread)
        return _current


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _forget() -> None:
    """In a forked child: the thread is not here, and the sandboxes are the parent's."""
    global _lock, _current  # noqa: PLW0603
    _lock = threading.RLock()
    _inherited.extend([_current, *_shared.values()])
    _current = None
    _shared.clear()


def _close_all() -> None:
    """At exit: what nobody closed."""
    with _lock:
        left = list(_shared.values())
        _shared.clear()
    for shared in left:
        run(shared.close())


os.register_at_fork(after_in_child=_forget)
# Closing needs worker threads, which are gone when `atexit` begins. Threading's own hooks run before, the last one
# first: this one has to come after that of concurrent.futures.
importlib.import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_close_all)
