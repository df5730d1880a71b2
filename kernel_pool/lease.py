"""What a holder gets from the pool: a kernel that is its own until it gives it back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import KernelClosed
from .kernel import ExecResult, FileInfo, Kernel, Limits, OutputSink, ReadOnlyMount, Snapshot


@dataclass(frozen=True)
class Request:
    """What a kernel is wanted for. Equal requests may get each other's kernel, as long as nobody used it."""

    snapshot: Snapshot
    limits: Limits | None
    mounts: tuple[ReadOnlyMount, ...]


@dataclass(eq=False)
class Place:
    """One of the pool's places while it is taken, and the kernel on it. The pool's own bookkeeping."""

    local: object  #: token of the pool's bound
    shared: object  #: token of the bound shared with other processes, None without one
    kernel: Kernel | None = None
    request: Request | None = None  #: what the kernel was started for
    used: bool = False  #: anything was asked of the kernel
    ending: asyncio.Task[None] | None = None  #: giving the place back
    forget_owner: Callable[[], object] = field(default=lambda: None)  #: stop watching the holder's task


class Lease:
    """A kernel on loan. `release()` it, or leave it to the pool when its holder is gone."""

    def __init__(self, kernel: LeasedKernel) -> None:
        self._kernel = kernel

    @property
    def kernel(self) -> Kernel:
        """The kernel; after the release its methods raise `KernelClosed`."""
        return self._kernel

    @property
    def released(self) -> bool:
        """Whether the lease has ended."""
        return self._kernel.ended

    async def release(self) -> None:
        """Give the kernel back and wait until it is closed. Idempotent; goes on when the caller is cancelled."""
        await self._kernel.give_back()


class LeasedKernel:
    """A `Kernel` that works only as long as its lease, and notes that it was used."""

    def __init__(self, place: Place, kernel: Kernel, end: Callable[[Place], asyncio.Task[None]]) -> None:
        self._place = place
        self._inner = kernel
        self._end = end

    @property
    def id(self) -> str:
        """See `Kernel.id`."""
        return self._inner.id

    @property
    def ended(self) -> bool:
        """Whether the lease has ended."""
        return self._place.ending is not None

    async def run(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limits: Limits | None = None,
        on_output: OutputSink | None = None,
    ) -> ExecResult:
        """See `Kernel.run`."""
        kernel = self._use()
        return await kernel.run(command, cwd=cwd, env=env, stdin=stdin, limits=limits, on_output=on_output)

    async def read(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes:
        """See `Kernel.read`."""
        return await self._use().read(path, max_bytes=max_bytes)

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """See `Kernel.write`."""
        await self._use().write(path, data, mode=mode)

    async def list(self, path: str = ".", *, depth: int = 1, max_entries: int = 10_000) -> list[FileInfo]:
        """See `Kernel.list`."""
        return await self._use().list(path, depth=depth, max_entries=max_entries)

    async def snapshot(self) -> Snapshot:
        """See `Kernel.snapshot`."""
        return await self._use().snapshot()

    async def healthy(self) -> bool:
        """See `Kernel.healthy`. False once the lease has ended."""
        return not self.ended and await self._inner.healthy()

    async def close(self) -> None:
        """Close the kernel, which ends the lease."""
        self._place.used = True
        await self.give_back()

    async def give_back(self) -> None:
        """End the lease."""
        await asyncio.shield(self._end(self._place))

    def _use(self) -> Kernel:
        if self.ended:
            raise KernelClosed(f"kernel {self.id}: its lease has ended; acquire another one")
        self._place.used = True
        return self._inner
