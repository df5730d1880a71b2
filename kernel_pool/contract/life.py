"""Bases, starting, health, closing."""

from __future__ import annotations

import asyncio
import pickle
import time
from dataclasses import fields

from ..errors import KernelClosed, KernelError, SnapshotMissing
from ..kernel import BaseSpec, CopyIn, Kernel, Limits, RunStep, Snapshot
from .scene import Broken, Scene, brief, expect, output, raises


async def capabilities_name_real_limits(scene: Scene) -> None:
    """`enforces` holds names of fields of `Limits`, and every weakness is a sentence."""
    known = {field.name for field in fields(Limits)}
    capabilities = scene.backend.capabilities
    unknown = set(capabilities.enforces) - known
    expect(not unknown, f"unknown limits: {sorted(unknown)}")
    expect(all(how.strip() for how in capabilities.enforces.values()), "a limit without its mechanism")
    expect(all(note.strip() for note in capabilities.notes), "an empty note")


async def a_base_has_its_files_variables_and_workdir(scene: Scene) -> None:
    """`prepare` carries out the steps in order; commands start in the workdir with the base's variables."""
    (scene.scratch / "one.txt").write_text("one\n")
    spec = BaseSpec(
        workdir="/work/place",
        env={"COLOUR": "dark green"},
        steps=(
            CopyIn(scene.scratch / "one.txt", "/work/place/copied.txt"),
            RunStep('cat copied.txt > made.txt; echo "$COLOUR" >> made.txt'),
        ),
    )
    snapshot = await scene.backend.prepare(spec)
    expect(snapshot == await scene.backend.prepare(spec), "the same spec gave another snapshot")
    async with scene.kernel(snapshot) as kernel:
        expect(
            await output(kernel, "cat made.txt") == "one\ndark green\n", "the step's file has other content"
        )
        expect(
            await output(kernel, ["cat", "made.txt"]) == "one\ndark green\n", "a sequence starts elsewhere"
        )
        expect(await kernel.read("/work/place/made.txt") == b"one\ndark green\n", "read sees another file")


async def a_changed_source_makes_another_base(scene: Scene) -> None:
    """Bases are found by the content of their sources, not by name."""
    first = await scene.base()
    (scene.scratch / "source" / "hello.txt").write_bytes(b"other\n")
    async with scene.kernel(await scene.base()) as kernel:
        expect(await kernel.read("hello.txt") == b"other\n", "the base of the old content was used")
    async with scene.kernel(first) as kernel:
        expect(await kernel.read("hello.txt") == b"hello\n", "the old base changed with its source")


async def a_failing_step_is_an_error_with_its_output(scene: Scene) -> None:
    """`prepare` raises `KernelError` naming the step and showing what it printed, every time it is asked."""
    spec = BaseSpec(steps=(RunStep("echo the-reason >&2; exit 3"),))
    for _ in range(2):
        error = await raises(scene.backend.prepare(spec), KernelError)
        expect("the-reason" in str(error) and "exit 3" in str(error), f"the message is {error}")


async def a_missing_source_is_an_error(scene: Scene) -> None:
    """`prepare` raises `KernelError` for a source that does not exist."""
    spec = BaseSpec(steps=(CopyIn(scene.scratch / "nowhere", "/app"),))
    await raises(scene.backend.prepare(spec), KernelError)


async def an_unknown_snapshot_is_an_error(scene: Scene) -> None:
    """`start` raises `SnapshotMissing` for a state that is not here."""
    base = await scene.base()
    unknown = "0" * 64
    for snapshot in (Snapshot(base.backend, unknown), Snapshot(base.backend, base.base, (unknown,))):
        await raises(scene.backend.start(snapshot), SnapshotMissing)


async def a_snapshot_is_plain_data(scene: Scene) -> None:
    """A snapshot can be pickled, and what comes back starts a kernel."""
    again: Snapshot = pickle.loads(pickle.dumps(await scene.base()))
    async with scene.kernel(again) as kernel:
        expect(await kernel.read("hello.txt") == b"hello\n", "the copy of the snapshot starts something else")


async def ids_are_unique(scene: Scene) -> None:
    """No two kernels have one id."""
    async with scene.kernel() as one, scene.kernel() as other:
        expect(one.id != other.id, f"both are {one.id}")


async def a_new_kernel_is_healthy_and_a_closed_one_is_not(scene: Scene) -> None:
    """`healthy` tells whether commands can run."""
    async with scene.kernel() as kernel:
        expect(await kernel.healthy(), "a new kernel is not healthy")
        await kernel.run("false")
        expect(await kernel.healthy(), "a failed command made it unhealthy")
    expect(not await kernel.healthy(), "a closed kernel is healthy")


async def close_can_be_called_twice(scene: Scene) -> None:
    """`close` is idempotent, also from several tasks at once."""
    async with scene.kernel() as kernel:
        await asyncio.gather(kernel.close(), kernel.close())
        await kernel.close()


async def a_closed_kernel_refuses_everything(scene: Scene) -> None:
    """Every method raises `KernelClosed` once the kernel is closed."""
    async with scene.kernel() as kernel:
        await kernel.close()
        for work in _uses(kernel):
            await raises(work, KernelClosed)


async def close_ends_a_running_command(scene: Scene) -> None:
    """Closing a kernel in which a command runs ends that command."""
    async with scene.kernel() as kernel:
        running = asyncio.ensure_future(kernel.run("sleep 50"))
        await asyncio.sleep(0.3)
        started = time.monotonic()
        await kernel.close()
        await asyncio.wait({running}, timeout=5.0)
        expect(running.done(), "the command still runs")
        expect(time.monotonic() - started < 5.0, "closing took more than 5 s")
        if not running.cancelled() and not isinstance(running.exception(), KernelClosed):
            raise Broken(f"no KernelClosed but {running.exception() or brief(running.result())}")


def _uses(kernel: Kernel) -> list[asyncio.Future[object]]:
    works = (kernel.run("true"), kernel.run(["true"]), kernel.read("hello.txt"), kernel.write("x", b""))
    return [asyncio.ensure_future(work) for work in (*works, kernel.list(), kernel.snapshot())]


BEHAVIOURS = (
    capabilities_name_real_limits,
    a_base_has_its_files_variables_and_workdir,
    a_changed_source_makes_another_base,
    a_failing_step_is_an_error_with_its_output,
    a_missing_source_is_an_error,
    an_unknown_snapshot_is_an_error,
    a_snapshot_is_plain_data,
    ids_are_unique,
    a_new_kernel_is_healthy_and_a_closed_one_is_not,
    close_can_be_called_twice,
    a_closed_kernel_refuses_everything,
    close_ends_a_running_command,
)
