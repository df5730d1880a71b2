"""Limits end one command and nothing else; a kernel is usable after each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace

import pytest
from local_support import PYTHON, kernel, shell

from kernel_pool import ExecResult, FileAccessError, KernelClosed, Limits

FAST = Limits(wall_s=20.0)


async def usable(target: object) -> None:
    assert await shell(target, "echo still here") == "still here\n"  # type: ignore[arg-type]


async def test_a_command_that_takes_too_long_is_ended_with_all_it_started() -> None:
    async with kernel() as (_backend, _base, live):
        started = time.monotonic()
        result = await live.run("echo begun; setsid sleep 100 & sleep 100", limits=FAST.with_wall(0.3))
        assert (result.ended, result.exit_code, result.stdout) == ("timeout", None, b"begun\n")
        assert time.monotonic() - started < 5
        assert "sleep" not in await shell(live, "cat /proc/[0-9]*/comm")


async def test_a_command_that_lowers_its_own_limits_at_once_is_no_failure_of_its_kernel() -> None:
    lower = "import resource as r; [r.setrlimit(w, (8, 8)) for w in (r.RLIMIT_NOFILE, r.RLIMIT_NPROC)]"
    async with kernel() as (_backend, _base, live):
        for _ in range(60):
            assert (await live.run([PYTHON, "-I", "-S", "-c", lower])).ok
            assert (await live.run("ulimit -n 20; ulimit -u 20")).ok


async def test_what_runs_on_in_the_background_is_killed_when_the_command_ends() -> None:
    async with kernel() as (_backend, _base, live):
        result = await live.run("(trap '' HUP TERM; setsid sh -c 'sleep 0.4; echo late > late') & echo done")
        assert (result.exit_code, result.stdout) == (0, b"done\n")
        await asyncio.sleep(0.6)
        assert await shell(live, "ls; set -- /proc/[0-9]*; echo $#") == "2\n"  # PID 1 and this shell


async def test_output_is_cut_at_its_limit_and_ends_the_command() -> None:
    async with kernel() as (_backend, _base, live):
        result = await live.run(["yes"], limits=replace(FAST, output_bytes=3_000_001))
        assert (result.ended, len(result.stdout), result.stderr) == ("output", 3_000_001, b"")
        await usable(live)


async def test_output_comes_byte_for_byte_and_while_the_command_runs() -> None:
    async with kernel() as (_backend, _base, live):
        seen: list[tuple[str, bytes]] = []
        script = r"printf '\377\0\r\n\200'; printf '\376' >&2; sleep 0.3; head -c 3000000 /dev/zero; exit 7"
        begun = time.monotonic()
        first_at: list[float] = []

        def sink(stream: str, data: bytes) -> None:
            first_at.append(time.monotonic() - begun)
            seen.append((stream, data))

        result = await live.run(script, on_output=sink)
        assert result.exit_code == 7
        assert result.stdout == b"\xff\0\r\n\x80" + bytes(3_000_000)
        assert result.stderr == b"\xfe"
        assert b"".join(data for stream, data in seen if stream == "stdout") == result.stdout
        assert first_at[0] < result.wall_s - 0.2


async def test_a_sink_that_fails_ends_the_kernel_and_not_the_next_answer() -> None:
    async with kernel() as (_backend, _base, live):

        def sink(_stream: str, _data: bytes) -> None:
            raise ValueError("the reader is gone")

        with pytest.raises(ValueError, match="reader is gone"):
            await live.run("echo x", on_output=sink)
        with pytest.raises(KernelClosed):
            await live.run("echo y")


async def test_one_kernels_processes_do_not_count_for_another() -> None:
    async with kernel(limits=replace(FAST, processes=30)) as (backend, base, live):
        other = await backend.start(base, limits=replace(FAST, processes=30))
        many = "for i in $(seq 20); do sleep 0.5 & done; wait; echo all"
        said = await asyncio.gather(shell(live, many), shell(other, many))
        assert said == ["all\n", "all\n"]


async def test_a_file_cannot_grow_beyond_its_limit_and_descriptors_are_bounded() -> None:
    async with kernel() as (_backend, _base, live):
        result = await live.run(
            "head -c 3M /dev/zero > big; stat -c %s big; ulimit -n; ulimit -n 999999 || echo refused",
            limits=replace(FAST, file_mb=1, open_files=77),
        )
        assert result.stdout.decode().split() == ["1048576", "77", "refused"]


async def test_cancelling_a_run_kills_the_command_and_keeps_the_kernel() -> None:
    async with kernel() as (_backend, _base, live):
        running = asyncio.create_task(live.run("touch begun; sleep 100; touch ended"))
        await asyncio.sleep(0.3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await shell(live, "ls; cat /proc/[0-9]*/comm | grep -c sleep; true") == "begun\n0\n"


async def test_a_signal_is_told_apart_from_an_exit_code() -> None:
    async with kernel() as (_backend, _base, live):
        killed = await live.run(["sh", "-c", "kill -SEGV $$"])
        assert (killed.ended, killed.signal, killed.exit_code) == ("signalled", 11, None)
        missing = await live.run(["no-such-program"])
        assert (missing.exit_code, missing.stderr) == (127, b"no-such-program: command not found\n")
        assert (await live.run(["/etc/passwd"])).exit_code == 126
        assert (await live.run(["true"], cwd="/nowhere")).exit_code == 126
        assert (await live.run(["sh", "-c", "cat; exit 3"], stdin=b"in\0put")).stdout == b"in\0put"


async def test_a_closed_kernel_says_so_and_closing_twice_is_fine() -> None:
    async with kernel() as (_backend, _base, live):
        running = asyncio.create_task(live.run("sleep 100"))
        await asyncio.sleep(0.1)
        await asyncio.gather(live.close(), live.close())
        with pytest.raises(KernelClosed):
            await running
        calls: list[Awaitable[object]] = [live.run("true"), live.read("x"), live.snapshot(), live.list()]
        for call in calls:
            with pytest.raises(KernelClosed):
                await call
        assert not await live.healthy()


async def test_read_gives_regular_files_only_and_never_waits_or_leaves_the_kernel() -> None:
    async with kernel() as (_backend, _base, live):
        await live.write("deep/er/f", b"x\0y", mode=0o755)
        assert await live.read("/app/deep/er/f") == b"x\0y"
        assert await shell(live, "stat -c %a deep/er/f") == "755\n"
        await shell(
            live,
            "ln -s /root/.ssh out; ln -s /proc/self/environ env; ln -s /proc/self/mem mem; mkfifo fifo;"
            " truncate -s 200M huge; ln -s loop loop; echo s > closed; chmod 0 closed; ln -s deep/er/f fine",
        )
        assert await live.read("fine") == b"x\0y"
        for path, reason in (
            ("out", FileAccessError.ABSENT),
            ("absent", FileAccessError.ABSENT),
            ("loop", FileAccessError.ABSENT),
            ("deep/er/f/below", FileAccessError.ABSENT),
            ("env", FileAccessError.DENIED),
            ("fifo", FileAccessError.NOT_A_FILE),
            ("deep", FileAccessError.NOT_A_FILE),
            ("/dev/zero", FileAccessError.NOT_A_FILE),
            ("huge", FileAccessError.TOO_LARGE),
        ):
            with pytest.raises(FileAccessError) as caught:
                await live.read(path)
            assert (path, caught.value.reason) == (path, reason)
        for path in ("mem", "closed"):
            with pytest.raises(FileAccessError):
                await live.read(path)
        with pytest.raises(FileAccessError):
            await live.write("fifo", b"x")
        with pytest.raises(FileAccessError):
            await live.write("/usr/bin/ls", b"x")
        await usable(live)


async def test_a_listing_is_sorted_bounded_and_follows_no_link() -> None:
    async with kernel() as (_backend, _base, live):
        await shell(live, "mkdir -p b/c; echo 12345 > b/f; ln -s / b/root; mkfifo a")
        entries = await live.list(depth=2)
        assert [(e.path, e.kind) for e in entries] == [
            ("a", "other"),
            ("b", "dir"),
            ("b/c", "dir"),
            ("b/f", "file"),
            ("b/root", "symlink"),
        ]
        assert entries[3].size == 6
        assert len(await live.list("/", depth=9, max_entries=50)) == 50
        with pytest.raises(FileAccessError):
            await live.list("absent")


async def test_sixty_four_kernels_live_side_by_side() -> None:
    async with kernel() as (backend, base, _live):
        kernels = await asyncio.gather(*(backend.start(base) for _ in range(64)))
        results: list[ExecResult] = await asyncio.gather(
            *(one.run(f"echo {number} > mine; cat mine; ls | wc -l") for number, one in enumerate(kernels))
        )
        assert [result.stdout.split() for result in results] == [[str(n).encode(), b"1"] for n in range(64)]
