"""Pools over real back-ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel_pool import Backend, BaseSpec, KernelPool, Snapshot
from kernel_pool.registry import backend


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Backend]:
    """The subprocess back-end: no sandbox, so nothing else can fail."""
    made = backend("subprocess", state_dir=tmp_path / "state", allow_unsandboxed=True)
    yield made
    await made.close()


@pytest.fixture
async def state(plain: Backend) -> Snapshot:
    return await plain.prepare(BaseSpec())


@pytest.fixture
async def pool(plain: Backend) -> AsyncIterator[KernelPool]:
    """Two places."""
    made = KernelPool(plain, max_concurrent=2)
    yield made
    await made.close()
