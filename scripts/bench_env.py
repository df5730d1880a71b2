"""What the gymnasium env costs over a bare kernel, and what stepping eight sandboxes at once gains.

    python scripts/bench_env.py [--steps 300] [--rounds 12] [--json]

Each figure is a ratio of two things measured in turns in one run, on this machine, with local sandboxes:
- a step of the env that runs `true`, over the same command on a bare kernel (medians of single calls);
- steps a second of eight sandboxes in one vector env over those of one sandbox, for a command that computes for
  about 50 ms: with more processors than sandboxes it would be 8, on two it cannot be above 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from envs.blocking import Workshop
from envs.code_task import CodeTaskEnv
from envs.vector import ConcurrentVectorEnv
from kernel_pool import Kernel

OVERHEAD_LIMIT = 1.3
SPEEDUP_LIMIT = 1.7
SANDBOXES = 8
TASK = "binary-heap"
BUSY = "python3 -c 'import time\nwhile time.process_time() < 0.05: pass'"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def action(command: str) -> str:
    """The action that runs a command."""
    return json.dumps({"tool": "bash", "arguments": {"command": command}})


def overhead(steps: int) -> tuple[float, float]:
    """(median seconds of an env step, of the bare command)."""
    workshop = Workshop.open()
    with CodeTaskEnv(TASK, max_steps=steps + 1) as env:
        env.reset(seed=0)
        episode = workshop.run(workshop.start(env.tasks.tasks[0]))
        kernel: Kernel = episode.kernel
        true = action("true")

        async def bare() -> float:
            began = time.perf_counter()
            await kernel.run("true")
            return time.perf_counter() - began

        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(steps):
            theirs.append(workshop.run(bare()))
            ours.append(seconds(lambda: env.step(true)))
        workshop.run(episode.close())
    workshop.close()
    return statistics.median(ours), statistics.median(theirs)


def speedup(rounds: int) -> tuple[float, float]:
    """(steps a second of eight sandboxes at once, of one), from the median times."""
    busy = action(BUSY)
    many = ConcurrentVectorEnv(SANDBOXES, task=TASK, max_steps=100_000)
    with CodeTaskEnv(TASK, max_steps=100_000) as one:
        many.reset(seed=0)
        one.reset(seed=0)
        single: list[float] = []
        batch: list[float] = []
        for _ in range(rounds):
            single += [seconds(lambda: one.step(busy)) for _ in range(SANDBOXES // 2)]
            batch.append(seconds(lambda: many.step([busy] * SANDBOXES)))
    many.close()
    return SANDBOXES / statistics.median(batch), 1 / statistics.median(single)


def measure(steps: int, rounds: int) -> list[dict[str, Any]]:
    """All figures, as `{measure, value, limit}`."""
    step, bare = overhead(steps)
    eight, one = speedup(rounds)
    return [
        {
            "measure": "env step / bare kernel command",
            "value": round(step / bare, 3),
            "limit": OVERHEAD_LIMIT,
        },
        {"measure": "8 sandboxes at once / one", "value": round(eight / one, 3), "limit": SPEEDUP_LIMIT},
        {"measure": "env step (ms)", "value": round(1000 * step, 3), "limit": None},
        {"measure": "bare kernel command (ms)", "value": round(1000 * bare, 3), "limit": None},
        {"measure": "steps a second, 8 sandboxes", "value": round(eight, 2), "limit": None},
        {"measure": "steps a second, one sandbox", "value": round(one, 2), "limit": None},
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = measure(arguments.steps, arguments.rounds)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        limit = "" if row["limit"] is None else f"  (limit {row['limit']:g})"
        print(f"{row['measure']:<34} {row['value']:>9}{limit}")


if __name__ == "__main__":
    main()
