"""Sandboxes of E2B as one process has them: made at a bounded rate, bounded in number, kept alive, all ended.

Every sandbox carries who made it in its metadata, so that what a killed process leaves behind can be found.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar

from e2b import AsyncSandbox, SandboxQuery
from e2b.exceptions import RateLimitException, ServiceBusyException

from ...errors import BackendUnavailable, KernelClosed, KernelError, KernelStartFailed, SnapshotMissing
from ...journal import alive, process_start, surroundings
from . import failures
from .failures import Translated
from .pace import TokenBucket

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

_OWNER, _HOST, _INSTANCE, _KERNEL = (
    f"rollout-fork.{name}" for name in ("owner", "host", "instance", "kernel")
)
_MAX_FORKS = 20  # of one call
_ATTEMPTS = 4
_PAUSE_S = 0.5


class Cloud:
    """The part of an account that one back-end uses."""

    def __init__(
        self,
        connection: dict[str, Any],
        *,
        lifetime_s: int,
        creates_per_s: float,
        max_running: int,
        internet: bool,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._connection = connection
        self._lifetime_s = lifetime_s
        self._internet = internet
        self._pause_s = pause_s
        self._creates = TokenBucket(creates_per_s, max(1, int(creates_per_s)))
        self._max_running = max_running
        self._running = asyncio.Semaphore(max_running)
        self._one_by_one = asyncio.Lock()
        self._instance = uuid.uuid4().hex
        self._sandboxes: dict[str, AsyncSandbox] = {}
        self._gone: dict[str, str] = {}
        self._paused: set[str] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._asked = False  # for any sandbox
        self._closed = False

    def why_gone(self, sandbox: AsyncSandbox) -> str | None:
        """Why a sandbox could not be kept alive; None while nothing is known against it."""
        return self._gone.get(sandbox.sandbox_id)

    async def create(self, template: str, kernel_id: str, *, snapshot: bool) -> AsyncSandbox:
        """A new sandbox from a template, or from an E2B snapshot. Waits for its turn."""
        await self._running.acquire()
        with ExitStack() as undo:
            undo.callback(self._running.release)
            await self._creates.take()
            made = await self._whole(self._create(template, kernel_id, snapshot), self._discard)
            await self._hold([made])
            undo.pop_all()
        return made

    async def fork(self, sandbox: AsyncSandbox, count: int) -> list[AsyncSandbox]:
        """`count` running copies of a sandbox, memory and all. All of them or none.

        Raises `KernelStartFailed` when some cannot be made after patience; those that could are killed.
        """
        if not 0 < count < self._max_running:
            raise KernelStartFailed(
                f"{count} forks beside their source are no number below {self._max_running}"
            )
        with ExitStack() as undo:
            async with self._one_by_one:  # two that hold half of the places each would wait for ever
                for _ in range(count):
                    await self._running.acquire()
                    undo.callback(self._running.release)
                    await self._creates.take()
            made = await self._whole(self._fork(sandbox, count), self._discard_all)
            await self._hold(made)
            undo.pop_all()
        return made

    async def snapshot(self, sandbox: AsyncSandbox) -> str:
        """Freeze a sandbox; the id of the E2B snapshot. The sandbox goes on."""
        doing = f"taking a snapshot of sandbox {sandbox.sandbox_id}"
        info = await self._patiently(doing, sandbox.create_snapshot)
        return str(info.snapshot_id)

    async def delete_snapshot(self, cloud_id: str) -> bool:
        """Delete an E2B snapshot; False when there is none."""

        async def delete() -> bool:
            return bool(await AsyncSandbox.delete_snapshot(cloud_id, **self._connection))

        return await self._patiently(f"deleting snapshot {cloud_id}", delete)

    async def pause(self, sandbox: AsyncSandbox) -> None:
        """Put a sandbox to sleep, memory and all: it does not run, does not count as running and does not end."""
        await self._patiently(f"pausing sandbox {sandbox.sandbox_id}", sandbox.pause)
        self._paused.add(sandbox.sandbox_id)
        self._running.release()

    async def resume(self, sandbox: AsyncSandbox) -> None:
        """Wake it up again. Waits for its turn."""
        await self._running.acquire()
        with ExitStack() as undo:
            undo.callback(self._running.release)

            async def connect() -> AsyncSandbox:
                return await sandbox.connect(timeout=self._lifetime_s)

            await self._patiently(f"resuming sandbox {sandbox.sandbox_id}", connect)
            undo.pop_all()
        self._paused.discard(sandbox.sandbox_id)

    async def kill(self, sandbox: AsyncSandbox) -> None:
        """End a sandbox. Idempotent; one that is gone already is fine."""
        if self._sandboxes.pop(sandbox.sandbox_id, None) is None:
            return
        try:
            await self._discard(sandbox)
        finally:
            if sandbox.sandbox_id in self._paused:
                self._paused.discard(sandbox.sandbox_id)
            else:
                self._running.release()

    async def reap(self) -> int:
        """Kill running and paused sandboxes whose owner on this host is dead; how many there were."""
        here = surroundings()
        found = await self._listed({_HOST: _host(here)})
        removed = 0
        for sandbox_id, metadata in found:
            pid, _, start = metadata.get(_OWNER, "").partition("-")
            if not (pid.isdigit() and start.isdigit()):
                continue  # not written by us
            if not alive({"pid": int(pid), "start": int(start), **here}):
                removed += await self._kill(sandbox_id)
        return removed

    async def close(self) -> None:
        """End every sandbox of this instance, also those whose making got lost on the way. Idempotent."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
        await asyncio.gather(*(self.kill(sandbox) for sandbox in list(self._sandboxes.values())))
        if self._asked:
            for sandbox_id, _metadata in await self._listed({_INSTANCE: self._instance}):
                await self._kill(sandbox_id)
            self._asked = False

    async def _create(self, template: str, kernel_id: str, snapshot: bool) -> AsyncSandbox:
        me = os.getpid()
        metadata = {
            _OWNER: f"{me}-{process_start(me)}",
            _HOST: _host(surroundings()),
            _INSTANCE: self._instance,
            _KERNEL: kernel_id,
        }
        self._asked = True
        key = uuid.uuid4().hex  # a repeated request makes no second sandbox

        async def create() -> AsyncSandbox:
            return await AsyncSandbox.create(
                template,
                timeout=self._lifetime_s,
                metadata=metadata,
                allow_internet_access=self._internet,
                idempotency_key=key,
                **self._connection,
            )

        try:
            return await self._patiently(f"making a sandbox from {template}", create)
        except KernelError as error:
            if getattr(error.__cause__, "status_code", None) not in (400, 403, 404):
                raise
            if snapshot:
                raise SnapshotMissing(f"{error}. E2B has no snapshot {template} (any more)") from error
            raise BackendUnavailable(
                f"{error}. Is there a template {template!r} in this account? Its name is the option "
                "backend.options.template, or the task's image; `e2b template list` shows them"
            ) from error

    async def _fork(self, sandbox: AsyncSandbox, count: int) -> list[AsyncSandbox]:
        made: list[AsyncSandbox] = []
        failures_left = _ATTEMPTS
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._discard_all, made)
            while len(made) < count:
                items = await self._forked_once(sandbox, min(count - len(made), _MAX_FORKS))
                made += [item for item in items if isinstance(item, AsyncSandbox)]
                failed = [item for item in items if isinstance(item, Exception)]
                if failed:
                    failures_left -= 1
                    if not failures_left:
                        reason = "; ".join(sorted({str(error) for error in failed}))
                        raise KernelStartFailed(
                            f"{count - len(made)} of {count} forks of sandbox {sandbox.sandbox_id} failed: {reason}"
                        )
                    await self._pause(_ATTEMPTS - failures_left - 1)
            undo.pop_all()
        return made

    async def _forked_once(self, sandbox: AsyncSandbox, count: int) -> list[AsyncSandbox | Exception]:
        """What one request gave. A refusal of all of it is told for each; only a refusal has surely made none."""
        with Translated(f"forking sandbox {sandbox.sandbox_id}"):
            try:
                # Without a timeout of its own a fork would live for 15 seconds.
                return list(await sandbox.fork(count=count, timeout=self._lifetime_s, retries=0))
            except (RateLimitException, ServiceBusyException) as refusal:
                return [refusal] * count

    async def _whole(self, work: Awaitable[T], discard: Callable[[T], Awaitable[None]]) -> T:
        """Await work that makes something; what a cancelled caller does not take is discarded."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                await discard(task.result())
            raise

    async def _patiently(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call again, after growing pauses, while what goes wrong may pass. The SDK's own retries come first."""
        for attempt in range(_ATTEMPTS - 1):
            try:
                with Translated(doing):
                    return await call()
            except KernelError as error:
                if error.__cause__ is None or not failures.passing(error.__cause__):
                    raise
                await self._pause(attempt)
        with Translated(doing):
            return await call()

    async def _pause(self, attempt: int) -> None:
        await asyncio.sleep(self._pause_s * 2**attempt * random.uniform(0.75, 1.25))

    async def _hold(self, made: list[AsyncSandbox]) -> None:
        if self._closed:
            await self._discard_all(made)
            raise KernelClosed("the e2b back-end is closed")
        self._sandboxes |= {sandbox.sandbox_id: sandbox for sandbox in made}
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        """Push back the end of every sandbox long before it comes."""
        while True:
            await asyncio.sleep(self._lifetime_s / 3)
            awake = [box for key, box in self._sandboxes.items() if key not in self._paused]
            await asyncio.gather(*map(self._renew, awake))

    async def _renew(self, sandbox: AsyncSandbox) -> None:
        try:
            with Translated(f"keeping sandbox {sandbox.sandbox_id} alive"):
                await sandbox.set_timeout(self._lifetime_s)
        except KernelClosed as error:
            self._gone[sandbox.sandbox_id] = str(error)
        except KernelError as error:  # two more rounds come before its end
            _LOG.warning("%s", error)

    async def _discard(self, sandbox: AsyncSandbox) -> None:
        await self._kill(sandbox.sandbox_id)

    async def _discard_all(self, sandboxes: list[AsyncSandbox]) -> None:
        await asyncio.gather(*map(self._discard, sandboxes))

    async def _kill(self, sandbox_id: str) -> bool:
        self._gone.pop(sandbox_id, None)

        async def kill() -> bool:
            return bool(await AsyncSandbox.kill(sandbox_id, **self._connection))

        return await self._patiently(f"killing sandbox {sandbox_id}", kill)

    async def _listed(self, metadata: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
        """(id, metadata) of all running and paused sandboxes with this metadata."""
        pages = AsyncSandbox.list(query=SandboxQuery(metadata=metadata), **self._connection)
        found: list[tuple[str, dict[str, str]]] = []
        while pages.has_next:
            items = await self._patiently("listing sandboxes", pages.next_items)
            found += [(item.sandbox_id, dict(item.metadata or {})) for item in items]
        return found


def _host(here: dict[str, str]) -> str:
    return f"{here['boot']} {here['pid_namespace']}"
