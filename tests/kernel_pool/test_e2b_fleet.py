"""Sandboxes as a fleet: how fast they are made, how many run, how long they live, and that none is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2b import AsyncSandbox
from e2b_support import back_end, served
from servers.e2b import E2BServer, Fault
from servers.e2b.server import FORK_LIFETIME_S

from kernel_pool import BaseSpec, KernelStartFailed, SnapshotMissing

ORPHAN = """
import asyncio, json, sys
from pathlib import Path
from kernel_pool import BaseSpec
from kernel_pool.backends.e2b_cloud import E2BBackend

async def main():
    made = E2BBackend(Path(sys.argv[1]), creates_per_s=100.0, **json.loads(sys.argv[2]))
    kernel = await made.start(await made.prepare(BaseSpec()))
    print(kernel.id, flush=True)
    await kernel.run("sleep 100")

asyncio.run(main())
"""


async def test_sandboxes_are_made_no_faster_than_the_account_allows(tmp_path: Path) -> None:
    async with served(tmp_path, creates_per_s=4.0) as (server, made):
        base = await made.prepare(BaseSpec())
        kernels = await asyncio.gather(*(made.start(base) for _ in range(8)))
        forks = await made.fork_running(kernels[0], 2)
        times = [when for name, when in server.calls if name == "create"]
        assert len(times) == 9
        spans = [later - earlier for earlier, later in zip(times, times[5:], strict=False)]
        assert min(spans) > 0.9 * 5 / 4.0 - 1.0, "five more than a burst of four in a second"
        assert times[-1] - times[0] >= 0.9 * (9 - 4) / 4.0
        await asyncio.gather(*(kernel.close() for kernel in [*kernels, *forks]))


async def test_no_more_sandboxes_run_than_the_account_allows(tmp_path: Path) -> None:
    async with served(tmp_path, of_server={"max_running": 2}, max_running=2) as (server, made):
        base = await made.prepare(BaseSpec())

        async def use() -> bytes:
            kernel = await made.start(base)
            result = await kernel.run("echo on")
            await kernel.close()
            return result.stdout

        assert await asyncio.gather(*(use() for _ in range(6))) == [b"on\n"] * 6
        assert server.peak == 2


async def test_an_open_kernel_outlives_its_lifetime_and_a_closed_one_does_not(tmp_path: Path) -> None:
    async with served(tmp_path, lifetime_s=3) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        [fork] = await made.fork_running(kernel, 1)
        assert {sandbox.lifetime_s for sandbox in server.live.values()} == {3}
        await asyncio.sleep(4.5)
        assert (await kernel.run("echo on")).stdout == b"on\n"
        assert (await fork.run("echo on")).stdout == b"on\n"
        assert server.count("timeout") >= 4
        await kernel.close()
        await fork.close()
        assert server.live == {}


async def test_a_fork_never_gets_the_lifetime_of_fifteen_seconds(tmp_path: Path) -> None:
    async with served(tmp_path, lifetime_s=600) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        plain = await AsyncSandbox.connect(next(iter(server.live)), **server.connection)
        [trapped] = await plain.fork()
        assert isinstance(trapped, AsyncSandbox)
        assert server.live[trapped.sandbox_id].lifetime_s == FORK_LIFETIME_S, "the trap is there"
        [fork] = await made.fork_running(kernel, 1)
        assert server.live[fork.sandbox.sandbox_id].lifetime_s == 600


async def test_forks_of_a_live_kernel_have_its_files_and_shell_and_go_their_own_way(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        await kernel.run("echo of-the-source > file; cd /tmp; export KEPT='a b'")
        forks = await made.fork_running(kernel, 3)
        assert len(server.live) == 4 and server.count("fork") == 1
        for number, fork in enumerate(forks):
            seen = await fork.run(f'pwd; echo "$KEPT"; cat /app/file; echo {number} > /app/file')
            assert seen.stdout == b"/tmp\na b\nof-the-source\n"
        assert await kernel.read("/app/file") == b"of-the-source\n"
        assert [await fork.read("/app/file") for fork in forks] == [b"0\n", b"1\n", b"2\n"]
        states = {(await each.snapshot()).digest for each in [kernel, *forks]}
        assert len(states) == 4


async def test_forks_that_fail_are_made_again(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        server.fail("fork", Fault(items=(0, 2), message="no room on the node"))
        forks = await made.fork_running(kernel, 4)
        assert len({fork.sandbox.sandbox_id for fork in forks}) == 4 and len(server.live) == 5
        assert server.count("fork") == 2


async def test_forks_that_cannot_be_made_leave_none_of_the_others(tmp_path: Path) -> None:
    async with served(tmp_path, max_running=3) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        server.fail("fork", *[Fault(items=(0,), message="no room on the node")] * 10)
        with pytest.raises(KernelStartFailed, match="no room on the node"):
            await made.fork_running(kernel, 2)
        assert list(server.live) == [kernel.sandbox.sandbox_id]
        server.fail("fork", *[])
        assert (await kernel.run("echo on")).ok


async def test_more_forks_than_one_request_may_ask_for(tmp_path: Path) -> None:
    async with served(tmp_path, max_running=60) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        forks = await made.fork_running(kernel, 45)
        assert len(forks) == 45 and server.count("fork") == 3
        with pytest.raises(KernelStartFailed, match="60"):
            await made.fork_running(kernel, 60)


async def test_two_forks_at_once_do_not_wait_for_each_other_for_ever(tmp_path: Path) -> None:
    async with served(tmp_path, max_running=6) as (server, made):
        base = await made.prepare(BaseSpec())
        kernels = await asyncio.gather(made.start(base), made.start(base))

        async def fork(number: int) -> None:
            for each in await made.fork_running(kernels[number], 3):
                await each.close()

        async with asyncio.timeout(20.0):
            await asyncio.gather(fork(0), fork(1))
        assert server.peak <= 6


async def test_a_busy_service_is_asked_again_for_forks(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        kernel = await made.start(await made.prepare(BaseSpec()))
        server.fail("fork", Fault(status=503), Fault(status=429))
        assert len(await made.fork_running(kernel, 2)) == 2


async def test_what_a_killed_process_left_is_removed_by_the_next_start(tmp_path: Path) -> None:
    async with E2BServer(tmp_path) as server:
        alive = back_end(server, tmp_path / "alive")
        neighbour = await alive.start(await alive.prepare(BaseSpec()))
        with subprocess.Popen(
            [sys.executable, "-c", ORPHAN, str(tmp_path / "state"), json.dumps(server.connection)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            line = await asyncio.to_thread(process.stdout.readline)
            assert line.startswith(b"e2b-")
            assert len(server.live) == 2
            os.kill(process.pid, signal.SIGKILL)
        made = back_end(server, tmp_path / "state")
        paused = next(name for name in server.live if name != neighbour.sandbox.sandbox_id)
        await AsyncSandbox.pause(paused, **server.connection)
        assert (await made.prepare(BaseSpec())).backend == "e2b"
        assert list(server.live) == [neighbour.sandbox.sandbox_id], "the orphan is gone, the neighbour is not"
        assert await made.reap() == 0
        await made.close()
        assert (await neighbour.run("echo alive")).ok, "closing one back-end leaves the other's alone"
        await alive.close()
        assert server.live == {}


async def test_another_process_with_the_same_directory_starts_the_state(tmp_path: Path) -> None:
    async with E2BServer(tmp_path) as server:
        first = back_end(server, tmp_path / "state")
        kernel = await first.start(await first.prepare(BaseSpec()))
        await kernel.run("echo kept > file; export V=w")
        snapshot = await kernel.snapshot()
        await first.close()
        second = back_end(server, tmp_path / "state")
        before = server.count("create")
        assert await second.prepare(BaseSpec())
        assert server.count("create") == before, "the base was built once"
        again = await second.start(snapshot)
        assert (await again.run('cat file; echo "$V"')).stdout == b"kept\nw\n"
        await second.close()


async def test_equal_states_make_one_snapshot_at_e2b(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        base = await made.prepare(BaseSpec())
        one, other = await made.start(base), await made.start(base)
        await one.run("echo x > file; rm -f gone")
        await other.run("echo y > file; echo > gone; rm gone; echo x > file")
        before = server.count("snapshot")
        first, second = await one.snapshot(), await other.snapshot()
        assert first == second
        assert server.count("snapshot") == before + 1
        await one.run("export ONLY=shell")
        third = await one.snapshot()
        assert third.digest != first.digest
        assert server.count("snapshot") == before + 1, "the shell's state is kept on the host"


async def test_old_states_are_deleted_at_e2b_and_bases_are_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, made):
        base = await made.prepare(BaseSpec())
        kernel = await made.start(base)
        await kernel.run("echo x > file")
        state = await kernel.snapshot()
        assert len(server.snapshots) == 2
        assert await made.prune(older_than_s=3600.0) == 0
        assert await made.prune(older_than_s=-1.0) == 1
        assert len(server.snapshots) == 1
        with pytest.raises(SnapshotMissing):
            await made.start(state)
        await (await made.start(base)).close()


async def test_a_kernel_that_sleeps_makes_room_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with served(tmp_path, of_server={"max_running": 1}, max_running=1) as (server, made):
        base = await made.prepare(BaseSpec())
        one = await made.start(base)
        await one.run("cd /tmp; V=kept; echo here > file")
        await one.pause()
        assert [sandbox.state for sandbox in server.live.values()] == ["paused"]
        assert await one.healthy()
        other = await made.start(base)  # there is room for one
        waking = asyncio.create_task(one.run("echo $V $PWD; cat file"))
        await asyncio.sleep(0.3)
        assert not waking.done()
        await other.close()
        assert (await waking).stdout == b"kept /tmp\nhere\n"
        await one.pause()
        await one.close()
        again = await made.start(base)  # nothing was counted twice
        await again.close()
