"""A real pool over the local back-end, and a small task to verify work on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from kernel_pool import BaseSpec, CopyIn, Snapshot
from kernel_pool.pool import KernelPool
from kernel_pool.registry import backend
from verifiers import Submission, TestPlan

BUGGY = "def add(a, b):\n    return a - b\n"
FIXED = "def add(a, b):\n    return a + b\n"
HIDDEN = (
    "from calc import add\n\n"
    "def test_small():\n    assert add(2, 2) == 4\n\n"
    "def test_zero():\n    assert add(5, 0) == 5\n\n"
    "class TestLarge:\n    def test_large(self):\n        assert add(10**9, 1) == 10**9 + 1\n"
)

Work = Callable[..., Awaitable[Submission]]


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[KernelPool]:
    pool = KernelPool(backend("local", state_dir=tmp_path / "state"), max_concurrent=4)
    yield pool
    await pool.close()


@pytest.fixture
def tests_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "tests"
    directory.mkdir()
    (directory / "test_hidden.py").write_text(HIDDEN)
    return directory


@pytest.fixture
async def base(pool: KernelPool, tmp_path: Path) -> Snapshot:
    app = tmp_path / "app"
    app.mkdir()
    (app / "calc.py").write_text(BUGGY)
    (app / "test_visible.py").write_text(
        "from calc import add\n\ndef test_it():\n    assert add(1, 1) == 2\n"
    )
    return await pool.prepare(BaseSpec(steps=(CopyIn(app, "/app"),)))


@pytest.fixture
def work(pool: KernelPool, base: Snapshot, tests_dir: Path) -> Work:
    """What an agent's shell commands leave behind, with the task's tests."""

    async def do(
        *commands: str, command: str = "pytest /tests", result: str = "pytest", **plan: object
    ) -> Submission:
        async with pool.lease(base) as kernel:
            for each in commands:
                await kernel.run(each)
            snapshot = await kernel.snapshot()
        tests = TestPlan(directory=tests_dir, command=command, result=result, **plan)  # type: ignore[arg-type]
        return Submission("make add add", snapshot, tests=tests, base=base)

    return do
