"""What a kernel costs on this machine, as ratios taken in one run.

    python scripts/bench_kernels.py [--rounds 60] [--small-only] [--json]

The floor (`kernel_floor.py`) is the same clone, mounts and exec without everything that makes a kernel of it.
Rounds alternate, so that noise hits both sides alike. As root it measures itself once more as an ordinary user.
Exit code 1 when a limit is passed; `(at least)` marks those that must not be undercut.
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
from kernel_pool.backends.local import LocalBackend
from scripts.kernel_floor import Floor

Row = dict[str, Any]
ALIVE = (1, 8, 64, 256)  #: kernels that live while another one is forked
LEAST = "(at least)"
_SYSTEM_PYTHON = "/usr/bin/python3"
_ORDINARY_USER = 61_235

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
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--small-only", action="store_true", help="leave the 500 MB base out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = asyncio.run(measure(options.rounds, big=not options.small_only))
    if os.geteuid() == 0:
        rows += _as_ordinary_user(options.rounds, options.small_only)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            limit = "" if row["limit"] is None else f"  (limit {row['limit']:g})"
            print(f"{row['measure']:<72} {row['value']:>9.3f}{limit}")
    sys.exit(any(map(_passed, rows)))


async def measure(rounds: int, *, big: bool) -> list[Row]:
    """[{measure, value, limit}]; times in milliseconds, ratios plain."""
    who = "root" if os.geteuid() == 0 else "user"
    place = Path(tempfile.mkdtemp(prefix="bench-kernels-", dir="/var/tmp"))
    place.chmod(0o755)
    backend = LocalBackend(place / "state")
    try:
        small = await backend.prepare(_workspace(500, 20_000))
        rows = [
            row for alive in ALIVE for row in await _latency(backend, small, alive, rounds, f"{who}, 10 MB")
        ]
        if big:
            large = await backend.prepare(_workspace(20_000, 25_000))
            for alive in ALIVE:
                rows += await _latency(backend, large, alive, rounds, f"{who}, 500 MB")
            some, many = await _alternate(rounds, _forking(backend, small), _forking(backend, large))
            rows.append(
                _row(f"{who}: fork of 500 MB, 20,000 files / fork of 10 MB", _p50(many) / _p50(some), 1.2)
            )
        rows.append(await _sustained(backend, small, who))
        rows.append(await _depth(backend, small, rounds, who))
        rows += await _memory(backend, small, who)
        rows += await _commands(backend, small, rounds, who)
        rows += await _warm_tests(backend, small, max(5, rounds // 6), who)
        rows += await _growth(backend, small, who)
        return rows
    finally:
        await backend.close()
        shutil.rmtree(place, ignore_errors=True)


async def _latency(backend: LocalBackend, base: Snapshot, alive: int, rounds: int, what: str) -> list[Row]:
    """Forking one more kernel and running its first command, while `alive - 1` others live."""
    others = await _start(backend, base, alive - 1)
    with tempfile.TemporaryDirectory(prefix="floor-", dir=backend.store.root.parent) as scratch:
        Path(scratch).chmod(0o755)
        floor = Floor(Path(scratch), backend, base)
        try:
            forks, floors = await _alternate(rounds, _forking(backend, base), floor.once)
        finally:
            floor.close()
    await asyncio.gather(*(kernel.close() for kernel in others))
    what = f"{what}, {alive} kernels"
    return [
        _row(f"{what}: raw clone, mounts and exec, p50 ms", _p50(floors)),
        _row(f"{what}: fork to first command done, p50 ms", _p50(forks), 8.0),
        _row(f"{what}: fork to first command done, p95 ms", statistics.quantiles(forks, n=20)[-1] * 1000),
        _row(f"{what}: fork to first command done / raw floor", _p50(forks) / _p50(floors), 1.5),
    ]


async def _sustained(backend: LocalBackend, base: Snapshot, who: str, count: int = 1000) -> Row:
    """Forks with a first command and a close, eight under way at any time."""
    once = _forking(backend, base)
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await once()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(8)))
    rate = count / (time.perf_counter() - started)
    return _row(f"{who}: forks a second, sustained, with a command and a close {LEAST}", rate, 150.0)


async def _depth(backend: LocalBackend, base: Snapshot, rounds: int, who: str) -> Row:
    states = [base]
    for number in range(64):
        kernel = await backend.start(states[-1])
        await kernel.run(["sh", "-c", f"echo {number} > step{number}; echo {number} >> log"])
        states.append(await kernel.snapshot())
        await kernel.close()
    shallow, deep = await _alternate(rounds, _forking(backend, states[1]), _forking(backend, states[64]))
    return _row(f"{who}: fork at depth 64 / fork at depth 1", _p50(deep) / _p50(shallow), 1.3)


async def _memory(backend: LocalBackend, base: Snapshot, who: str, count: int = 64) -> list[Row]:
    """What idle kernels take from the memory that is left, and (where we may look) their own share of pages."""
    before, known = _available_mb(), _children()
    kernels = await _start(backend, base, count)
    await asyncio.sleep(0.5)
    taken = (before - _available_mb()) / count
    shares = [share for pid in _children() - known if (share := _pss_mb(pid)) is not None]
    await asyncio.gather(*(kernel.close() for kernel in kernels))
    rows = [_row(f"{who}: memory that {count} idle kernels take, MB each", taken, 4.0)]
    if shares:
        rows.append(
            _row(f"{who}: proportional set size of an idle kernel, p50 MB", statistics.median(shares), 4.0)
        )
    return rows


async def _commands(backend: LocalBackend, base: Snapshot, rounds: int, who: str) -> list[Row]:
    """Commands in a kernel that has run some, against `subprocess.run` of the same on the host."""
    kernel = await backend.start(base)
    rows = []
    for command in (["true"], ["git", "--version"], ["bash", "-c", "true"]):

        async def inside(command: list[str] = command) -> float:
            started = time.perf_counter()
            result = await kernel.run(command)
            took = time.perf_counter() - started
            assert result.ok, result
            return took

        async def outside(command: list[str] = command) -> float:
            started = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            return time.perf_counter() - started

        ours, theirs = await _alternate(4 * rounds, inside, outside)
        rows.append(
            _row(
                f"{who}: `{' '.join(command)}` in a warm kernel / on the host", _p50(ours) / _p50(theirs), 1.5
            )
        )
    await kernel.close()
    return rows


async def _warm_tests(backend: LocalBackend, base: Snapshot, rounds: int, who: str) -> list[Row]:
    kernel = await backend.start(base)
    await kernel.write("test_one.py", b"def test_one():\n    assert True\n")
    probe = await kernel.run(["python3", "-m", "pytest", "-q"])
    if not probe.warm:  # this interpreter has no pytest
        await kernel.close()
        return []

    async def timed(prefix: list[str]) -> float:
        result = await kernel.run([*prefix, "python3", "-m", "pytest", "-q"])
        assert result.ok, result
        assert result.warm == (not prefix)
        return result.wall_s

    warm, cold = await _alternate(rounds, lambda: timed([]), lambda: timed(["/usr/bin/env"]))
    await kernel.close()
    return [
        _row(f"{who}: python -m pytest, one test, cold, p50 ms", _p50(cold)),
        _row(f"{who}: python -m pytest, one test, warm, p50 ms", _p50(warm)),
        _row(f"{who}: warm / cold", _p50(warm) / _p50(cold)),
    ]


async def _growth(backend: LocalBackend, base: Snapshot, who: str) -> list[Row]:
    """What a thousand forks and closes leave behind."""
    await _sustained(backend, base, who, 50)
    await asyncio.sleep(0.5)
    before = _counts(backend)
    await _sustained(backend, base, who)
    await asyncio.sleep(0.5)
    after = _counts(backend)
    return [
        _row(f"{who}: {what} more after 1,000 forks and closes", after[what] - before[what], 0.0)
        for what in after
    ]


def _counts(backend: LocalBackend) -> dict[str, int]:
    groups = Path("/sys/fs/cgroup")
    return {
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "processes": len(_children()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "directories": sum(1 for _ in backend.store.root.glob("*/*"))
        + sum(1 for _ in backend.store.root.glob("instances/*/*/*")),
        "control groups": sum(1 for _ in groups.glob(f"**/rollout-fork-{os.getpid()}-*/*/")),
    }


async def _start(backend: LocalBackend, base: Snapshot, count: int) -> list[Any]:
    kernels: list[Any] = []
    while len(kernels) < count:
        batch = min(32, count - len(kernels))
        kernels += await asyncio.gather(*(backend.start(base) for _ in range(batch)))
    return kernels


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


def _available_mb() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1024


def _children() -> set[int]:
    """Every process below this one."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def _pss_mb(pid: int) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _as_ordinary_user(rounds: int, small_only: bool) -> list[Row]:
    """The same by an interpreter that anybody may execute, with the code where anybody may read it."""
    place = Path(tempfile.mkdtemp(prefix="bench-user-", dir="/var/tmp"))
    try:
        place.chmod(0o755)
        root = Path(__file__).parents[1]
        for name in ("kernel_pool", "scripts"):
            shutil.copytree(root / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        command = [
            _SYSTEM_PYTHON,
            str(place / "scripts" / "bench_kernels.py"),
            "--json",
            "--rounds",
            str(rounds),
        ]
        done = subprocess.run(
            [*command, *(["--small-only"] if small_only else [])],
            user=_ORDINARY_USER,
            group=_ORDINARY_USER,
            extra_groups=(),
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            check=False,
            cwd="/",
        )
        return list(json.loads(done.stdout))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _passed(row: Row) -> bool:
    if row["limit"] is None:
        return False
    if LEAST in row["measure"]:
        return bool(row["value"] < row["limit"])
    return bool(row["value"] > row["limit"])


def _p50(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def _row(measure: str, value: float, limit: float | None = None) -> Row:
    return {"measure": measure, "value": round(value, 3), "limit": limit}


if __name__ == "__main__":
    main()
