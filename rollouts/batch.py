"""A batch: every task's rollout, in bounded work, written once, resumable.

load tasks -> open the run -> branches in flight -> record -> ranking -> memory -> exports, report
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from envs import Task, lint
from kernel_pool import BackendUnavailable, KernelError

from .config import RunConfig
from .confirmation import confirmed
from .errors import ConfigError, RolloutError
from .executor import BranchJob, Executor, ForkRef, InlineExecutor, branch_settings, build_backend
from .fork import Examples, missing_record, tree_node
from .governance import Admitted, Gate
from .judging import ranked
from .memory import MemoryStore, format_examples, open_memory
from .plan import BranchSpec, TreeNode
from .preflight import check, plan_of, select_tasks
from .progress import Progress, Silent
from .records import BranchRecord, RankingRecord
from .snapshots import SnapshotArchive, state_at
from .stopping import Stopping, rule_of
from .store import BranchWriter, RunStore

#: Endings after which a branch is tried again: the machinery failed, not the work.
RETRIED = ("infra_error", "policy_error")
#: Doubts about tasks that are told at the start of a run.
DOUBTS_TOLD = 10


@dataclass
class BatchResult:
    """What a batch did."""

    run_dir: Path
    run_id: str
    branches: int = 0  #: written by this call
    resumed: int = 0  #: there already
    skipped_tasks: dict[str, str] = field(default_factory=dict)  #: task -> why its set-up failed
    problems: list[str] = field(default_factory=list)


async def run_batch(config: RunConfig, out: Path, progress: Progress | None = None) -> BatchResult:
    """Run (or finish) a batch in the run directory `out`.

    Everything that can be wrong with the call is found before anything is written. Raises `ConfigError`,
    `EnvironmentLacks`, `BackendUnavailable` or `RunDirError`; what was written before an error stays.
    """
    backend = build_backend(config)
    try:
        tasks = select_tasks(config, backend.capabilities.images)
        await check(config, tasks.tasks, backend)
    finally:
        await backend.close()
    progress = progress or Silent()
    with RunStore.create(out, config.yaml()) as store:
        progress.note(f"run directory: {out}")
        result = BatchResult(out, store.run_id, problems=[str(problem) for problem in tasks.problems])
        for problem in result.problems:
            store.event("task_problem", message=problem)
            progress.note(problem)
        _tell_doubts(tasks.tasks, store, progress)
        executor = make_executor(config, store.run_id, out, {task.id: task for task in tasks.tasks})
        batch = _Batch(config, store, executor, progress, result)
        try:
            await batch.run(tasks.tasks)
        finally:
            progress.stop()
            await executor.close()
            await reap(config)
        for problem in finish(store, config):
            result.problems.append(problem)
            progress.note(problem)
    return result


def _tell_doubts(tasks: Sequence[Task], store: RunStore, progress: Progress) -> None:
    """What is doubtful about tasks that can be read: all of it as events, the first of it to whoever watches."""
    doubts = [f"{task.id}: {doubt}" for task in tasks for doubt in lint(task)]
    for doubt in doubts:
        store.event("task_doubt", message=doubt)
    for doubt in doubts[:DOUBTS_TOLD]:
        progress.note(f"doubtful: {doubt}")
    if len(doubts) > DOUBTS_TOLD:
        progress.note(f"... and {len(doubts) - DOUBTS_TOLD} more doubts, in events.jsonl")


def finish(store: RunStore, config: RunConfig) -> list[str]:
    """What follows the last branch: the report and the exports, as the config asks.

    Returns why exports gave nothing: a run may lack what a trainer needs, which spoils nothing else of it.
    """
    from .exports import export
    from .views import write_report

    if config.report:
        write_report(store)
    problems = []
    for name in config.exports:
        try:
            export(store, name, store.path / "exports" / name)
        except ConfigError as error:
            problems.append(str(error))
            store.event("export_failed", export=name, reason=str(error)[-2000:])
    return problems


async def reap(config: RunConfig) -> int:
    """Remove what killed processes of this back-end left on this node; how many kernels it was."""
    backend = build_backend(config)
    try:
        return await backend.reap()
    finally:
        await backend.close()


def make_executor(config: RunConfig, run_id: str, out: Path, tasks: dict[str, Task]) -> Executor:
    """The configured engine."""
    if config.engine.kind == "inline":
        return InlineExecutor(config, run_id, out)
    from .actors import RayExecutor

    return RayExecutor(config, run_id, out.resolve(), tasks)


class _Batch:
    """The state of one call of `run_batch`."""

    def __init__(
        self,
        config: RunConfig,
        store: RunStore,
        executor: Executor,
        progress: Progress,
        result: BatchResult,
    ) -> None:
        self._config, self._store, self._executor = config, store, executor
        self._progress, self._result = progress, result
        self._plan = plan_of(config)
        self._gate = Gate()
        self._rule = rule_of(config)
        self._stops: dict[str, Stopping] = {}  #: by rollout
        self._trees: dict[str, list[TreeNode]] = {}  #: what is done of each rollout
        self._memory: MemoryStore | None = (
            open_memory_for(config, store.path) if config.memory.enabled else None
        )

    async def run(self, tasks: Sequence[Task]) -> None:
        """All rollouts that are not complete, task by task, with `slots` branches in flight."""
        self._read_trees({task.id for task in tasks})
        todo = {task.id: self._next(task) for task in tasks}
        left, done = sum(map(len, todo.values())), sum(map(len, self._trees.values()))
        self._result.resumed = done
        self._progress.start(left + done, done)
        self._store.event("batch_started", tasks=len(tasks), branches=left, resumed=done)
        places = asyncio.Semaphore(self._executor.slots)
        try:
            async with asyncio.TaskGroup() as group:
                with self._store.writer("driver") as writer:
                    pending = [
                        group.create_task(self._rollout(task, todo[task.id], places, writer))
                        for task in tasks
                    ]
                    await asyncio.gather(*pending)
        except BaseExceptionGroup as failures:
            raise _first_cause(failures) from None
        finally:
            if self._memory is not None:
                self._memory.close()
        self._store.event("batch_finished", branches=self._result.branches)

    def _read_trees(self, wanted: set[str]) -> None:
        self._trees = {name: [] for name in wanted}
        for record in self._store.branches():
            if record.lineage.rollout_id in self._trees:
                self._grow(record)

    def _next(self, task: Task) -> list[BranchSpec]:
        """The branches to run now: those of the plan's first round that is not complete."""
        return [] if self._enough(task.id) else list(self._plan.next(task.id, self._trees[task.id]))

    def _grow(self, record: BranchRecord) -> None:
        """A branch is done."""
        self._trees[record.lineage.rollout_id].append(tree_node(record))
        if self._rule is not None:
            self._stops.setdefault(record.lineage.rollout_id, Stopping(self._rule)).add([record])

    def _enough(self, rollout_id: str) -> bool:
        """Whether the stopping rule wants no more branches of a rollout."""
        return rollout_id in self._stops and self._stops[rollout_id].decision.stop

    async def _rollout(
        self, task: Task, specs: Sequence[BranchSpec], places: asyncio.Semaphore, writer: BranchWriter
    ) -> None:
        """One task: its branches, then its ranking, then its winners into memory."""
        if specs:
            async with places:
                prepared = await self._prepare(task)
            if not prepared:
                return
            examples = self._examples(task)
            while specs:
                jobs = self._jobs(task, specs, examples)
                self._give_up(task, {spec.branch_id: spec for spec in specs}, jobs, writer)
                async with asyncio.TaskGroup() as group:
                    for job in jobs:
                        group.create_task(self._branch(job, places, writer))
                specs = self._next(task)
                self._progress.more(len(specs))
            self._tell_unforked(task)
        elif task.id in self._store.rankings():
            return
        await self._rank(task)

    def _jobs(self, task: Task, specs: Sequence[BranchSpec], examples: Examples) -> list[BranchJob]:
        """Those that can be carried out. A fork takes its parent's record along; its state must be there."""
        forked = {spec.parent for spec in specs} - {None}
        records = self._store.rollout(task.id) if forked else ()
        parents = {r.lineage.branch_id: r for r in records if r.lineage.branch_id in forked}
        kept = SnapshotArchive(self._store.path / "snapshots")
        jobs = []
        for spec in specs:
            fork = None
            if spec.parent is not None:
                fork = ForkRef(state_at(parents[spec.parent], spec.fork_step), parents[spec.parent])
                if not kept.has(fork.state):
                    continue
            jobs.append(BranchJob(task.id, spec, examples, fork))
        return jobs

    def _give_up(
        self, task: Task, specs: dict[str, BranchSpec], jobs: Sequence[BranchJob], writer: BranchWriter
    ) -> None:
        """Forks of states that could not be kept are missing: nothing is known of them."""
        for name in specs.keys() - {job.spec.branch_id for job in jobs}:
            why = f"the state after step {specs[name].fork_step} of {specs[name].parent} could not be kept"
            settings = branch_settings(self._config, self._store.run_id)
            policy = self._config.policy.name
            record = missing_record(settings, task, specs[name], policy, "infra_error", why)
            writer.append(record)
            self._grow(record)
            self._result.branches += 1
            self._progress.branch(record)

    def _tell_unforked(self, task: Task) -> None:
        fork, tree = self._config.fork, [node for node in self._trees[task.id] if not node.missing]
        if fork is not None and fork.at == "uncertain" and tree and not any(node.certainty for node in tree):
            why = "not forked: the policy gave no log-probabilities (trajectory.turns[].log_prob)"
            self._store.event("not_forked", task_id=task.id, reason=why)
            self._progress.note(f"{task.id}: {why}")

    async def _prepare(self, task: Task) -> bool:
        try:
            base = await self._executor.prepare(task.id)
        except BackendUnavailable:
            raise  # no other task would fare better
        except KernelError as error:
            reason = f"{task.id}: set-up failed, task skipped: {error}"
            self._result.skipped_tasks[task.id] = str(error)
            self._store.event("task_skipped", task_id=task.id, error=str(error)[-2000:])
            self._progress.note(reason)
            return False
        self._store.event("task_prepared", task_id=task.id, base=base)
        return True

    async def _branch(self, job: BranchJob, places: asyncio.Semaphore, writer: BranchWriter) -> None:
        """One branch with its retries; every attempt is kept, the last one is the record."""
        async with places:
            if self._enough(job.task_id):
                return
            for attempt in range(self._config.engine.retries + 1):
                tried = replace(job, spec=replace(job.spec, attempt=attempt))
                record = await self._executor.run(tried)
                self._store.append_attempt(_attempt_line(record))
                if record.result.ending not in RETRIED:
                    break
            writer.append(record)
            self._grow(record)
            self._result.branches += 1
            self._progress.branch(record)

    async def _rank(self, task: Task) -> None:
        records = list(self._store.rollout(task.id))
        if not records:
            return
        ranking = await ranked(self._config, self._executor.judge, records)
        ranking = await confirmed(self._config, self._executor, records, ranking)
        if task.id in self._stops:
            ranking = ranking.model_copy(update={"stopping": self._stops[task.id].record})
        self._store.append_ranking(ranking)
        if self._memory is not None:
            remember(self._memory, self._gate, records, ranking, self._config.memory.namespace)
        self._progress.rollout(ranking)

    def _examples(self, task: Task) -> Examples:
        """Winners of *earlier* batches: the ones of this run would make it depend on its own order."""
        m = self._config.memory
        if self._memory is None or m.retrieve == 0:
            return Examples()
        found = self._memory.retrieve(
            task.instruction,
            k=m.retrieve,
            namespace=m.namespace,
            exclude_task=None if m.own_task else [task.id, task.digest],
            exclude_run=self._store.run_id,
            floor=m.floor,
        )
        return Examples(format_examples(found), tuple(memory.id for memory in found)) if found else Examples()


def remember(
    memory: MemoryStore,
    gate: Gate,
    records: Sequence[BranchRecord],
    ranking: RankingRecord,
    namespace: str,
) -> int:
    """Put the winner into memory (the best solved branch when several are equally good); how many were new.

    Nothing when the chosen branch failed as it was verified again: what failed is no example, nor is the next best.
    """
    if ranking.confirmation is not None and ranking.confirmation.failed:
        return 0
    solved = {r.lineage.branch_id: r for r in records if r.result.ending == "solved"}
    best = next((line["branch_id"] for line in ranking.order if line["branch_id"] in solved), None)
    if best is None:
        return 0
    admitted = gate.admit(solved[best])
    return int(isinstance(admitted, Admitted) and memory.add(admitted, namespace=namespace))


def open_memory_for(config: RunConfig, run_dir: Path) -> MemoryStore:
    """The configured memory; by default it lies beside the run directory, so that batches share it."""
    path = Path(config.memory.path) if config.memory.path else run_dir.resolve().parent / "memory.sqlite"
    return open_memory(config.memory.store, path)


def _attempt_line(record: BranchRecord) -> dict[str, object]:
    r = record.result
    return {
        "rollout_id": record.lineage.rollout_id,
        "branch_id": record.lineage.branch_id,
        "attempt": record.lineage.attempt,
        "ending": r.ending,
        "reward": r.reward,
        "error": r.error,
        "seconds": round(r.seconds, 3),
        "cost_usd": r.cost_usd,
    }


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the batch: a named one of ours before anything else."""
    leaves: list[BaseException] = []
    stack: list[BaseException] = [group]
    while stack:
        error = stack.pop()
        if isinstance(error, BaseExceptionGroup):
            stack.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((e for e in leaves if isinstance(e, RolloutError | KernelError)), leaves[0])


__all__ = ["BatchResult", "missing_record", "remember", "run_batch"]
