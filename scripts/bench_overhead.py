"""What the orchestrator costs per step: CPU of this process with an instant policy and a tool that does nothing.

    python scripts/bench_overhead.py [--steps 400] [--json]

The floor is the same number of bare awaits of the same tool function.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from envs import Episode, Task, ToolBox, load_tasks
from envs.tools import ToolContext
from kernel_pool import KernelPool
from kernel_pool.registry import backend
from rollouts.branch import run_branch
from rollouts.config import BudgetConfig
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.records import Sampling

LIMIT_MS = 5.0


async def nothing(context: ToolContext) -> str:
    """Do nothing."""
    return ""


async def cpu(work: Callable[[], Awaitable[Any]]) -> float:
    """CPU seconds of this process that an awaitable takes."""
    began = time.process_time()
    await work()
    return time.process_time() - began


async def measure(steps: int) -> list[dict[str, Any]]:
    """CPU milliseconds per step: the whole loop, and the floor."""
    task: Task = load_tasks("suite").tasks[0]
    sandbox = backend("local")
    pool = KernelPool(sandbox, 2)
    policy = ScriptedPolicy.of([{"tool": "nothing"}], repeat=True)
    base = await pool.prepare(task.base)
    async with await Episode.start(task, pool, base=base, tools=ToolBox([nothing])) as episode:
        await episode.reset()
        budget = BudgetConfig(steps=steps, seconds=600)
        spent = await cpu(lambda: run_branch(episode, policy, Sampling(seed=1), budget))
        done = len(episode.trajectory.steps)

        async def bare() -> None:
            for _ in range(done):
                await nothing(None)  # type: ignore[arg-type]

        floor = await cpu(bare)
    await pool.close()
    await sandbox.close()
    per_step = 1000 * spent / done
    return [
        {"measure": "orchestrator CPU per step (ms)", "value": round(per_step, 3), "limit": LIMIT_MS},
        {"measure": "bare await of the tool (ms)", "value": round(1000 * floor / done, 5), "limit": None},
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = asyncio.run(measure(arguments.steps))
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        limit = "" if row["limit"] is None else f"  (limit {row['limit']:g})"
        print(f"{row['measure']:<36} {row['value']:>9}{limit}")


if __name__ == "__main__":
    main()
