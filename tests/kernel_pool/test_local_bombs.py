"""Whatever a command grabs, it is ended by the name of the limit it passed; neighbours and host go on.

Each row is tried where cgroups hold the limits and where they are watched.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from local_support import PYTHON, kernel, shell

from kernel_pool import Limits, Snapshot
from kernel_pool.backends.local import LocalBackend
from kernel_pool.backends.local.cgroups import tier
from kernel_pool.backends.local.handle import LocalKernel

TIGHT = Limits(
    wall_s=20.0, cpu_s=10.0, memory_mb=100, processes=40, disk_mb=30, output_bytes=1_000_000, file_mb=2000
)

Started = tuple[LocalBackend, Snapshot, LocalKernel]


@pytest.fixture(params=["cgroups", "watched"])
async def started(request: pytest.FixtureRequest) -> AsyncIterator[Started]:
    if request.param == "cgroups" and tier() is None:
        pytest.skip("this user may make no control groups here")
    async with kernel(cgroups=request.param == "cgroups") as made:
        yield made


def python(text: str) -> list[str]:
    return [PYTHON, "-I", "-S", "-c", text]


#: what -> (command, the name it is ended by)
BOMBS: dict[str, tuple[str | list[str], str]] = {
    "a fork bomb": (":(){ :|:& };:; sleep 10", "pids"),
    "a fork bomb in sessions of its own": (
        python(
            "import os, time\nwhile True:\n try:\n  os.fork() or os.setsid()\n except OSError: time.sleep(1)"
        ),
        "pids",
    ),
    "threads without end": (
        python(
            "import threading, time\nwhile True:\n try: threading.Thread(target=time.sleep, args=(9,)).start()\n"
            " except RuntimeError: time.sleep(60)"
        ),
        "pids",
    ),
    "one process that eats memory": (python("x = []\nwhile True: x.append(b'x' * (1 << 20))"), "oom"),
    "several that eat together": (
        "for i in 1 2 3 4; do python3 -I -S -c 'import time; x = b\"x\" * (40 << 20); time.sleep(60)' & done; wait",
        "oom",
    ),
    "memory in a file without a name": (
        python(
            "import os, time\nfd = os.memfd_create('x')\nfor _ in range(300): os.write(fd, b'x' * (1 << 20))\ntime.sleep(60)"
        ),
        "oom",
    ),
    "memory in /dev/shm": (
        "python3 -I -S -c 'import time; x = b\"x\" * (60 << 20); time.sleep(60)' & head -c 60M /dev/zero > /dev/shm/x; wait",
        "oom",
    ),
    "memory that is shared without a name": (
        python(
            "import mmap, time\nm = mmap.mmap(-1, 400 << 20)\nfor i in range(0, 400 << 20, 4096): m[i] = 1\ntime.sleep(60)"
        ),
        "oom",
    ),
    "a System V segment": (
        python(
            "import ctypes, time\nl = ctypes.CDLL(None); l.shmat.restype = ctypes.c_void_p\n"
            "a = l.shmat(l.shmget(0, ctypes.c_size_t(400 << 20), 0o1600), None, 0); ctypes.memset(a, 1, 400 << 20); time.sleep(60)"
        ),
        "oom",
    ),
    "directories inside one another without end": (
        python(
            "import os, time\nfor _ in range(5000): os.mkdir('d'); os.chdir('d')\n"
            "open('x', 'wb').write(os.urandom(3 << 20)); time.sleep(60)"
        ),
        "disk",
    ),
    "many files": ("for i in $(seq 100); do head -c 1M /dev/zero > f$i; done; sleep 60", "disk"),
    "many files in a directory that is closed": (
        "mkdir d; for i in $(seq 100); do head -c 1M /dev/zero > d/f$i; done; chmod 0 d; sleep 60",
        "disk",
    ),
    "files that are nothing but holes": ("for i in $(seq 9); do truncate -s 60M h$i; done; sleep 60", "disk"),
    "empty files without end": (
        python("import time\nfor i in range(20000): open(f'f{i}', 'w').close()\ntime.sleep(60)"),
        "disk",
    ),
    "a deleted file that is still open": (
        python(
            "import os, time\nf = open('x', 'wb'); os.unlink('x')\n"
            "for _ in range(100): f.write(os.urandom(1 << 20)); f.flush()\ntime.sleep(60)"
        ),
        "disk",
    ),
    "a file written and left behind at once": ("head -c 80M /dev/urandom > x", "disk"),
    "endless output": (["yes"], "output"),
    "endless output on both streams": ("yes & yes >&2", "output"),
    "a busy loop": ("while :; do :; done", "cpu"),
    "busy children that nobody waits for": (
        python(
            "import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True:\n"
            " if os.fork() == 0:\n  end = time.process_time() + 0.2\n  while time.process_time() < end: pass\n  os._exit(0)\n"
            " time.sleep(0.2)"
        ),
        "cpu",
    ),
    "busy children that are gone": (
        "for i in $(seq 99); do timeout 0.3 bash -c 'while :; do :; done'; done",
        "cpu",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_ends_by_its_name_and_leaves_the_kernel_usable(started: Started, bomb: str) -> None:
    _backend, _base, live = started
    command, name = BOMBS[bomb]
    limits = replace(TIGHT, cpu_s=0.5) if name == "cpu" else TIGHT
    result = await live.run(command, limits=limits)
    assert (result.ended, result.exit_code) == (name, None), result
    assert result.wall_s < 15.0
    left = "echo still here; set -- /proc/[0-9]*; echo $#"  # PID 1 and this shell
    assert await shell(live, left) == "still here\n2\n"


async def test_a_bomb_slows_its_neighbour_but_does_not_stop_it(started: Started) -> None:
    backend, base, live = started
    neighbour = await backend.start(base)
    for command, name in (BOMBS["a fork bomb"], BOMBS["one process that eats memory"], BOMBS["many files"]):
        bomb = asyncio.create_task(live.run(command, limits=TIGHT))
        while not bomb.done():
            begun = time.monotonic()
            assert await shell(neighbour, "echo fine > f; cat f") == "fine\n"
            assert time.monotonic() - begun < 5.0
        assert (await bomb).ended == name


async def test_what_fits_is_left_alone(started: Started) -> None:
    _backend, _base, live = started
    fits = (
        "for i in $(seq 30); do sleep 0.3 & done; wait",
        "python3 -I -S -c 'x = b\"x\" * (60 << 20)'",
        "head -c 20M /dev/zero > f; rm f; head -c 20M /dev/zero > f; rm f; head -c 20M /dev/zero > f; rm f",
        "head -c 999999 /dev/zero",
    )
    for command in fits:
        result = await live.run(command, limits=TIGHT)
        assert result.ok, (command, result.ended, result.stderr)


async def test_who_is_over_the_disk_limit_can_still_delete(started: Started) -> None:
    _backend, _base, live = started
    assert (await live.run("head -c 80M /dev/urandom > x", limits=TIGHT)).ended == "disk"
    assert (await live.run("ls; sleep 0.3; rm x", limits=TIGHT)).ok
    assert (await live.run("head -c 20M /dev/urandom > y", limits=TIGHT)).ok
    assert (await live.run("head -c 20M /dev/urandom > z", limits=TIGHT)).ended == "disk"


async def test_programs_that_reserve_far_more_than_they_use_fit(started: Started) -> None:
    _backend, _base, live = started
    reserve = "import mmap; m = mmap.mmap(-1, 8 << 30, 0x4022, mmap.PROT_READ); print(len(m))"
    assert (await live.run(python(reserve), limits=TIGHT)).stdout == b"8589934592\n"


@pytest.mark.skipif(tier() is None, reason="this user may make no control groups here")
async def test_groups_are_gone_with_their_kernels() -> None:
    found = tier()
    assert found is not None

    def groups() -> list[Path]:
        below = [
            p for parent in found.parents.values() for p in parent.glob(f"rollout-fork-{os.getpid()}-*/k*")
        ]
        return sorted(below)

    async with kernel() as (backend, base, live):
        more = [await backend.start(base) for _ in range(5)]
        assert len(groups()) >= 6 * len(found.parents)
        for one in (live, *more):
            await one.run("sleep 5 & true")
            await one.close()
        await asyncio.sleep(0.3)
        assert len(groups()) <= 2 * len(found.parents)  # those made ahead
    assert groups() == []
    assert not [p for parent in found.parents.values() for p in parent.glob(f"rollout-fork-{os.getpid()}-*")]
