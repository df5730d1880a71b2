"""Forking a finished branch at one of its steps: new branches of the same rollout, ranked with the old."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .batch import make_executor
from .config import RunConfig
from .confirmation import confirmed
from .errors import ConfigError
from .executor import BranchJob, ForkRef, images
from .fork import tree_node
from .judging import ranked
from .plan import AtStep, SamplingPlan
from .preflight import select_tasks
from .progress import Progress
from .records import BranchRecord
from .snapshots import state_at
from .store import RunStore


async def refork(
    config: RunConfig, run_dir: Path, branch: str, step: int, n: int, progress: Progress
) -> list[BranchRecord]:
    """Run `n` branches that share the first `step` steps of a finished branch; returns their records.

    The shared state is taken from the run's kept snapshots, not reached again. Raises `ConfigError` for an
    unknown branch or step, `RunDirError` when that state was not kept.
    """
    if n < 1:
        raise ConfigError(f"-n {n}: at least one branch")
    with RunStore.create(run_dir, None) as store:
        parent = find_branch(store, branch)
        rollout = list(store.rollout(parent.lineage.rollout_id))
        before = store.rankings().get(parent.lineage.rollout_id)
        if before is None:
            raise ConfigError(
                f"{parent.lineage.rollout_id} is not finished: its other branches are still to come; run the batch "
                "to its end first (the same command with the same --out)"
            )
        state = state_at(parent, step)
        # Places of branches that a rule left out stay free: they belong to the plan.
        first = max(config.branches, 1 + max(r.lineage.index for r in rollout))
        plan = AtStep(parent.lineage.branch_id, step, n, first, SamplingPlan(config.sampling, config.seed))
        specs = plan.next(parent.lineage.rollout_id, [tree_node(r) for r in rollout])
        tasks = {task.id: task for task in select_tasks(config, await images(config)).tasks}
        if parent.task.task_id not in tasks:
            raise ConfigError(f"task {parent.task.task_id} is not in {config.tasks} any more")
        executor = make_executor(config, store.run_id, run_dir, tasks)
        places = asyncio.Semaphore(executor.slots)
        progress.start(len(specs), 0)

        with store.writer("fork") as writer:

            async def carry_out(job: BranchJob) -> BranchRecord:
                async with places:
                    record = await executor.run(job)
                    writer.append(record)
                    progress.branch(record)
                    return record

            try:
                await executor.prepare(parent.task.task_id)
                ref = ForkRef(state, parent)
                jobs = [BranchJob(parent.task.task_id, spec, fork=ref) for spec in specs]
                records = list(await asyncio.gather(*map(carry_out, jobs)))
                ranking = await ranked(config, executor.judge, [*rollout, *records])
                ranking = await confirmed(config, executor, [*rollout, *records], ranking, before)
                ranking = ranking.model_copy(update={"stopping": before.stopping})
            finally:
                progress.stop()
                await executor.close()
        store.append_ranking(ranking)
        progress.rollout(ranking)
    return records


def find_branch(store: RunStore, name: str) -> BranchRecord:
    """A branch by `ROLLOUT/BRANCH`, or by its own name when that is unique in the run."""
    rollout, _, branch = name.rpartition("/")
    found = [
        record
        for record in store.branches()
        if record.lineage.branch_id == branch and rollout in ("", record.lineage.rollout_id)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"--branch {name}: no such branch in {store.path}; `rollouts show` lists them")
    several = ", ".join(f"{r.lineage.rollout_id}/{branch}" for r in found[:3])
    raise ConfigError(f"--branch {name}: {len(found)} rollouts have it; say which, for instance {several}")
