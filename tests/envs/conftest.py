"""A real pool to run episodes in: plain directories, which need nothing of the machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from envs import load_tasks
from envs.task import Task
from kernel_pool import BaseSpec, CopyIn
from kernel_pool.pool import KernelPool
from kernel_pool.registry import backend
from verifiers import TestPlan

ADD = "def add(a, b):\n    return a - b\n"
TEST_ADD = "from add import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[KernelPool]:
    made = backend("subprocess", state_dir=tmp_path / "state", allow_unsandboxed=True)
    pool = KernelPool(made, max_concurrent=4)
    yield pool
    await pool.close()
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KernelPool]:
    """A pool of real sandboxes, for all tests of a module."""
    local = backend("local", state_dir=tmp_path_factory.mktemp("kernels"))
    pool = KernelPool(local, max_concurrent=2)
    yield pool
    await pool.close()
    await local.close()


@pytest.fixture
def task(tmp_path: Path) -> Task:
    home = tmp_path / "task"
    files = {
        "environment/add.py": ADD,
        "environment/test_add.py": TEST_ADD,
        "environment/data.bin": "\0\1\2",
        "environment/run.sh": "#!/bin/sh\necho ran\n",
        "tests/test_hidden.py": TEST_ADD,
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "environment/run.sh").chmod(0o755)
    return Task(
        id="add",
        instruction="Make `add` add.",
        base=BaseSpec(workdir="/app", steps=(CopyIn(home / "environment", "/app"),)),
        tests=TestPlan(home / "tests", command="python -m pytest /tests", result="pytest"),
        digest="d" * 64,
    )


@pytest.fixture(scope="module")
def add_task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A task with one bug, one visible and two hidden tests, read from its directory."""
    home = tmp_path_factory.mktemp("tasks") / "add"
    files = {
        "instruction.md": "Make `add` add.\n",
        "task.toml": '[metadata.rollout_fork]\nlanguage = "python"\nvisible_tests = "python -m pytest -q"\n'
        'hidden_tests = "python -m pytest /tests"\n',
        "environment/Dockerfile": "FROM python:3.11-slim\nWORKDIR /app\nCOPY app/ /app/\n",
        "environment/app/add.py": ADD,
        "environment/app/test_add.py": TEST_ADD,
        "tests/test_hidden.py": TEST_ADD + "\n\ndef test_zero():\n    assert add(0, 0) == 0\n",
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return load_tasks(home).tasks[0]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Options of a local back-end for all envs of a module, with a store of its own."""
    return {"state_dir": str(tmp_path_factory.mktemp("env-kernels"))}
