"""The Docker back-end on a real engine: the contract, and what is Docker's own."""

from __future__ import annotations

import pytest
from docker_support import address, back_end  # noqa: F401 - fixtures

from kernel_pool.backends.docker import DockerBackend
from kernel_pool.selfcheck import check, names


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behaviour", names())
async def test_the_back_end_keeps_the_contract(back_end: DockerBackend, behaviour: str) -> None:  # noqa: F811
    [outcome] = await check(back_end, only=[behaviour])
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.ok, outcome.detail
