"""Where branches are carried out: in this process (`InlineExecutor`) or on Ray (`actors.RayExecutor`)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from envs import Task, load_tasks
from envs.episode import submission_of
from kernel_pool import Backend, Bound, KernelPool, Snapshot, UnsupportedFeature
from kernel_pool.kernel import Images
from kernel_pool.registry import backend as make_backend
from verifiers import Part, Pipeline, Submission, Verdict, Verifier, VerifierError
from verifiers import verifier as make_verifier
from verifiers.declared import APPLIES, DECLARED
from verifiers.judge import Asked

from .config import RunConfig, VerifierConfig
from .errors import ConfigError, RunDirError
from .fork import BranchRunner, BranchSettings, Examples, ForkPoint, Verify
from .judging import JudgeService, may_decide
from .plan import BranchSpec
from .policies import make_policy
from .records import BranchRecord
from .snapshots import SnapshotArchive
from .store.evidence import EvidenceStore


@dataclass(frozen=True)
class ForkRef:
    """Names a fork point by its digest, so that it can be sent to another process."""

    state: str
    parent: BranchRecord


@dataclass(frozen=True)
class BranchJob:
    """One branch to carry out."""

    task_id: str
    spec: BranchSpec
    examples: Examples = field(default_factory=Examples)
    fork: ForkRef | None = None


class Executor(Protocol):
    """Carries out branches. `run` never raises for what happens to a branch: that is in its record."""

    @property
    def slots(self) -> int:
        """How many branches it can usefully have at work."""
        ...

    @property
    def judge(self) -> Asked | None:
        """The run's judge, one for all its processes; None: the config names none."""
        ...

    async def prepare(self, task_id: str) -> str:
        """Build a task's base; returns its digest. Raises `KernelError` when the set-up fails."""
        ...

    async def run(self, job: BranchJob) -> BranchRecord:
        """Carry out one branch."""
        ...

    async def confirm(self, record: BranchRecord) -> list[Verdict]:
        """Verify a finished branch again, as `verify.confirm` says. Raises `RunDirError` when its state was not kept."""
        ...

    async def close(self) -> None:
        """Free everything. Idempotent."""
        ...


class Worker:
    """Everything one process needs to carry out branches of a run. Built where it is used, never pickled."""

    def __init__(
        self,
        config: RunConfig,
        run_id: str,
        run_dir: Path | None,
        *,
        verify: Verify | None = None,
        confirm: Verify | None = None,
        bound: Bound | None = None,
        judge: Asked | None = None,
    ) -> None:
        """`verify` and `confirm` replace the configured verifiers, which `judge` may be one of."""
        self.config = config
        backend = build_backend(config)
        found = load_tasks(config.tasks, images=backend.capabilities.images)
        self.tasks: dict[str, Task] = {task.id: task for task in found.tasks}
        self.pool = KernelPool(backend, max_concurrent(config), bound=bound)
        self.policy = make_policy(config.policy.name, config.policy.options)
        if verify is None:
            verify = _verify_in(self.pool, build_verifier(config, judge))
            confirm = _verify_in(self.pool, build_verifier(config, judge, heldout=True))
        self._confirm = confirm or verify
        self._archive = SnapshotArchive(run_dir / "snapshots") if run_dir else None
        self._runner = BranchRunner(
            self.pool,
            self.policy,
            verify,
            branch_settings(config, run_id),
            self._archive if config.snapshots != "off" else None,
            evidence=EvidenceStore(run_dir / "evidence") if run_dir else None,
        )

    async def prepare(self, task_id: str) -> Snapshot:
        """The task's base; built once a node, found after that."""
        return await self.pool.prepare(self.tasks[task_id].base)

    async def run(self, job: BranchJob) -> BranchRecord:
        """One branch, whole."""
        task = self.tasks[job.task_id]
        base = await self.prepare(job.task_id)
        point = await self._fork_point(base, job.fork) if job.fork else None
        return await self._runner.run(task, base, job.spec, fork_point=point, examples=job.examples)

    async def confirm(self, record: BranchRecord) -> list[Verdict]:
        """See `Executor`."""
        task, wanted = self.tasks[record.task.task_id], self.config.verify.confirm
        state = record.result.final_state
        if self._archive is None or wanted is None or state is None:
            raise RunDirError("its last state was not kept, so it cannot be verified again")
        base = await self.prepare(task.id)
        snapshot = await self._archive.restore(self.pool.backend, base, state)
        submission = submission_of(task, base, snapshot, record.trajectory, record.result.diff)
        return list(await asyncio.gather(*(self._confirm(submission) for _ in range(wanted.runs))))

    async def _fork_point(self, base: Snapshot, fork: ForkRef) -> ForkPoint:
        if self._archive is None:
            raise ConfigError("forking from a step needs a run directory with kept snapshots")
        snapshot = await self._archive.restore(self.pool.backend, base, fork.state)
        return ForkPoint(snapshot, fork.parent.trajectory)

    async def close(self) -> None:
        """Close the policy, the kernels and the back-end."""
        await self.policy.close()
        await self.pool.close()
        await self.pool.backend.close()


class InlineExecutor:
    """Branches on this event loop."""

    def __init__(self, config: RunConfig, run_id: str, run_dir: Path | None) -> None:
        self.judge = None if config.judge is None else JudgeService(config.judge, run_dir)
        self._worker = Worker(config, run_id, run_dir, judge=self.judge)
        self.slots = config.engine.in_flight or max_concurrent(config)

    async def prepare(self, task_id: str) -> str:
        """See `Executor`."""
        return (await self._worker.prepare(task_id)).digest

    async def run(self, job: BranchJob) -> BranchRecord:
        """See `Executor`."""
        return await self._worker.run(job)

    async def confirm(self, record: BranchRecord) -> list[Verdict]:
        """See `Executor`."""
        return await self._worker.confirm(record)

    async def close(self) -> None:
        """See `Executor`."""
        await self._worker.close()
        if self.judge is not None:
            await self.judge.close()


def _verify_in(pool: KernelPool, verifier: Verifier) -> Verify:
    async def verify(submission: Submission) -> Verdict:
        return await verifier.verify(submission, pool)

    return verify


def build_backend(config: RunConfig) -> Backend:
    """The configured back-end. Raises `ConfigError`, or `BackendUnavailable` with the mend."""
    options = dict(config.backend.options)
    if config.backend.name != "subprocess":  # which can give nothing but the host's
        options["network"] = config.backend.network
    if config.backend.allow_unsandboxed and config.backend.name == "subprocess":
        options["allow_unsandboxed"] = True
    try:
        return make_backend(config.backend.name, **options)
    except UnsupportedFeature as error:
        raise ConfigError(f"backend: {error}") from error


async def images(config: RunConfig) -> Images:
    """What the configured back-end makes of images."""
    backend = build_backend(config)
    await backend.close()
    return backend.capabilities.images


def build_verifier(config: RunConfig, judge: Asked | None = None, *, heldout: bool = False) -> Verifier:
    """The configured verifiers as one; `judge` is who a part named "judge" asks. Raises `ConfigError`.

    `heldout`: those that confirm a winner, where the config names any.
    """
    confirm = config.verify.confirm
    own = confirm.parts if heldout and confirm is not None else []
    try:
        return Pipeline([_part(part, config, judge) for part in own or config.verify.parts or _DECLARED])
    except ConfigError as error:
        raise ConfigError(f"verify.{'confirm.' if own else ''}parts: {error}") from None
    except VerifierError as error:
        raise ConfigError(f"verify.{'confirm.' if own else ''}parts: {error}") from error


#: Without parts in the config: what the tasks declare.
_DECLARED = tuple(VerifierConfig(name=name, stage=stage) for name, stage in DECLARED)


def _part(part: VerifierConfig, config: RunConfig, judge: Asked | None) -> Part:
    options = dict(part.options)
    if part.name == "judge":
        _check_judging(part, config)
        options["judge"] = judge
    return Part(
        make_verifier(part.name, **options),
        weight=part.weight,
        gate=part.gate,
        timeout_s=part.timeout_s,
        repeats=part.repeats or (1 if part.name == "judge" else config.verify.repeats),
        stage=part.stage,
        when=_when(part),
    )


def _check_judging(part: VerifierConfig, config: RunConfig) -> None:
    """A judge that may decide nothing must neither gate nor weigh."""
    if config.judge is None:
        raise ConfigError("judge needs the section `judge`, which names its policy")
    decides, why = may_decide(config.judge)
    if not decides and (part.gate or part.weight > 0):
        raise ConfigError(
            f"judge would decide rewards, and it may not: {why}; calibrate it, or give it "
            "gate: false and weight: 0"
        )
    if "judge" in part.options:
        raise ConfigError(
            "verify.parts: judge is asked as the section `judge` says; it takes no option `judge`"
        )
    if (part.repeats or 1) > 1:
        raise ConfigError("judge asks judge.samples times for one score; set that, not repeats")


def _when(part: VerifierConfig) -> Callable[[Submission], bool] | None:
    """Where a part applies. One that the config gives constraints asks them of every task."""
    if part.name == "constraints" and part.options.get("constraints") is not None:
        return None
    return APPLIES.get(part.name)


def branch_settings(config: RunConfig, run_id: str) -> BranchSettings:
    """The part of the config that branches see."""
    return BranchSettings(
        run_id=run_id,
        budget=config.budget,
        observation=config.observation,
        limits=config.backend.limits,
        snapshots=config.snapshots,
    )


def max_concurrent(config: RunConfig) -> int:
    """Kernels at once on this node."""
    return config.backend.max_concurrent or 2 * (os.cpu_count() or 1)
