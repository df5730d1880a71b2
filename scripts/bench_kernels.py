"""What a kernel costs on this machine, as ratios taken in one run.

    python scripts/bench_kernels.py [--rounds 100] [--small-only] [--json]

The floor is a bare loop in a small interpreter: the same clone, mounts, pivot and exec by the same system
calls, with no protocol, no limits and no seccomp. Rounds alternate, so that noise hits both sides alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from kernel_pool import BaseSpec, Limits, RunStep, Snapshot
from kernel_pool.backends.local import LocalBackend, machine

_TREE = """
import os, sys
files, size = int(sys.argv[1]), int(sys.argv[2])
for n in range(files):
    os.makedirs(f"d{n // 100}", exist_ok=True)
    with open(f"d{n // 100}/f{n}", "wb") as f:
        f.write(os.urandom(64) * (size // 64))
"""


def main() -> None:
    """Measure, print a table or JSON; exit 1 when a limit is passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--small-only", action="store_true", help="leave the 500 MB base out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = asyncio.run(measure(options.rounds, big=not options.small_only))
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            limit = "" if row["limit"] is None else f"  (limit {row['limit']})"
            print(f"{row['measure']:<55} {row['value']:>9.3f}{limit}")
    sys.exit(any(row["limit"] is not None and row["value"] > row["limit"] for row in rows))


async def measure(rounds: int, *, big: bool) -> list[dict[str, Any]]:
    """[{measure, value, limit}]; times in milliseconds, ratios plain."""
    state = Path(tempfile.mkdtemp(prefix="bench-kernels-", dir="/var/tmp"))
    state.chmod(0o755)
    backend = LocalBackend(state / "state")
    try:
        small = await backend.prepare(_workspace(500, 20_000))
        floor = _Floor(state, backend, small)
        try:
            forks, floors = await _alternate(rounds, _forking(backend, small), floor.once)
        finally:
            floor.close()
        rows = [
            _row("raw clone, mounts and exec, p50 ms", _p50(floors)),
            _row("fork to first command done, p50 ms", _p50(forks)),
            _row("fork to first command done, p95 ms", statistics.quantiles(forks, n=20)[-1] * 1000),
            _row("fork to first command done / raw floor", _p50(forks) / _p50(floors), 2.0),
        ]
        if big:
            large = await backend.prepare(_workspace(20_000, 25_000))
            some, many = await _alternate(rounds, _forking(backend, small), _forking(backend, large))
            rows.append(_row("fork of 500 MB, 20,000 files / fork of 10 MB", _p50(many) / _p50(some), 1.2))
        return rows + await _warm_tests(backend, small, max(5, rounds // 10))
    finally:
        await backend.close()
        shutil.rmtree(state, ignore_errors=True)


def _workspace(files: int, size: int) -> BaseSpec:
    command = f"python3 -c '{_TREE}' {files} {size}"
    return BaseSpec(steps=(RunStep(command, Limits(wall_s=600.0)),))


def _forking(backend: LocalBackend, snapshot: Snapshot) -> Callable[[], Awaitable[float]]:
    async def once() -> float:
        started = time.perf_counter()
        kernel = await backend.start(snapshot)
        result = await kernel.run(["true"])
        took = time.perf_counter() - started
        await kernel.close()
        assert result.ok, result
        return took

    return once


async def _alternate(
    rounds: int, one: Callable[[], Awaitable[float]], other: Callable[[], Awaitable[float]]
) -> tuple[list[float], list[float]]:
    for _ in range(3):
        await one()
        await other()
    first, second = [], []
    for _ in range(rounds):
        first.append(await one())
        second.append(await other())
    return first, second


async def _warm_tests(backend: LocalBackend, base: Snapshot, rounds: int) -> list[dict[str, Any]]:
    kernel = await backend.start(base)
    await kernel.write("test_one.py", b"def test_one():\n    assert True\n")

    async def timed(prefix: list[str]) -> float:
        result = await kernel.run([*prefix, "python", "-m", "pytest", "-q"])
        assert result.ok, result
        assert result.warm == (not prefix)
        return result.wall_s

    warm, cold = await _alternate(rounds, lambda: timed([]), lambda: timed(["/usr/bin/env"]))
    await kernel.close()
    return [
        _row("python -m pytest, one test, cold, p50 ms", _p50(cold)),
        _row("python -m pytest, one test, warm, p50 ms", _p50(warm)),
        _row("warm / cold", _p50(warm) / _p50(cold)),
    ]


def _p50(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def _row(measure: str, value: float, limit: float | None = None) -> dict[str, Any]:
    return {"measure": measure, "value": round(value, 3), "limit": limit}


_FLOOR = """
import json, os, sys, time
del sys.path[0]
sys.path.insert(0, sys.argv[1])
from kernel_pool.backends.local.inside import namespaces, syscalls
setup = json.loads(sys.argv[2])
uid, gid = os.geteuid(), os.getegid()
if uid == 0:
    syscalls.unshare(syscalls.CLONE_NEWNS)
else:
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    namespaces.write_id_maps(uid, gid)
    uid = gid = 0
namespaces.build_zygote_root(setup["scratch"], setup["state"], tuple(setup["system"]), setup["links"])
if setup["become"]:
    uid, gid = setup["become"]
    os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
    syscalls.set_dumpable(True)
bind, quiet = syscalls.MS_BIND | syscalls.MS_REC, syscalls.MS_NOSUID | syscalls.MS_NODEV
number = 0
for _line in sys.stdin:
    number += 1
    room = f"/state/floor/{number}"
    started = time.perf_counter()
    child = syscalls.clone(namespaces.flags("none"))
    if child == 0:
        namespaces.write_id_maps(uid, gid)
        os.makedirs(room + "/upper"); os.mkdir(room + "/work")
        where = f"lowerdir={setup['lowers']},upperdir={room}/upper,workdir={room}/work,userxattr"
        syscalls.mount("overlay", "/new", "overlay", quiet, where)
        for path in (*setup["system"], "/dev"):
            syscalls.mount(path, "/new" + path, None, bind)
        syscalls.mount("shm", "/new/dev/shm", "tmpfs", quiet, "size=64m")
        syscalls.mount("pts", "/new/dev/pts", "devpts", 0, "newinstance")
        syscalls.mount("proc", "/new/proc", "proc", quiet)
        syscalls.pivot_to("/new")
        os.execv("/usr/bin/true", ["true"])
    assert os.waitpid(child, 0)[1] == 0
    print(time.perf_counter() - started, flush=True)
"""


class _Floor:
    """A process that does the bare minimum on demand and says how long it took."""

    def __init__(self, state: Path, backend: LocalBackend, base: Snapshot) -> None:
        scratch = state / "floor-root"
        scratch.mkdir()
        root = state / "state"
        (root / "floor").mkdir()
        if os.geteuid() == 0:
            os.chown(root / "floor", *machine.kernel_ids())
        about = json.loads((root / "layers" / base.base / "about.json").read_text())
        setup = {
            "scratch": str(scratch),
            "state": str(root),
            "system": machine.system_directories(),
            "links": machine.system_links(),
            "become": machine.kernel_ids() if os.geteuid() == 0 else None,
            "lowers": ":".join(f"/state/layers/{layer}/tree" for layer in (base.base, about["skeleton"])),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _FLOOR, str(Path(__file__).parents[1]), json.dumps(setup)],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def once(self) -> float:
        """Seconds of one round."""
        return await asyncio.get_running_loop().run_in_executor(None, self._round)

    def _round(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    main()
