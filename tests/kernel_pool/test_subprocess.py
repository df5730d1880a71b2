"""What is particular about the back-end without a sandbox; the contract has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_pool import Backend, BaseSpec, CopyIn, Limits, ReadOnlyMount, RunStep, UnsupportedFeature
from kernel_pool.registry import BACKENDS, Registry, backend


def test_it_is_refused_unless_it_is_allowed_expressly() -> None:
    with pytest.raises(UnsupportedFeature, match=r"backend\.allow_unsandboxed"):
        backend("subprocess")


async def test_it_says_that_it_isolates_nothing(plain: Backend) -> None:
    assert not plain.capabilities.isolated
    assert plain.capabilities.network == "host"
    assert "processes" not in plain.capabilities.enforces


async def test_absolute_arguments_of_a_sequence_mean_the_kernels_files(
    plain: Backend, tmp_path: Path
) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test.sh").write_text('cat "$1"; pwd\n')
    state = await plain.prepare(BaseSpec(steps=(RunStep("echo content > file"),)))
    kernel = await plain.start(state, mounts=[ReadOnlyMount(tests, "/tests")])
    result = await kernel.run(["bash", "/tests/test.sh", "/app/file"])
    assert result.stdout.startswith(b"content\n"), result
    assert result.stdout.endswith(b"/root/app\n")
    assert (await kernel.run(["/bin/echo", "/usr/bin", "/nowhere"])).stdout == b"/usr/bin /nowhere\n"
    assert (await kernel.run("cat $KERNEL_ROOT/app/file")).stdout == b"content\n"
    await kernel.close()


async def test_variables_of_the_base_that_hold_paths_are_mapped(plain: Backend) -> None:
    state = await plain.prepare(BaseSpec(env={"PYTHONPATH": "/app/src:/usr/lib", "COLOUR": "a:b"}))
    kernel = await plain.start(state)
    shown = (await kernel.run("echo $PYTHONPATH $COLOUR")).stdout.decode().split()
    assert shown[0].endswith("/root/app/src:/usr/lib")
    assert shown[1] == "a:b"
    await kernel.close()


async def test_the_interpreters_own_directories_keep_their_meaning_wherever_they_lie(
    plain: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel_pool.backends.plain_kernel._TOOLS", ("/tmp/checkout/.venv",))
    kernel = await plain.start(await plain.prepare(BaseSpec(env={"WAY": "/tmp/checkout/.venv/bin:/tmp/x"})))
    ours, kernels = (await kernel.run("echo $WAY")).stdout.decode().strip().split(":")
    assert ours == "/tmp/checkout/.venv/bin"
    assert kernels.endswith("/root/tmp/x")
    await kernel.close()


async def test_a_fork_in_another_process_s_state_dir_finds_its_shell(plain: Backend, tmp_path: Path) -> None:
    kernel = await plain.start(await plain.prepare(BaseSpec()))
    await kernel.run("mkdir here; cd here; WHERE=$PWD")
    snapshot = await kernel.snapshot()
    assert str(tmp_path) not in snapshot.env
    assert kernel.id not in snapshot.env
    await plain.export(snapshot, tmp_path / "layer.tar")
    other = backend("subprocess", state_dir=tmp_path / "elsewhere", allow_unsandboxed=True)
    loaded = await other.load(await other.prepare(BaseSpec()), tmp_path / "layer.tar", env=snapshot.env)
    assert loaded.digest == snapshot.digest
    fork = await other.start(loaded)
    seen = (await fork.run('pwd; [ "$WHERE" = "$PWD" ] && echo same')).stdout.decode()
    assert seen.startswith(str(tmp_path / "elsewhere"))
    assert seen.endswith("same\n")
    await other.close()


async def test_images_it_cannot_have_are_refused(plain: Backend) -> None:
    assert (await plain.prepare(BaseSpec(image="docker.io/library/python:3.12-slim"))).base
    with pytest.raises(UnsupportedFeature, match="ubuntu-with-cuda"):
        await plain.prepare(BaseSpec(image="ubuntu-with-cuda"))


async def test_copying_into_a_base_follows_no_link_out_of_it(plain: Backend, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (tmp_path / "data.txt").write_text("data")
    steps = (
        RunStep(f"ln -s {victim} $KERNEL_ROOT/way"),
        CopyIn(tmp_path / "data.txt", "/way/data.txt"),
    )
    state = await plain.prepare(BaseSpec(steps=steps))
    assert list(victim.iterdir()) == []
    kernel = await plain.start(state)
    assert await kernel.read("/way/data.txt") == b"data"
    await kernel.close()


async def test_closing_the_back_end_closes_its_kernels(plain: Backend, tmp_path: Path) -> None:
    state = await plain.prepare(BaseSpec())
    kernels = [await plain.start(state, limits=Limits(wall_s=5)) for _ in range(3)]
    await plain.close()
    await plain.close()
    assert [await kernel.healthy() for kernel in kernels] == [False] * 3
    assert list((tmp_path / "state" / "plain" / "kernels").iterdir()) == []
    assert list((tmp_path / "state" / "plain" / "owners").iterdir()) == []


def test_an_unknown_back_end_or_option_is_named_with_what_there_is() -> None:
    with pytest.raises(UnsupportedFeature, match="did you mean local"):
        backend("locl")
    with pytest.raises(UnsupportedFeature, match="its options are state_dir, allow_unsandboxed"):
        backend("subprocess", colour="red")
    assert BACKENDS.names() == ["docker", "e2b", "local", "subprocess"]


def test_a_registry_finds_what_users_register() -> None:
    registry: Registry[type[Path]] = Registry("thing", {})
    registry.register("path", "pathlib:Path")
    assert registry.load("path") is Path
    with pytest.raises(ValueError, match="module:Name"):
        registry.register("wrong", "pathlib.Path")
    with pytest.raises(KeyError, match="did you mean path"):
        registry.load("paht")
