"""A real back-end with a clock: its kernels are counted, and starting or closing them can be made slow or fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kernel_pool import (
    Backend,
    BaseSpec,
    Capabilities,
    Kernel,
    KernelStartFailed,
    Limits,
    ReadOnlyMount,
    Snapshot,
)


class Watched:
    """Delegates to a real back-end and counts what exists from the start's first moment to the end of `close`."""

    def __init__(self, inner: Backend, *, start_s: float = 0.0, close_s: float = 0.0) -> None:
        self.inner, self.start_s, self.close_s = inner, start_s, close_s
        self.live = self.peak = self.prepared = 0
        self.kernels: list[Kernel] = []
        self.failing: Callable[[int], bool] = lambda number: False
        self._number = 0

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    async def prepare(self, spec: BaseSpec) -> Snapshot:
        self._one_more()
        try:
            self.prepared += 1
            await asyncio.sleep(self.start_s)
            return await self.inner.prepare(spec)
        finally:
            self.live -= 1

    async def start(
        self, snapshot: Snapshot, *, limits: Limits | None = None, mounts: Sequence[ReadOnlyMount] = ()
    ) -> Kernel:
        self._number += 1
        number = self._number
        self._one_more()
        try:
            await asyncio.sleep(self.start_s)
            if self.failing(number):
                raise KernelStartFailed(f"start {number} was told to fail")
            kernel = await self.inner.start(snapshot, limits=limits, mounts=mounts)
        except KernelStartFailed:
            self.live -= 1
            raise
        self.kernels.append(kernel)
        self._count_close(kernel)
        return kernel

    def _count_close(self, kernel: Kernel) -> None:
        close, closed = kernel.close, False

        async def counted() -> None:
            nonlocal closed
            await asyncio.sleep(self.close_s)
            await close()
            if not closed:
                closed = True
                self.live -= 1

        kernel.close = counted  # type: ignore[method-assign]

    def _one_more(self) -> None:
        self.live += 1
        self.peak = max(self.peak, self.live)

    async def export(self, snapshot: Snapshot, target: object) -> None:
        raise AssertionError("not used here")

    async def load(self, base: Snapshot, archive: object, *, env: str = "") -> Snapshot:
        raise AssertionError("not used here")

    async def close(self) -> None:
        await self.inner.close()


async def eventually(condition: Callable[[], bool], within_s: float = 3.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)
