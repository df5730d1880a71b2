"""The E2B back-end keeps the contract, through E2B's own SDK, against a server on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from e2b_support import served

from kernel_pool import Backend
from kernel_pool.selfcheck import check, names


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def e2b(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    async with served(tmp_path_factory.mktemp("e2b")) as (_server, made):
        yield made


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behaviour", names())
async def test_the_e2b_back_end_keeps_the_contract(e2b: Backend, behaviour: str) -> None:
    [outcome] = await check(e2b, only=[behaviour])
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.ok, outcome.detail
