"""The Docker back-end on a real engine: the contract, and what is Docker's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker_support
import pytest
import pytest_asyncio

from kernel_pool.backends.docker import DockerBackend
from kernel_pool.selfcheck import check, names


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with docker_support.engine(tmp_path_factory.mktemp("engine")) as found:
            yield found
    except LookupError as error:
        pytest.skip(str(error))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def back_end(address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DockerBackend]:
    state_dir: Path = tmp_path_factory.mktemp("docker")
    made = DockerBackend(state_dir, image=docker_support.IMAGE, base_url=address)
    yield made
    await made.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behaviour", names())
async def test_the_back_end_keeps_the_contract(back_end: DockerBackend, behaviour: str) -> None:
    [outcome] = await check(back_end, only=[behaviour])
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.ok, outcome.detail
