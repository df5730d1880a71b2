"""Limits end the one command, and leave a kernel that goes on."""

from __future__ import annotations

import socket
import time

from ..kernel import Kernel, Limits
from .scene import Scene, brief, expect, output, promised


async def wall_time_ends_a_command(scene: Scene) -> None:
    """At `wall_s` the command ends as "timeout", with the output so far."""
    _enforced(scene, "wall_s")
    async with scene.kernel() as kernel:
        for command in ("echo before; sleep 50", ["bash", "-c", "trap '' TERM INT; echo before; sleep 50"]):
            started = time.monotonic()
            result = await kernel.run(command, limits=Limits(wall_s=0.4))
            expect((result.ended, result.exit_code) == ("timeout", None), brief(result))
            expect(result.stdout == b"before\n", brief(result))
            expect(result.wall_s > 0.3 and time.monotonic() - started < 5.0, brief(result))
        await _goes_on(kernel)


async def an_output_flood_is_cut(scene: Scene) -> None:
    """At `output_bytes`, stdout and stderr together, the command ends as "output"."""
    _enforced(scene, "output_bytes")
    async with scene.kernel() as kernel:
        for command in ("yes", "yes >&2", "head -c 5000000 /dev/zero"):
            result = await kernel.run(command, limits=Limits(output_bytes=100_000, wall_s=20.0))
            expect(result.ended == "output", brief(result))
            kept = len(result.stdout) + len(result.stderr)
            expect(kept <= 100_000, f"{kept} bytes were kept of 100000")
        exact = await kernel.run("head -c 100000 /dev/zero", limits=Limits(output_bytes=100_000))
        expect(exact.ok and len(exact.stdout) == 100_000, f"exactly the limit: {exact.ended}")
        await _goes_on(kernel)


async def memory_is_bounded(scene: Scene) -> None:
    """A command whose processes want more than `memory_mb` ends as "oom"."""
    _enforced(scene, "memory_mb")
    async with scene.kernel() as kernel:
        command = ["bash", "-c", "head -c 400M /dev/zero | tail -c 400M | wc -c; sleep 9"]
        result = await kernel.run(command, limits=Limits(memory_mb=64, wall_s=20.0))
        expect(result.ended == "oom", f"400 MB were held with a limit of 64: {brief(result)}")
        await _goes_on(kernel)


async def processes_are_bounded(scene: Scene) -> None:
    """A command that starts more than `processes` processes ends as "pids"."""
    _enforced(scene, "processes")
    async with scene.kernel() as kernel:
        command = "for i in {1..60}; do sleep 20 & done; wait"
        result = await kernel.run(command, limits=Limits(processes=20, wall_s=10.0))
        expect(result.ended == "pids", brief(result))
        await _goes_on(kernel)


async def cpu_time_is_bounded(scene: Scene) -> None:
    """A command that uses more than `cpu_s` of CPU time, all its processes together, ends as "cpu"."""
    _enforced(scene, "cpu_s")
    async with scene.kernel() as kernel:
        command = "for i in 1 2; do while :; do :; done & done; wait"
        result = await kernel.run(command, limits=Limits(cpu_s=0.5, wall_s=20.0))
        expect(result.ended == "cpu" and result.wall_s < 10.0, brief(result))
        idle = await kernel.run("sleep 0.7", limits=Limits(cpu_s=0.5, wall_s=20.0))
        expect(idle.ok, f"waiting is no CPU time: {brief(idle)}")
        await _goes_on(kernel)


async def disk_space_is_bounded(scene: Scene) -> None:
    """A command that fills more than `disk_mb` ends as "disk", and the next one can make room."""
    _enforced(scene, "disk_mb")
    async with scene.kernel() as kernel:
        command = "for i in {1..60}; do head -c 2M /dev/urandom > f$i; done; sleep 9"
        result = await kernel.run(command, limits=Limits(disk_mb=30, wall_s=30.0))
        expect(result.ended == "disk", brief(result))
        expect((await kernel.run("rm f*", limits=Limits(disk_mb=30))).ok, "nothing can be deleted any more")
        await _goes_on(kernel)


async def file_size_is_bounded(scene: Scene) -> None:
    """A file larger than `file_mb` cannot be written."""
    _enforced(scene, "file_mb")
    async with scene.kernel() as kernel:
        result = await kernel.run("head -c 3000000 /dev/zero > big", limits=Limits(file_mb=1))
        size = next((info.size for info in await kernel.list() if info.path == "big"), 0)
        expect(not result.ok and size <= 1 << 20, f"{size} bytes were written; {brief(result)}")
        await _goes_on(kernel)


async def open_files_are_bounded(scene: Scene) -> None:
    """A process holds at most `open_files` descriptors."""
    _enforced(scene, "open_files")
    async with scene.kernel() as kernel:
        command = ["bash", "-c", "for i in {1..300}; do exec {fd}</dev/null || exit 9; done"]
        result = await kernel.run(command, limits=Limits(open_files=250))
        expect(not result.ok, "300 descriptors were opened with a limit of 250")
        fine = await kernel.run(command, limits=Limits(open_files=600))
        expect(fine.ok, brief(fine))


async def limits_of_the_start_are_the_default(scene: Scene) -> None:
    """Limits given to `start` hold for commands that bring none; a command's own hold for it alone."""
    _enforced(scene, "wall_s")
    async with scene.kernel(limits=Limits(wall_s=0.5)) as kernel:
        expect((await kernel.run("sleep 50")).ended == "timeout", "the kernel's default was not used")
        longer = await kernel.run("sleep 0.8", limits=Limits(wall_s=20.0))
        expect(longer.ok, brief(longer))
        expect((await kernel.run("sleep 50")).ended == "timeout", "one command's limits stayed")


async def the_host_is_out_of_reach(scene: Scene) -> None:
    """In an isolated kernel the host's files and processes are not there."""
    promised(scene.backend.capabilities.isolated, "the back-end says that it isolates nothing")
    secret = scene.scratch / "secret"
    secret.write_text("host secret")
    async with scene.kernel() as kernel:
        result = await kernel.run(
            f"cat {secret}; cat /proc/*/environ; cat /etc/shadow; ls -a {scene.scratch.parent}"
        )
        expect(b"host secret" not in result.stdout, "a file of the host was read")
        expect(b"root:" not in result.stdout, "the host's shadow file was read")
        await kernel.run(f"mkdir -p {scene.scratch}; echo changed > {secret}")
    expect(secret.read_text() == "host secret", "a file of the host was changed")


async def the_network_is_off(scene: Scene) -> None:
    """With network "none", not even a server on the host's loopback answers."""
    promised(
        scene.backend.capabilities.network == "none",
        "the back-end says that commands have the host's network",
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        async with scene.kernel() as kernel:
            result = await kernel.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected"])
            expect(b"connected" not in result.stdout, "a server of the host was reached")


def _enforced(scene: Scene, name: str) -> None:
    promised(name in scene.backend.capabilities.enforces, f"the back-end does not list {name} as enforced")


async def _goes_on(kernel: Kernel) -> None:
    expect(await kernel.healthy(), "the kernel is not healthy afterwards")
    expect(await output(kernel, "echo on") == "on\n", "the next command fails")


BEHAVIOURS = (
    wall_time_ends_a_command,
    an_output_flood_is_cut,
    memory_is_bounded,
    processes_are_bounded,
    cpu_time_is_bounded,
    disk_space_is_bounded,
    file_size_is_bounded,
    open_files_are_bounded,
    limits_of_the_start_are_the_default,
    the_host_is_out_of_reach,
    the_network_is_off,
)
