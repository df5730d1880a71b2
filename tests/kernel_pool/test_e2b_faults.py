"""What E2B may do to us: each fault, as the real SDK brings it, becomes the error that says what to do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from e2b import AsyncSandbox
from e2b_support import back_end, served
from servers.e2b import E2BServer, Fault

from kernel_pool import (
    BackendUnavailable,
    BaseSpec,
    KernelClosed,
    KernelError,
    KernelStartFailed,
    SnapshotMissing,
)
from kernel_pool.registry import backend


def test_without_a_key_the_constructor_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    with pytest.raises(BackendUnavailable, match="E2B_API_KEY"):
        backend("e2b")


async def test_a_wrong_key_is_told_with_the_variable(tmp_path: Path) -> None:
    async with E2BServer(tmp_path) as server:
        made = back_end(server, tmp_path / "state", api_key="e2b_wrong")
        with pytest.raises(BackendUnavailable, match="E2B_API_KEY"):
            await made.prepare(BaseSpec())
        await made.close()
        assert server.count("create") == 0


async def test_a_service_that_does_not_answer_is_told_so(tmp_path: Path) -> None:
    async with E2BServer(tmp_path) as server:
        gone = dict(server.connection)
    made = backend("e2b", state_dir=tmp_path / "state", **gone)
    with pytest.raises(BackendUnavailable, match="does not answer"):
        await made.prepare(BaseSpec())
    await made.close()


async def test_a_template_that_does_not_exist_is_named_with_the_mend(tmp_path: Path) -> None:
    async with served(tmp_path, template="no-such-template") as (server, made):
        with pytest.raises(BackendUnavailable, match=r"no-such-template.*backend\.options\.template"):
            await made.prepare(BaseSpec())
        assert server.count("create") == 1, "what cannot pass is not tried again"
        with pytest.raises(KernelStartFailed, match="swebench-x"):
            await made.prepare(BaseSpec(image="swebench-x"))


async def test_an_image_that_is_a_template_is_used(tmp_path: Path) -> None:
    async with served(tmp_path, of_server={"templates": ("base", "team/tools")}) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec(image="team/tools")))
        assert (await kernel.run("echo on")).ok
        assert server.count("create") == 2
        await kernel.close()


async def test_a_rate_limit_is_waited_out_as_long_as_it_says(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        server.fail("create", Fault(status=429, headers={"Retry-After": "1"}))
        started = time.monotonic()
        await made.prepare(BaseSpec())
        assert time.monotonic() - started >= 1.0
        assert server.count("create") == 2


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failure_that_passes_is_tried_again_and_makes_one_sandbox(
    tmp_path: Path, status: int
) -> None:
    async with served(tmp_path) as (server, made):
        base = await made.prepare(BaseSpec())
        server.fail("create", Fault(status=status, message="hiccup"))
        kernel = await made.start(base)
        assert len(server.live) == 1
        await kernel.close()


async def test_patience_ends_with_the_kernel_not_started(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        base = await made.prepare(BaseSpec())
        before = server.count("create")
        server.fail("create", *[Fault(status=500, message="out of order")] * 20)
        with pytest.raises(KernelStartFailed, match="out of order"):
            await made.start(base)
        assert server.count("create") - before < 20
        assert server.live == {}


async def test_a_create_whose_answer_is_lost_leaves_nothing_after_close(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        base = await made.prepare(BaseSpec())
        server.fail("create", Fault(answer_lost=True))
        with pytest.raises(KernelError):
            await made.start(base)
        assert len(server.live) == 1, "the server made it all the same"
        kernel = await made.start(base)
        await kernel.close()


async def test_a_stream_that_breaks_in_a_command_closes_the_kernel(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        server.fail("start", Fault(drop_after=10))
        with pytest.raises(KernelClosed):
            await kernel.run("echo one; sleep 0.2; echo two > file")
        assert not await kernel.healthy()
        with pytest.raises(KernelClosed):
            await kernel.run("true")
        assert server.live == {}, "nobody knows what it holds now"


async def test_a_sandbox_that_dies_is_a_closed_kernel(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        base = await made.prepare(BaseSpec())
        idle, busy = await made.start(base), await made.start(base)
        running = asyncio.ensure_future(busy.run("sleep 50"))
        await asyncio.sleep(0.5)
        for sandbox_id in server.live:
            await server.die(sandbox_id)
        with pytest.raises(KernelClosed):
            await running
        assert not await idle.healthy()
        for work in (idle.run("true"), idle.read("x"), idle.snapshot()):
            with pytest.raises(KernelClosed):
                await work
        await idle.close()


async def test_a_sandbox_whose_life_could_not_be_kept_is_a_closed_kernel(tmp_path: Path) -> None:
    async with served(tmp_path, lifetime_s=3) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        await server.die(next(iter(server.live)))
        await asyncio.sleep(1.3)
        with pytest.raises(KernelClosed, match="alive"):
            await kernel.run("true")


async def test_no_answer_in_time_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with served(tmp_path, request_timeout_s=0.5) as (server, made):
        base = await made.prepare(BaseSpec())
        server.fail("create", Fault(delay_s=1.5))
        with pytest.raises(KernelError, match=r"(?i)time"):
            await made.start(base)
        await asyncio.sleep(1.5)


async def test_a_start_that_is_cancelled_leaves_no_sandbox(tmp_path: Path) -> None:
    async with served(tmp_path, max_running=1) as (server, made):
        base = await made.prepare(BaseSpec())
        server.fail("create", Fault(delay_s=0.4))
        starting = asyncio.ensure_future(made.start(base))
        await asyncio.sleep(0.1)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert server.live == {}
        kernel = await made.start(base)  # its place is free again
        await kernel.close()


async def test_a_snapshot_that_e2b_has_lost_is_missing_and_made_anew(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        base = await made.prepare(BaseSpec())
        await server.lose_snapshot(server.snapshots[0])
        with pytest.raises(SnapshotMissing):
            await made.start(base)
        kernel = await made.start(await made.prepare(BaseSpec()))
        assert (await kernel.run("echo on")).ok
        await kernel.close()


async def test_a_sink_that_fails_ends_the_command_and_keeps_the_kernel(tmp_path: Path) -> None:
    def sink(_stream: str, _data: bytes) -> None:
        raise ZeroDivisionError("of the sink")

    async with served(tmp_path) as (_server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        with pytest.raises(ZeroDivisionError):
            await kernel.run("echo one; sleep 50", on_output=sink)
        assert (await kernel.run("echo on")).stdout == b"on\n"
        await kernel.close()


async def test_a_limited_rate_of_commands_is_waited_out(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        server.fail("start", Fault(status=429))
        assert (await kernel.run("echo on")).stdout == b"on\n"
        await kernel.close()


async def test_another_version_of_the_agent_is_installed_when_it_is_missing(tmp_path: Path) -> None:
    async with served(tmp_path) as (_server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        await kernel.sandbox.commands.run("rm -r /.rollout-fork/agent-*")
        assert (await kernel.run("echo on")).stdout == b"on\n"
        await kernel.close()


async def test_a_template_without_python_is_told_so(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        plain = await AsyncSandbox.create(timeout=600, **server.connection)
        await plain.files.write("/root/.profile", "PATH=/nowhere")
        snapshot = await plain.create_snapshot()
        await plain.kill()
        with pytest.raises(KernelStartFailed, match=r"needs bash and python3"):
            await made.prepare(BaseSpec(image=snapshot.snapshot_id))


async def test_a_template_whose_login_shell_talks_does_no_harm(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        plain = await AsyncSandbox.create(timeout=600, **server.connection)
        await plain.files.write("/root/.profile", "echo Welcome; echo oh, hello")
        snapshot = await plain.create_snapshot()
        await plain.kill()
        kernel = await made.start(await made.prepare(BaseSpec(image=snapshot.snapshot_id)))
        assert (await kernel.run("echo on")).stdout == b"on\n"
        await kernel.close()


@pytest.mark.parametrize("said", ["r" + "A" * 8, "r" + "eJwDAAAAAAE=", "oAAAA", "x" * 300_000])
async def test_answers_that_are_none_are_errors_and_leave_nothing(tmp_path: Path, said: str) -> None:
    async with served(tmp_path) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        await kernel.sandbox.files.write("/root/.profile", f"printf '%s\\n' '{said}'; exit 0")
        with pytest.raises(KernelError):
            await kernel.run("true")
        await kernel.close()
        assert server.live == {}
