"""The Docker back-end through the real SDK, against the loopback engine: the contract, and an engine's faults."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from servers.docker_api import DockerApi

from kernel_pool.backends.docker import DockerBackend
from kernel_pool.selfcheck import check, names

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DockerApi]:
    async with DockerApi(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def back_end(
    engine: DockerApi, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DockerBackend]:
    import asyncio

    made = await asyncio.to_thread(DockerBackend, tmp_path_factory.mktemp("state"), base_url=engine.url)
    yield made
    await made.close()


@pytest.mark.parametrize("behaviour", names())
async def test_the_contract_holds_against_the_loopback_engine(
    back_end: DockerBackend, behaviour: str
) -> None:
    [outcome] = await check(back_end, only=[behaviour])
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.ok, outcome.detail
