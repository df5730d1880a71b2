"""What the tests of the local back-end share: a back-end that is closed whatever happens, and small helpers."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kernel_pool import BaseSpec, Snapshot
from kernel_pool.backends.local import LocalBackend
from kernel_pool.backends.local.handle import LocalKernel
from kernel_pool.kernel import Network

STATE = Path(f"/var/tmp/rollout-fork-tests-{os.geteuid()}")


@asynccontextmanager
async def local(
    state_dir: Path = STATE,
    *,
    warm: tuple[str, ...] = (),
    network: Network = "none",
    cgroups: bool = True,
) -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(state_dir, warm=warm, network=network, cgroups=cgroups)
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def kernel(
    *, cgroups: bool = True, **options: object
) -> AsyncIterator[tuple[LocalBackend, Snapshot, LocalKernel]]:
    async with local(cgroups=cgroups) as backend:
        base = await backend.prepare(BaseSpec())
        yield backend, base, await backend.start(base, **options)  # type: ignore[arg-type]


async def shell(target: LocalKernel, command: str) -> str:
    """Standard output of a command that must succeed."""
    result = await target.run(command)
    assert result.ok, (command, result)
    return result.stdout.decode()


PYTHON = sys.executable
