"""Killed at any moment, a back-end leaves no process and no mount, and the next one removes the rest."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from local_support import PYTHON, local

from kernel_pool import BaseSpec, SnapshotMissing
from kernel_pool.backends.local import LocalBackend
from kernel_pool.backends.local.cgroups import tier
from kernel_pool.backends.local.instance import prune
from kernel_pool.backends.local.store import Store

ROOT = Path(__file__).parents[2]

#: Everything a back-end does, over and over: bases, starts, commands, snapshots, loads, closes.
BUSY = """
import asyncio, sys
from pathlib import Path
from kernel_pool import BaseSpec, ReadOnlyMount, RunStep
from kernel_pool.backends.local import LocalBackend

async def one(backend, number):
    place = Path(sys.argv[1]).parent / f"mount{number}"
    place.mkdir()
    (place / "f").write_text("x")
    while True:
        base = await backend.prepare(BaseSpec(steps=(RunStep(f"echo {number} {asyncio.get_running_loop().time()} > f"),)))
        kernel = await backend.start(base, mounts=[ReadOnlyMount(place, "/m")])
        await kernel.run("setsid sleep 987123 & for i in $(seq 200); do echo $i > f$i; done; sleep 0.02")
        state = await kernel.snapshot()
        archive = place.parent / f"{number}.tar"
        await backend.export(state, archive)
        await backend.load(base, archive)
        await kernel.close()

async def main():
    backend = LocalBackend(Path(sys.argv[1]), warm=())
    await backend.prepare(BaseSpec())
    print("up", flush=True)
    await asyncio.gather(*(one(backend, number) for number in range(4)))

asyncio.run(main())
"""


def living(*marks: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if any(mark in text for mark in marks):
            found.append(text.replace("\0", " ")[:200])
    return found


def groups_of(pid: int) -> list[Path]:
    found = tier()
    return (
        [] if found is None else [p for d in found.parents.values() for p in d.glob(f"rollout-fork-{pid}-*")]
    )


def child_of(parent: int) -> int:
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            if f"PPid:\t{parent}\n" in path.read_text():
                return int(path.parent.name)
        except OSError:
            continue
    raise LookupError("it has no child")


@pytest.mark.parametrize("victim", ["host", "zygote and host", "kernels"])
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_left_whenever_it_is_killed(victim: str, seed: int, tmp_path: Path) -> None:
    state = tmp_path / "state"
    rng = random.Random(f"{victim}{seed}")
    with subprocess.Popen(
        [PYTHON, "-c", BUSY, str(state)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"up\n"
        try:
            await asyncio.sleep(rng.uniform(0.05, 1.0))
            zygote = child_of(busy.pid)
            if victim == "zygote and host":
                os.kill(zygote, signal.SIGKILL)
            elif victim == "kernels":
                for _ in range(20):
                    with suppress(LookupError, ProcessLookupError):
                        os.kill(child_of(zygote), signal.SIGKILL)
        finally:
            busy.kill()
    deadline = time.monotonic() + 5
    while living("sleep\0987123", str(state)) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert living("sleep\0987123", str(state)) == []
    assert str(state) not in Path("/proc/self/mounts").read_text()
    backend = LocalBackend(state)
    assert await backend.reap() >= 0
    assert list((state / "instances").iterdir()) == []
    assert list((state / "tmp").iterdir()) == []
    assert groups_of(busy.pid) == []
    live = await backend.start(
        await backend.prepare(BaseSpec())
    )  # what was being built does not stand in the way
    assert (await live.run("echo fine")).stdout == b"fine\n"
    await backend.close()
    assert list((state / "instances").iterdir()) == []


async def test_what_lives_is_left_alone(tmp_path: Path) -> None:
    async with local(tmp_path / "state") as one, local(tmp_path / "state") as other:
        live = await one.start(await one.prepare(BaseSpec()))
        assert await other.reap() == 0
        assert (await live.run("echo here > f; cat f")).stdout == b"here\n"


async def test_layers_that_nobody_uses_any_more_are_pruned_and_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    async with local(store.root) as backend:
        base = await backend.prepare(BaseSpec())
        live = await backend.start(base)
        await live.write("f", b"1")
        old = await live.snapshot()
        await live.close()
        for layer in (store.root / "layers").iterdir():
            os.utime(layer, (1, 1))
        await (await backend.start(base)).close()
        assert prune(store) == 1  # the base was used a moment ago, the state was not
        with pytest.raises(SnapshotMissing):
            await backend.start(old)
        assert prune(store, -60.0) == 0  # this back-end is "older" than that, and may use any of them
    assert prune(store, -60.0) == 2
    async with local(store.root) as backend:
        again = await backend.start(await backend.prepare(BaseSpec()))
        assert (await again.run("true")).ok
