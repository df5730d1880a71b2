"""Bases from images and Dockerfiles, what happens without them, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from docker_support import IMAGE, address, back_end, client  # noqa: F401 - fixtures

from kernel_pool import BackendUnavailable, BaseSpec, KernelClosed, KernelError, RunStep
from kernel_pool.backends.docker import DockerBackend
from kernel_pool.backends.docker_engine.maker import KERNEL, OWNER
from kernel_pool.registry import backend

# ruff: noqa: F811 - a fixture is a parameter of the same name
pytestmark = pytest.mark.asyncio(loop_scope="module")

_OWNER = """
import asyncio, sys
from kernel_pool import BaseSpec, ReadOnlyMount
from kernel_pool.backends.docker import DockerBackend
from pathlib import Path

async def main():
    made = DockerBackend(Path(sys.argv[1]), image=sys.argv[2], base_url=sys.argv[3])
    kernel = await made.start(await made.prepare(BaseSpec()), mounts=[ReadOnlyMount(Path(sys.argv[1]), "/mnt")])
    print(kernel.id, flush=True)
    await kernel.run("sleep 300")

asyncio.run(main())
"""


@pytest_asyncio.fixture(loop_scope="module")
async def other(address: str, tmp_path: Path) -> AsyncIterator[DockerBackend]:
    """A back-end of one test's own."""
    made = DockerBackend(tmp_path / "state", image=IMAGE, base_url=address)
    yield made
    await made.close()


def _containers(address: str, label: str) -> list[str]:
    with client(address) as api:
        return [found["Names"][0].lstrip("/") for found in api.containers(all=True, filters={"label": label})]


def _of_this_process(address: str) -> list[str]:
    from kernel_pool.backends.docker_engine.maker import owner_labels

    return _containers(address, f"{OWNER}={owner_labels()[OWNER]}")


async def test_an_engine_that_is_not_there_is_named_with_the_mend(tmp_path: Path) -> None:
    for url in (
        f"unix://{tmp_path}/absent.sock",
        "tcp://127.0.0.1:9",
        "tcp://127.0.0.1:99999",
        "nonsense://x",
    ):
        with pytest.raises(
            BackendUnavailable, match=r"(?s)no Docker engine answers at .*DOCKER_HOST"
        ) as told:
            DockerBackend(tmp_path, base_url=url)
        assert url in str(told.value)


async def test_docker_host_is_where_the_engine_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(BackendUnavailable, match=r"absent\.sock"):
        backend("docker", state_dir=str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", address)
    made = backend("docker", state_dir=str(tmp_path), image=IMAGE)
    assert made.capabilities.images and made.name == "docker"
    await made.close()


async def test_a_runtime_that_the_engine_does_not_have_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(BackendUnavailable, match=r"no runtime 'absent'; it has .*runc"):
        DockerBackend(tmp_path, base_url=address, runtime="absent")


async def test_an_image_that_is_nowhere_is_named_with_the_mend(other: DockerBackend, address: str) -> None:
    before = set(_of_this_process(address))
    with pytest.raises(KernelError, match=r"(?s)image no/such-image:7 .*docker pull no/such-image:7"):
        await other.prepare(BaseSpec(image="no/such-image:7"))
    assert set(_of_this_process(address)) <= before


async def test_an_image_without_bash_is_told(other: DockerBackend, address: str) -> None:
    with client(address) as api:
        api.import_image_from_data(b"\0" * 10240, repository="rollout-fork/test-empty", tag="1")
    with pytest.raises(KernelError, match="images need bash"):
        await other.prepare(BaseSpec(image="rollout-fork/test-empty:1"))


async def test_a_dockerfile_is_built_by_the_engine_with_its_directory_as_context(
    other: DockerBackend, tmp_path: Path
) -> None:
    context = tmp_path / "environment"
    context.mkdir()
    (context / "data.txt").write_text("from the context\n")
    (context / "Dockerfile").write_text(
        f"FROM {IMAGE}\nENV FROM_FILE=yes\nCOPY data.txt /srv/data.txt\nRUN cat /srv/data.txt >/srv/built.txt\n"
    )
    spec = BaseSpec(
        dockerfile=context / "Dockerfile",
        env={"ALSO": "this"},
        steps=(RunStep("echo not carried out; exit 1"),),
    )
    state = await other.prepare(spec)
    assert await other.prepare(spec) == state
    kernel = await other.start(state)
    seen = await kernel.run('cat /srv/built.txt; echo "$FROM_FILE $ALSO"; pwd')
    assert seen.stdout == b"from the context\nyes this\n/app\n", seen
    (context / "data.txt").write_text("changed\n")
    assert (await other.prepare(spec)).base != state.base


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"FROM {IMAGE}\nRUN echo the-reason >&2; exit 3\n",
            r"(?s)RUN echo the-reason.*returned a non-zero code: 3.*the-reason",
        ),
        (f"FROM {IMAGE}\nCOPY absent /x\n", "(?s)COPY absent"),
        ("FORM nothing\n", "(?is)dockerfile.*FORM"),
    ],
)
async def test_a_dockerfile_that_fails_names_the_step_and_its_output(
    other: DockerBackend, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(KernelError, match=told):
        await other.prepare(BaseSpec(dockerfile=tmp_path / "Dockerfile"))


async def test_a_missing_dockerfile_is_an_error(other: DockerBackend, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="nowhere"):
        await other.prepare(BaseSpec(dockerfile=tmp_path / "nowhere" / "Dockerfile"))


async def test_closing_the_back_end_removes_all_of_its_containers(other: DockerBackend, address: str) -> None:
    before = set(_of_this_process(address))
    state = await other.prepare(BaseSpec())
    kernels = [await other.start(state) for _ in range(3)]
    await kernels[0].run("echo x >x")
    await kernels[0].snapshot()
    running = asyncio.ensure_future(kernels[1].run("sleep 60"))
    await asyncio.sleep(0.3)
    await other.close()
    with pytest.raises(KernelClosed):
        await running
    assert set(_of_this_process(address)) <= before
    with pytest.raises(KernelClosed):
        await other.start(state)


async def test_a_container_removed_behind_our_back_is_a_closed_kernel(
    other: DockerBackend, address: str
) -> None:
    kernel = await other.start(await other.prepare(BaseSpec()))
    running = asyncio.ensure_future(kernel.run("sleep 60"))
    await asyncio.sleep(0.5)
    with client(address) as api:
        api.remove_container(kernel.id, force=True)
    with pytest.raises(KernelClosed):
        await running
    for work in (
        kernel.run("true"),
        kernel.run(["true"]),
        kernel.read("x"),
        kernel.write("x", b""),
        kernel.list(),
    ):
        with pytest.raises(KernelClosed):
            await work
    with pytest.raises(KernelClosed):
        await kernel.snapshot()
    assert not await kernel.healthy()
    await kernel.close()


async def test_a_cancelled_start_leaves_no_container(other: DockerBackend, address: str) -> None:
    state = await other.prepare(BaseSpec())
    before = set(_of_this_process(address))
    for delay_s in (0.0, 0.02, 0.1):
        starting = asyncio.ensure_future(other.start(state))
        await asyncio.sleep(delay_s)
        starting.cancel()
        await asyncio.wait({starting})
        if not starting.cancelled():
            await starting.result().close()
    assert set(_of_this_process(address)) <= before


async def test_what_a_killed_process_left_is_reaped_and_the_living_are_spared(
    other: DockerBackend, address: str, tmp_path: Path
) -> None:
    mine = await other.start(await other.prepare(BaseSpec()))
    script = [sys.executable, "-c", _OWNER, str(tmp_path), IMAGE, address]
    owner = await asyncio.to_thread(subprocess.Popen, script, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner:
        theirs = (await asyncio.to_thread(owner.stdout.readline)).strip()
        assert await other.reap() == 0
        owner.kill()
    assert theirs in _containers(address, KERNEL)
    assert await other.reap() >= 1
    assert theirs not in _containers(address, KERNEL)
    assert mine.id in _containers(address, KERNEL)
    assert await mine.healthy()
    with client(address) as api:
        owners = [
            volume["Labels"][OWNER] for volume in api.volumes(filters={"label": OWNER})["Volumes"] or []
        ]
    assert not [found for found in owners if found.startswith(f"{owner.pid}-")]


async def test_many_kernels_work_at_once(other: DockerBackend) -> None:
    state = await other.prepare(BaseSpec())
    kernels = await asyncio.gather(*(other.start(state) for _ in range(12)))
    results = await asyncio.gather(*(kernel.run(f"echo {n} >n; cat n") for n, kernel in enumerate(kernels)))
    assert [result.stdout for result in results] == [f"{n}\n".encode() for n in range(12)]
    states = await asyncio.gather(*(kernel.snapshot() for kernel in kernels))
    assert len({found.digest for found in states}) == 12
    await asyncio.gather(*(kernel.close() for kernel in kernels))
