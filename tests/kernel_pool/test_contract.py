"""Every back-end keeps the one contract, behaviour by behaviour."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kernel_pool import Backend
from kernel_pool.registry import backend
from kernel_pool.selfcheck import check, names

OPTIONS: dict[str, dict[str, bool]] = {"subprocess": {"allow_unsandboxed": True}, "local": {}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=sorted(OPTIONS))
async def back_end(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Backend]:
    state_dir: Path = tmp_path_factory.mktemp(request.param)
    made = backend(request.param, state_dir=state_dir, **OPTIONS[request.param])
    yield made
    await made.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behaviour", names())
async def test_a_back_end_keeps_the_contract(back_end: Backend, behaviour: str) -> None:
    [outcome] = await check(back_end, only=[behaviour])
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.ok, outcome.detail
