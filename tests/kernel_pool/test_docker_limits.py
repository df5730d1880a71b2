"""What a command in a container may use up, and what it cannot do to the next one. On a real engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from docker_support import address, back_end  # noqa: F401 - fixtures

from kernel_pool import BaseSpec, ExecResult, Kernel, Limits
from kernel_pool.backends.docker import DockerBackend

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def kernel(back_end: DockerBackend) -> AsyncIterator[Kernel]:  # noqa: F811
    made = await back_end.start(await back_end.prepare(BaseSpec()))
    yield made
    await made.close()


async def _goes_on(kernel: Kernel) -> None:
    result = await kernel.run("echo on")
    assert (result.stdout, result.ended) == (b"on\n", "exited"), result


@pytest.mark.parametrize(
    ("command", "limits", "ended"),
    [
        ("head -c 400M /dev/zero | tail -c 400M | wc -c", Limits(memory_mb=64), "oom"),
        ("bomb() { bomb | bomb & }; bomb; sleep 60", Limits(processes=40), "pids"),
        ("for i in {1..60}; do sleep 60 & done; wait", Limits(processes=20), "pids"),
        ("(while :; do :; done) & while :; do :; done", Limits(cpu_s=0.4), "cpu"),
        ("for i in {1..9}; do head -c 20M /dev/zero >f$i; sleep 0.3; done", Limits(disk_mb=50), "disk"),
        ("yes", Limits(output_bytes=50_000), "output"),
        ("yes >/dev/null", Limits(wall_s=0.4), "timeout"),
    ],
)
async def test_a_limit_ends_the_one_command_by_name(
    kernel: Kernel, command: str, limits: Limits, ended: str
) -> None:
    started = time.monotonic()
    result = await kernel.run(command, limits=limits)
    assert (result.ended, result.exit_code) == (ended, None), result
    assert time.monotonic() - started < 20.0
    await _goes_on(kernel)


async def test_a_neighbour_does_not_notice_a_memory_bomb(kernel: Kernel, back_end: DockerBackend) -> None:  # noqa: F811
    other = await back_end.start(await back_end.prepare(BaseSpec()))
    try:
        quiet, loud = await asyncio.gather(
            other.run("sleep 0.5; echo fine"),
            kernel.run("head -c 400M /dev/zero | tail -c 400M", limits=Limits(memory_mb=64)),
        )
        assert (quiet.stdout, loud.ended) == (b"fine\n", "oom")
    finally:
        await other.close()


@pytest.mark.parametrize(
    ("number", "name"), [(2, "INT"), (9, "KILL"), (11, "SEGV"), (13, "PIPE"), (15, "TERM"), (40, "40")]
)
async def test_a_signal_is_told_from_an_exit_code(kernel: Kernel, number: int, name: str) -> None:
    killed = await kernel.run(["bash", "-c", f"kill -{name} $$"])
    assert (killed.ended, killed.signal) == ("signalled", number)
    exited = await kernel.run(["bash", "-c", f"exit {128 + number}"])
    assert (exited.ended, exited.exit_code) == ("exited", 128 + number)


@pytest.mark.parametrize(
    "command",
    [
        "kill -9 -1; true",
        "kill -9 $PPID; sleep 60",
        "kill -9 1; kill -INT 1; kill -TERM 1; kill -HUP 1; true",
        "kill -STOP $PPID; exit 3",
        "for n in {1..300}; do : >/run/rollout-fork/f$n; done 2>/dev/null; head -c 20M /dev/zero >/run/rollout-fork/g",
        "rm -rf /run/rollout-fork/*; exec 195>&- 197>&-",
        "trap 'sleep 60' EXIT TERM; (trap '' TERM; setsid sleep 60) & exit 4",
        "exec 2>&1; cd /; rm -rf /app /tmp; exit 5",
        "ulimit -n 64; ulimit -u 1; exit 6",
        "printf '\\1\\1\\1' >&2; printf '%032d0 Done 0 0 0\\n' 7 >&2; exit 7",
    ],
)
async def test_a_command_cannot_spoil_its_kernel(kernel: Kernel, command: str) -> None:
    started = time.monotonic()
    result: ExecResult = await kernel.run(command, limits=Limits(wall_s=3.0))
    assert result.ended in ("exited", "signalled", "timeout"), result
    assert time.monotonic() - started < 15.0
    assert (await kernel.run("ls /proc")).stdout.split().count(b"sleep") == 0
    await _goes_on(kernel)
    assert await kernel.healthy()


async def test_a_kernel_whose_bash_is_gone_gives_results_and_is_not_healthy(kernel: Kernel) -> None:
    assert (await kernel.run("rm /usr/bin/bash")).ok
    result = await kernel.run("echo on")
    assert result.ended == "exited" and result.exit_code in (126, 127), result
    assert not await kernel.healthy()


async def test_root_in_a_container_has_few_capabilities(kernel: Kernel) -> None:
    status = (await kernel.run("cat /proc/self/status")).stdout.decode()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    kept = int(facts["CapEff"], 16)
    names = {0: "CHOWN", 1: "DAC_OVERRIDE", 3: "FOWNER", 4: "FSETID", 5: "KILL", 6: "SETGID", 7: "SETUID"}
    assert {bit for bit in range(64) if kept >> bit & 1} == set(names)
    assert facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2"


async def test_a_large_command_and_large_input_arrive(kernel: Kernel) -> None:
    text = "ä" * 100_000
    result = await kernel.run(f"x={text}; echo ${{#x}}; wc -c", stdin=b"\0\xff" * 1_000_000)
    assert result.stdout.split() == [b"100000", b"2000000"] or result.stdout.split() == [
        b"200000",
        b"2000000",
    ]
    result = await kernel.run(["printf", "%s", "\udcff\udcfe", ""])
    assert result.stdout == b"\xff\xfe"


async def test_what_the_sink_raises_reaches_the_caller_and_the_kernel_goes_on(kernel: Kernel) -> None:
    def sink(_stream: str, _data: bytes) -> None:
        raise RuntimeError("the sink is full")

    with pytest.raises(RuntimeError, match="the sink is full"):
        await kernel.run("echo x; sleep 60", on_output=sink)
    await _goes_on(kernel)
