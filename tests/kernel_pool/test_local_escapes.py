"""Every known way out of a kernel, tried from inside, with a host on which the way is open to compare with."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from local_support import STATE, local

from kernel_pool import BaseSpec
from kernel_pool.backends.local import escapes
from kernel_pool.backends.local.handle import LocalKernel


@pytest.fixture(scope="module")
def lures() -> Iterator[escapes.Lures]:
    with tempfile.TemporaryDirectory() as scratch, escapes.lures(Path(scratch), STATE) as out:
        yield out


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live() -> AsyncIterator[LocalKernel]:
    async with local() as backend:
        yield await backend.start(await backend.prepare(BaseSpec()))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", escapes.ROWS)
async def test_a_way_out_is_closed(live: LocalKernel, lures: escapes.Lures, row: str) -> None:
    tried = await escapes.attempt(live, row, lures)
    assert tried.held, tried
    assert "NameError" not in tried.seen and "SyntaxError" not in tried.seen, tried
    assert (await live.run("echo fine")).stdout == b"fine\n"


@pytest.mark.parametrize("row", sorted(set(escapes.ROWS) - escapes.WITHOUT_BASELINE))
def test_the_same_way_is_open_on_the_host(lures: escapes.Lures, row: str, tmp_path: Path) -> None:
    tried = subprocess.run(
        escapes.program(row, lures),
        capture_output=True,
        env={"LURE": lures.secret},
        cwd=tmp_path,
        check=False,
    )
    assert tried.stdout == b"out\n", tried.stderr.decode()


@pytest.mark.asyncio(loop_scope="module")
async def test_doctor_tries_them_all(live: LocalKernel, lures: escapes.Lures) -> None:
    tried = [one async for one in escapes.try_all(live, lures)]
    assert [one.what for one in tried] == list(escapes.ROWS)
    assert all(one.held for one in tried)
