"""Read this first: how one task becomes N branches, and each branch one record.

    prepare -> snapshot -> fork -> act -> verify -> record

`BranchRunner` takes one branch the whole way. `ForkRunner` runs a rollout, that is N of them, on this
event loop; `actors.py` spreads the same `BranchRunner` over Ray. Neither knows a ranking, a store or a gate.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from envs import Episode, Task
from envs.lineage import cut
from envs.trajectory import Ending, Trajectory
from kernel_pool import KernelError, KernelPool, Snapshot
from verifiers import Submission, Verdict, Verifier

from .branch import BUDGET_STOPS, run_branch
from .config import BudgetConfig, LimitsConfig, ObservationConfig
from .errors import PolicyError, RolloutError, RunDirError
from .moments import certainty, recovery
from .plan import BranchSpec, ForkPlan, TreeNode
from .policies.policy import Policy
from .records import BranchRecord, EnvironmentLayer, Lineage, Result, Sampling, SamplingLayer, TaskLayer
from .snapshots import SnapshotArchive, state_at
from .store.evidence import EvidenceStore

N = TypeVar("N", int, float)

#: Verifies a finished piece of work, here or in another process.
Verify = Callable[[Submission], Awaitable[Verdict]]


@dataclass(frozen=True)
class BranchSettings:
    """What all branches of a run share."""

    run_id: str = "run"
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    observation: ObservationConfig = field(default_factory=ObservationConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    snapshots: str = "changes"  #: "changes", "end" or "off": the states that are kept


@dataclass(frozen=True)
class ForkPoint:
    """Where a branch starts when it is not the task's prepared state."""

    snapshot: Snapshot
    trajectory: Trajectory  #: of the parent; only its first `fork_step` steps are shared


@dataclass(frozen=True)
class Examples:
    """Earlier winners shown to a branch, in the user turn and fenced."""

    text: str = ""
    ids: tuple[str, ...] = ()


class BranchRunner:
    """Takes one branch from its fork to its record."""

    def __init__(
        self,
        pool: KernelPool,
        policy: Policy,
        verify: Verify,
        settings: BranchSettings | None = None,
        archive: SnapshotArchive | None = None,
        evidence: EvidenceStore | None = None,
        states: dict[str, Snapshot] | None = None,
    ) -> None:
        """`states` is given every state that branches go through, by digest."""
        self.pool = pool
        self.policy = policy
        self.settings = settings or BranchSettings()
        self._verify = verify
        self._archive = archive
        self._evidence = evidence
        self._states = states

    async def run(
        self,
        task: Task,
        base: Snapshot,
        spec: BranchSpec,
        *,
        fork_point: ForkPoint | None = None,
        examples: Examples | None = None,
    ) -> BranchRecord:
        """One branch, whole. Always returns a record: what went wrong is in its ending.

        Only cancellation and an unusable run directory (`RunDirError`) leave it as exceptions.
        """
        examples = examples or Examples()
        draft = _Draft(task, base, spec, self, examples, fork_point)
        try:
            submission = await self._act(draft, fork_point)
            draft.verdict = await self._verify(submission)
            draft.verdict = await self._keep_evidence(draft.verdict)
        except PolicyError as error:
            draft.fail("policy_error", f"{error.kind}: {error}")
        except KernelError as error:
            draft.fail("infra_error", f"{type(error).__name__}: {error}")
        except RolloutError:
            raise
        except Exception:  # noqa: BLE001 - the boundary between branches: a bug here must not touch a sibling
            draft.fail("infra_error", traceback.format_exc(limit=-4))
        return draft.record()

    async def _act(self, draft: _Draft, fork_point: ForkPoint | None) -> Submission:
        """The episode: from the fork to the final snapshot. Its kernel is free again afterwards."""
        s, task = self.settings, draft.task
        async with await Episode.start(
            task,
            self.pool,
            snapshot=fork_point.snapshot if fork_point else draft.base,
            base=draft.base,
            trajectory=cut(fork_point.trajectory, draft.spec.fork_step) if fork_point else None,
            limits=s.limits.limits(),
            max_bytes=s.observation.max_bytes,
            max_lines=s.observation.max_lines,
            snapshots=s.snapshots,
            on_snapshot=self._keep,
        ) as episode:
            draft.trajectory = episode.trajectory
            if fork_point is None:
                sampling = draft.spec.sampling
                await episode.reset(examples=draft.examples.text, system_extra=sampling.prompt_text or "")
            await run_branch(episode, self.policy, draft.spec.sampling, s.budget)
            submission = await episode.submission()
            draft.final_state = submission.snapshot.digest
            draft.diff = submission.diff
            return submission

    async def _keep_evidence(self, verdict: Verdict) -> Verdict:
        """Pictures go to the run directory by digest; the record holds digests only."""
        if self._evidence is None:
            return verdict
        return await asyncio.to_thread(self._evidence.keep, verdict)

    async def _keep(self, snapshot: Snapshot) -> None:
        if self._states is not None:
            self._states[snapshot.digest] = snapshot
        if self._archive is not None:
            await self._archive.keep(self.pool.backend, snapshot)


class ForkRunner:
    """Runs rollouts on this event loop, without Ray: in a notebook, a test, a script."""

    def __init__(
        self,
        pool: KernelPool,
        policy: Policy,
        verifier: Verifier,
        settings: BranchSettings | None = None,
        archive: SnapshotArchive | None = None,
        evidence: EvidenceStore | None = None,
    ) -> None:
        async def verify(submission: Submission) -> Verdict:
            return await verifier.verify(submission, pool)

        self.pool = pool
        self._archive = archive
        self._states: dict[str, Snapshot] = {}
        self.branches = BranchRunner(pool, policy, verify, settings, archive, evidence, self._states)

    async def run(
        self,
        task: Task,
        plan: ForkPlan,
        *,
        rollout_id: str | None = None,
        done: Sequence[BranchRecord] = (),
        examples: Examples | None = None,
    ) -> AsyncIterator[BranchRecord]:
        """Prepare the task once, then yield each branch as it ends.

        `done` are records of the rollout that exist already; a fork of one of them needs its state from the
        archive, else `RunDirError`. Leaving the loop early cancels what is still running and frees its kernels (use
        `contextlib.aclosing` to be sure it has happened when your block ends).
        """
        rollout_id = rollout_id or task.id
        base = await self.pool.prepare(task.base)
        tree = {record.lineage.branch_id: record for record in done}
        running: set[asyncio.Task[BranchRecord]] = set()
        try:
            while specs := plan.next(rollout_id, [tree_node(record) for record in tree.values()]):
                for spec in specs:
                    point = await self._fork_point(base, tree[spec.parent], spec) if spec.parent else None
                    work = self.branches.run(task, base, spec, fork_point=point, examples=examples)
                    running.add(asyncio.create_task(work, name=f"{rollout_id}/{spec.branch_id}"))
                while running:
                    ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task_done in sorted(ended, key=lambda t: t.get_name()):
                        record = task_done.result()
                        tree[record.lineage.branch_id] = record
                        yield record
        finally:
            for left in running:
                left.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _fork_point(self, base: Snapshot, parent: BranchRecord, spec: BranchSpec) -> ForkPoint:
        digest = state_at(parent, spec.fork_step)
        state = base if digest == base.digest else self._states.get(digest)
        if state is None and self._archive is not None:
            state = await self._archive.restore(self.pool.backend, base, digest)
        if state is None:
            raise RunDirError(
                f"the state after step {spec.fork_step} of {spec.parent} is of an earlier process; "
                "give the runner an archive to fork it"
            )
        return ForkPoint(state, parent.trajectory)


def tree_node(record: BranchRecord) -> TreeNode:
    """What a plan may know of a record."""
    steps, begin = record.trajectory.steps, record.lineage.fork_step
    return TreeNode(
        branch_id=record.lineage.branch_id,
        parent=record.lineage.parent,
        fork_step=begin,
        steps=len(steps),
        missing=record.missing,
        forkable=tuple(n for n in range(begin + 1, len(steps)) if steps[n - 1].state is not None),
        recovery=recovery(record.trajectory, after=begin),
        certainty=certainty(record.trajectory),
    )


class _Draft:
    """A record in the making. Holds what is known so far, so that a failure loses nothing."""

    def __init__(
        self,
        task: Task,
        base: Snapshot,
        spec: BranchSpec,
        runner: BranchRunner,
        examples: Examples,
        fork_point: ForkPoint | None,
    ) -> None:
        self.task, self.base, self.spec, self.examples = task, base, spec, examples
        self.trajectory = cut(fork_point.trajectory, spec.fork_step) if fork_point else Trajectory()
        self.verdict: Verdict | None = None
        self.final_state: str | None = None
        self.diff = ""
        self._fork_state = (fork_point.snapshot if fork_point else base).digest
        self._runner = runner
        self._ending: Ending | None = None
        self._error = ""
        self._began, self._started_at = time.monotonic(), time.time()

    def fail(self, ending: Ending, error: str) -> None:
        """The machinery failed; what it did so far is kept."""
        self._ending, self._error = ending, error[-2000:]

    def record(self) -> BranchRecord:
        """The finished record."""
        spec, runner = self.spec, self._runner
        return BranchRecord(
            lineage=Lineage(
                run_id=runner.settings.run_id,
                rollout_id=spec.rollout_id,
                branch_id=spec.branch_id,
                index=spec.index,
                parent=spec.parent,
                fork_step=spec.fork_step,
                fork_by=spec.fork_by,
                fork_state=self._fork_state,
                attempt=spec.attempt,
            ),
            task=task_layer(self.task),
            environment=self._environment(),
            sampling=SamplingLayer(
                policy=runner.policy.name,
                model=runner.policy.model,
                requested=spec.sampling,
                effective=next((t.effective for t in reversed(self.trajectory.turns)), {}),
                memories=list(self.examples.ids),
            ),
            trajectory=self.trajectory,
            result=self._result(),
        )

    def _environment(self) -> EnvironmentLayer:
        backend, task = self._runner.pool.backend, self.task
        capabilities = backend.capabilities
        return EnvironmentLayer(
            backend=backend.name,
            restores=capabilities.restores,
            isolated=capabilities.isolated,
            network=capabilities.network,
            enforces=dict(capabilities.enforces),
            base=self.base.digest,
            image=task.base.image,
            workdir=task.base.workdir,
            notes=[*task.environment_notes, *capabilities.notes],
            task_path=str(task.path) if task.path else None,
        )

    def _result(self) -> Result:
        ending, error = self._ending, self._error
        if ending is None:
            ending, error = ending_of(self.trajectory.stop, self.verdict)
        own = self.trajectory.turns[_shared_turns(self.trajectory) :]
        missing = ending in ("policy_error", "infra_error", "cancelled")
        return Result(
            ending=ending,
            reward=None if missing or self.verdict is None else self.verdict.score,
            verdict=self.verdict,
            error=error,
            final_state=self.final_state,
            diff=self.diff,
            steps=len(self.trajectory.steps) - self.trajectory.prefix_steps,
            turns=len(own),
            input_tokens=_total([t.usage.input_tokens for t in own]),
            output_tokens=_total([t.usage.output_tokens for t in own]),
            cost_usd=_total([t.usage.cost_usd for t in own]),
            seconds=time.monotonic() - self._began,
            started_at=self._started_at,
        )


def ending_of(stop: str, verdict: Verdict | None) -> tuple[Ending, str]:
    """How a branch ended, from why its loop stopped and what the verifier said; and the error, if any.

    A verifier that could not tell is a failure of the machinery, never of the work: no pass and no reward.
    """
    if verdict is None or verdict.outcome == "unknown":
        return (
            "infra_error",
            f"the verifier could not tell: {verdict.reason if verdict else 'it did not run'}",
        )
    if stop in BUDGET_STOPS:
        return "truncated", ""
    return ("solved" if verdict.passed else "failed"), ""


def task_layer(task: Task) -> TaskLayer:
    """The task as the record keeps it."""
    return TaskLayer(
        task_id=task.id,
        digest=task.digest,
        instruction=task.instruction,
        language=task.language,
        difficulty=task.difficulty,
        group=task.group,
    )


def missing_record(
    settings: BranchSettings, task: Task, spec: BranchSpec, policy: str, ending: Ending, error: str
) -> BranchRecord:
    """The record of a branch whose process died: nothing is known but that it is missing."""
    return BranchRecord(
        lineage=Lineage(
            run_id=settings.run_id,
            rollout_id=spec.rollout_id,
            branch_id=spec.branch_id,
            index=spec.index,
            parent=spec.parent,
            fork_step=spec.fork_step,
            fork_by=spec.fork_by,
            attempt=spec.attempt,
        ),
        task=task_layer(task),
        environment=EnvironmentLayer(backend="", restores="", isolated=False, base=""),
        sampling=SamplingLayer(policy=policy, requested=spec.sampling or Sampling()),
        trajectory=Trajectory(),
        result=Result(ending=ending, reward=None, error=error[-2000:], started_at=time.time()),
    )


def _shared_turns(trajectory: Trajectory) -> int:
    return sum(turn.message < trajectory.prefix_messages for turn in trajectory.turns)


def _total(values: Sequence[N | None]) -> N | None:
    """Sum of what was reported; None when nothing was."""
    known = [v for v in values if v is not None]
    return sum(known[1:], known[0]) if known else None
