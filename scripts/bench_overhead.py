"""What the orchestrator costs per step: CPU of this process with an instant policy, nothing else running.

    python scripts/bench_overhead.py [--steps 400] [--branches 4] [--json]

Three figures: the agent loop around a tool that does nothing; whole branches (forked, run, verified, recorded
on disk, every state archived) whose every step is the command `true` in a sandbox; and the floor, the same
number of bare awaits of the tool. The sandboxes are other processes and not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from envs import Episode, Task, ToolBox, load_tasks
from envs.tools import ToolContext
from kernel_pool import KernelPool
from kernel_pool.registry import backend
from rollouts.branch import run_branch
from rollouts.config import BudgetConfig
from rollouts.fork import BranchSettings, ForkRunner
from rollouts.plan import Independent
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.records import Sampling
from rollouts.snapshots import SnapshotArchive
from rollouts.store import RunStore
from verifiers.build import BuildVerifier

LIMIT_MS = 5.0


async def nothing(context: ToolContext) -> str:
    """Do nothing."""
    return ""


async def cpu(work: Callable[[], Awaitable[int]]) -> float:
    """CPU milliseconds of this process per step, for an awaitable that tells how many steps it took."""
    began = time.process_time()
    steps = await work()
    return 1000 * (time.process_time() - began) / steps


async def measure(steps: int, branches: int) -> list[dict[str, Any]]:
    """The three figures, as `{measure, value, limit}`."""
    task: Task = load_tasks("suite").tasks[0]
    sandbox = backend("local")
    pool = KernelPool(sandbox, branches)
    base = await pool.prepare(task.base)
    budget = BudgetConfig(steps=steps, seconds=600)

    async def loop() -> int:
        policy = ScriptedPolicy.of([{"tool": "nothing"}], repeat=True)
        async with await Episode.start(task, pool, base=base, tools=ToolBox([nothing])) as episode:
            await episode.reset()
            await run_branch(episode, policy, Sampling(seed=1), budget)
            return len(episode.trajectory.steps)

    async def whole() -> int:
        policy = ScriptedPolicy.of([{"tool": "bash", "arguments": {"command": "true"}}], repeat=True)
        done = 0
        with tempfile.TemporaryDirectory() as directory:
            archive = SnapshotArchive(Path(directory, "snapshots"))
            runner = ForkRunner(pool, policy, BuildVerifier(), BranchSettings(budget=budget), archive)
            with RunStore.create(Path(directory, "run"), "", "bench") as store:
                writer = store.writer("bench")
                async for record in runner.run(task, Independent(branches)):
                    writer.append(record)
                    done += len(record.trajectory.steps)
        return done

    async def bare() -> int:
        for _ in range(steps):
            await nothing(None)  # type: ignore[arg-type]
        return steps

    try:
        return [
            {
                "measure": "agent loop, CPU per step (ms)",
                "value": round(await cpu(loop), 3),
                "limit": LIMIT_MS,
            },
            {
                "measure": "whole branches, CPU per step (ms)",
                "value": round(await cpu(whole), 3),
                "limit": LIMIT_MS,
            },
            {"measure": "bare await of the tool (ms)", "value": round(await cpu(bare), 5), "limit": None},
        ]
    finally:
        await pool.close()
        await sandbox.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--branches", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = asyncio.run(measure(arguments.steps, arguments.branches))
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        limit = "" if row["limit"] is None else f"  (limit {row['limit']:g})"
        print(f"{row['measure']:<36} {row['value']:>9}{limit}")


if __name__ == "__main__":
    main()
