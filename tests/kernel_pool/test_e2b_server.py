"""The loopback server is to the real SDK what E2B is, as far as its docstring says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from e2b import AsyncSandbox, CommandExitException, SandboxQuery, SandboxState
from e2b.exceptions import (
    AuthenticationException,
    FileNotFoundException,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    TimeoutException,
)
from servers.e2b import E2BServer, Fault


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[E2BServer]:
    async with E2BServer(tmp_path, second_s=0.1) as made:
        yield made


async def test_commands_stream_and_tell_their_exit_code(server: E2BServer) -> None:
    sandbox = await AsyncSandbox.create(timeout=600, **server.connection)
    seen: list[tuple[float, str]] = []
    result = await sandbox.commands.run(
        'echo one; sleep 0.3; echo "$V two"; pwd; echo err >&2',
        envs={"V": "my"},
        on_stdout=lambda text: seen.append((time.monotonic(), text)),
    )
    assert result.stdout == "one\nmy two\n/home/user\n" and result.stderr == "err\n"
    assert seen[0][1] == "one\n" and time.monotonic() - seen[0][0] > 0.2
    with pytest.raises(CommandExitException) as failed:
        await sandbox.commands.run("exit 7")
    assert failed.value.exit_code == 7
    assert (await sandbox.commands.run("echo $E2B_SANDBOX_ID")).stdout.strip() == sandbox.sandbox_id


async def test_commands_are_killed_listed_fed_and_timed_out(server: E2BServer) -> None:
    sandbox = await AsyncSandbox.create(timeout=600, **server.connection)
    sleeping = await sandbox.commands.run("sleep 100", background=True)
    assert [process.pid for process in await sandbox.commands.list()] == [sleeping.pid]
    assert await sleeping.kill()
    with pytest.raises(CommandExitException):
        await sleeping.wait()
    assert not await sandbox.commands.kill(sleeping.pid), "it is gone"
    eating = await sandbox.commands.run("cat; echo end", background=True, stdin=True)
    await sandbox.commands.send_stdin(eating.pid, "food ")
    await sandbox.commands.close_stdin(eating.pid)
    assert (await eating.wait()).stdout == "food end\n"
    with pytest.raises(TimeoutException):
        await sandbox.commands.run("sleep 100", timeout=0.5)
    assert await sandbox.is_running()


async def test_files_are_written_read_listed_and_removed(server: E2BServer) -> None:
    sandbox = await AsyncSandbox.create(timeout=600, **server.connection)
    await sandbox.files.write("dir/file", b"\x00\xff")
    assert await sandbox.files.read("/home/user/dir/file", format="bytes") == b"\x00\xff"
    assert [entry.name for entry in await sandbox.files.list("dir")] == ["file"]
    assert await sandbox.files.exists("dir/file") and not await sandbox.files.exists("dir/other")
    assert await sandbox.files.make_dir("new/deep") and not await sandbox.files.make_dir("new/deep")
    await sandbox.files.remove("dir")
    with pytest.raises(FileNotFoundException):
        await sandbox.files.read("dir/file")


async def test_lifetimes_end_sandboxes_unless_they_are_pushed_back(server: E2BServer) -> None:
    short = await AsyncSandbox.create(timeout=5, **server.connection)
    long = await AsyncSandbox.create(timeout=5, **server.connection)
    pausing = await AsyncSandbox.create(timeout=5, lifecycle={"on_timeout": "pause"}, **server.connection)
    await long.set_timeout(600)
    [fork] = [item for item in await long.fork() if isinstance(item, AsyncSandbox)]
    assert server.live[fork.sandbox_id].lifetime_s == 15
    await asyncio.sleep(1.0)
    assert not await short.is_running() and await long.is_running() and await fork.is_running()
    assert server.live[pausing.sandbox_id].state == "paused"
    await asyncio.sleep(1.0)
    assert not await fork.is_running()
    with pytest.raises(SandboxNotFoundException):
        await short.set_timeout(600)


async def test_pause_snapshot_and_fork_keep_files(server: E2BServer) -> None:
    sandbox = await AsyncSandbox.create(timeout=600, **server.connection)
    await sandbox.files.write("file", "one")
    snapshot = await sandbox.create_snapshot()
    await sandbox.files.write("file", "two")
    forks = await sandbox.fork(count=2, timeout=600)
    assert await sandbox.pause()
    assert not await sandbox.is_running()
    again = await AsyncSandbox.connect(sandbox.sandbox_id, timeout=600, **server.connection)
    old = await AsyncSandbox.create(snapshot.snapshot_id, timeout=600, **server.connection)
    for each, content in ((again, "two"), (old, "one"), *((fork, "two") for fork in forks)):
        assert isinstance(each, AsyncSandbox)
        assert await each.files.read("file") == content
    assert await AsyncSandbox.delete_snapshot(snapshot.snapshot_id, **server.connection)
    with pytest.raises(SandboxException, match="404"):
        await AsyncSandbox.create(snapshot.snapshot_id, **server.connection)


async def test_sandboxes_are_listed_by_metadata_and_state(server: E2BServer) -> None:
    made = [
        await AsyncSandbox.create(
            timeout=600, metadata={"who": name, "odd key": "a&b=c %"}, **server.connection
        )
        for name in ("me", "you")
    ]
    await made[1].pause()

    async def listed(**query: object) -> set[str]:
        pages = AsyncSandbox.list(query=SandboxQuery(**query), limit=1, **server.connection)  # type: ignore[arg-type]
        found: set[str] = set()
        while pages.has_next:
            found |= {item.sandbox_id for item in await pages.next_items()}
        return found

    ids = [sandbox.sandbox_id for sandbox in made]
    assert await listed() == set(ids)
    assert await listed(metadata={"who": "me"}) == {ids[0]}
    assert await listed(metadata={"odd key": "a&b=c %"}) == set(ids)
    assert await listed(state=[SandboxState.PAUSED]) == {ids[1]}


async def test_the_account_has_its_limits(tmp_path: Path) -> None:
    async with E2BServer(tmp_path, max_running=1, creates_per_s=2.0) as server:
        await AsyncSandbox.create(timeout=600, **server.connection)
        with pytest.raises(RateLimitException, match="too many"):
            await AsyncSandbox.create(timeout=600, retries=0, **server.connection)
        await asyncio.sleep(0.6)
        with pytest.raises(RateLimitException, match="maximum number"):
            await AsyncSandbox.create(timeout=600, retries=0, **server.connection)
        with pytest.raises(AuthenticationException):
            await AsyncSandbox.create(**{**server.connection, "api_key": "e2b_other"})


async def test_faults_come_as_they_were_ordered(server: E2BServer) -> None:
    sandbox = await AsyncSandbox.create(timeout=600, **server.connection)
    server.fail("start", Fault(drop_after=5))
    with pytest.raises(Exception, match=r"(?i)connection|body|closed|reset|error"):
        await sandbox.commands.run("echo 123456; sleep 1")
    server.fail("fork", Fault(items=(1,), message="no room"))
    results = await sandbox.fork(count=3, timeout=600)
    assert [isinstance(item, Exception) for item in results] == [False, True, False]
    running = asyncio.ensure_future(sandbox.commands.run("sleep 100"))
    await asyncio.sleep(0.3)
    await server.die(sandbox.sandbox_id)
    with pytest.raises(TimeoutException):
        await running
