"""The Docker back-end through the real SDK, against the loopback engine: the contract, and an engine's faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from servers.docker_api import DockerApi, Fault

from kernel_pool import (
    BackendUnavailable,
    BaseSpec,
    Kernel,
    KernelClosed,
    KernelError,
    KernelStartFailed,
    Limits,
    SnapshotMissing,
)
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
    made = await asyncio.to_thread(DockerBackend, tmp_path_factory.mktemp("state"), base_url=engine.url)
    yield made
    await made.close()


#: what the loopback engine does not measure; the real one is held to it in test_docker.py
UNMEASURED = {"cpu_time_is_bounded", "disk_space_is_bounded"}


@pytest.mark.parametrize("behaviour", sorted(set(names()) - UNMEASURED))
async def test_the_contract_holds_against_the_loopback_engine(
    back_end: DockerBackend, behaviour: str
) -> None:
    [outcome] = await check(back_end, only=[behaviour])
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.ok, outcome.detail


@pytest_asyncio.fixture(loop_scope="module")
async def kernel(back_end: DockerBackend, engine: DockerApi) -> AsyncIterator[Kernel]:
    made = await back_end.start(await back_end.prepare(BaseSpec()))
    yield made
    engine.faults.clear()
    await made.close()


@pytest.mark.parametrize("path", ["/containers/create$", "/containers/[^/]+/start$"])
@pytest.mark.parametrize("status", [500, 0])
async def test_a_container_that_cannot_be_made_is_told_and_nothing_is_left(
    engine: DockerApi, back_end: DockerBackend, path: str, status: int
) -> None:
    state = await back_end.prepare(BaseSpec())
    before = set(engine.world.containers)
    engine.faults.append(Fault("POST", path, status=status, message="no space left on device"))
    with pytest.raises(KernelStartFailed, match=engine.url) as told:
        await back_end.start(state)
    assert not status or "no space left on device" in str(told.value)
    assert set(engine.world.containers) == before


async def test_a_state_whose_image_was_removed_is_missing(
    engine: DockerApi, back_end: DockerBackend, kernel: Kernel
) -> None:
    await kernel.run("echo x > x")
    state = await kernel.snapshot()
    engine.world.images = {
        n: i for n, i in engine.world.images.items() if not n.startswith("rollout-fork/state")
    }
    with pytest.raises(SnapshotMissing, match=engine.url):
        await back_end.start(state)


async def test_a_stream_that_is_cut_is_an_error_and_the_kernel_goes_on(
    engine: DockerApi, kernel: Kernel
) -> None:
    engine.faults.append(Fault("POST", "/exec/[^/]+/start", cut_after=5000))
    with pytest.raises(KernelError, match="connection of a command was lost"):
        await kernel.run("for i in {1..2000}; do echo $i; done; sleep 30; echo late > late")
    assert (await kernel.run("echo on; ls")).stdout.split()[0] == b"on"
    assert "late" not in {info.path for info in await kernel.list()}


async def test_a_request_that_is_cut_is_an_error_that_names_the_engine(
    engine: DockerApi, kernel: Kernel
) -> None:
    engine.faults.append(Fault("POST", "/containers/[^/]+/exec$"))
    with pytest.raises(KernelError, match=f"{engine.url} does not answer"):
        await kernel.run("true")
    assert (await kernel.run("true")).ok


async def test_a_container_that_dies_under_a_command_is_a_closed_kernel(
    engine: DockerApi, kernel: Kernel
) -> None:
    running = asyncio.ensure_future(kernel.run("sleep 30"))
    await asyncio.sleep(0.6)
    await engine.world.kill_container(kernel.id)
    with pytest.raises(KernelClosed, match=kernel.id):
        await running
    for work in (kernel.run("true"), kernel.read("x"), kernel.snapshot()):
        with pytest.raises(KernelClosed, match=kernel.id):
            await work
    assert not await kernel.healthy()


@pytest.mark.parametrize("path", ["/changes$", "/commit$", "/archive$"])
async def test_a_snapshot_that_fails_leaves_a_kernel_that_goes_on(
    engine: DockerApi, kernel: Kernel, path: str
) -> None:
    await kernel.run(f"echo {path} > failing")
    engine.faults.append(
        Fault("POST" if path == "/commit$" else "GET", path, status=500, message="disk full")
    )
    with pytest.raises(KernelError, match="disk full"):
        await kernel.snapshot()
    assert (await kernel.run("cat failing")).stdout.decode() == f"{path}\n"
    assert (await kernel.snapshot()).layers


async def test_limits_that_cannot_be_put_in_force_stop_the_command(engine: DockerApi, kernel: Kernel) -> None:
    engine.faults.append(Fault("POST", "/update$", status=500, message="device or resource busy"))
    with pytest.raises(KernelError, match="device or resource busy"):
        await kernel.run("echo ran > ran", limits=Limits(memory_mb=77))
    assert "ran" not in {info.path for info in await kernel.list()}
    assert (await kernel.run("true", limits=Limits(memory_mb=77))).ok
    assert engine.requests.count(("POST", f"/containers/{kernel.id}/update")) == 2


async def test_a_slow_engine_costs_the_command_none_of_its_time(engine: DockerApi, kernel: Kernel) -> None:
    engine.faults.append(Fault("POST", "/containers/[^/]+/exec$", delay_s=0.8))
    result = await kernel.run("echo done", limits=Limits(wall_s=0.6))
    assert result.stdout == b"done\n" and result.wall_s < 0.6


async def test_an_image_that_cannot_be_pulled_is_named(back_end: DockerBackend) -> None:
    with pytest.raises(
        KernelError, match=r"image no/where could not|image no/where is not here.*docker pull no/where"
    ):
        await back_end.prepare(BaseSpec(image="no/where"))


async def test_a_build_that_fails_tells_its_step(back_end: DockerBackend, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.11-slim\nRUN echo the-reason; exit 3\n")
    with pytest.raises(KernelError, match=r"(?s)Step 2/2 : RUN echo the-reason.*code: 3.*the-reason"):
        await back_end.prepare(BaseSpec(dockerfile=tmp_path / "Dockerfile"))
    (tmp_path / "Dockerfile").write_text("FROM python:3.11-slim\nRUN echo built > /tmp/built\n")
    fresh = await back_end.start(await back_end.prepare(BaseSpec(dockerfile=tmp_path / "Dockerfile")))
    assert await fresh.read("/tmp/built") == b"built\n"
    await fresh.close()


async def test_an_engine_that_stops_is_an_error_and_not_a_result(tmp_path: Path) -> None:
    async with DockerApi(tmp_path / "engine") as engine:
        made = await asyncio.to_thread(DockerBackend, tmp_path / "state", base_url=engine.url)
        kernel = await made.start(await made.prepare(BaseSpec()))
        running = asyncio.ensure_future(kernel.run("sleep 30"))
        await asyncio.sleep(0.6)
        engine.stop()
        with pytest.raises(KernelError, match=engine.url):
            await running
        with pytest.raises(KernelError, match=engine.url):
            await kernel.read("x")
        assert not await kernel.healthy()
        with pytest.raises(BackendUnavailable, match=engine.url):
            await asyncio.to_thread(DockerBackend, tmp_path / "state", base_url=engine.url)
        with pytest.raises(KernelError, match=engine.url):
            await made.close()
