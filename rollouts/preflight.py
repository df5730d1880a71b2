"""What can be wrong with a run, found before anything of it is written."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from envs import Task, TaskSet, load_tasks
from kernel_pool import Backend
from kernel_pool.kernel import Images
from kernel_pool.requirements import unmet
from verifiers import browser
from verifiers.constraints import ConstraintError, read_constraints
from verifiers.constraints.verifier import joined

from .config import RunConfig
from .errors import ConfigError, EnvironmentLacks
from .executor import build_verifier
from .judging import JudgeService, check_judge
from .plan import ChosenStep, Forked, ForkPlan, Independent, LeastCertain, Recovery, SamplingPlan, Where
from .policies import make_policy
from .policies.policy import Policy


def select_tasks(config: RunConfig, images: Images) -> TaskSet:
    """The tasks the config names. Raises `ConfigError` when there are none, or an id is unknown."""
    found = load_tasks(config.tasks, images=images)
    if config.task_ids:
        known = {task.id: task for task in found.tasks}
        for wanted in config.task_ids:
            if wanted not in known:
                near = difflib.get_close_matches(wanted, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ConfigError(f"task_ids: no task {wanted!r} in {config.tasks}{hint}")
        found = TaskSet(tuple(known[name] for name in config.task_ids), found.problems)
    if not found.tasks:
        why = f": {found.problems[0]}" if found.problems else ""
        raise ConfigError(f"tasks: no usable task in {config.tasks}{why}")
    return found


async def check(config: RunConfig, tasks: Sequence[Task], backend: Backend) -> None:
    """Whether this call can work at all: the back-end is there and gives what is asked for, the policy can be
    made and takes the plan."""
    from .exports import check_exports

    check_exports(config.exports)
    plan = plan_of(config)
    policy = make_policy(config.policy.name, config.policy.options)
    try:
        _check_certainty(config, policy)
        policy.check([spec.sampling for spec in plan.next(tasks[0].id, ())])
    finally:
        await policy.close()
    check_judge(config)
    judge = None if config.judge is None else JudgeService(config.judge, None)
    build_verifier(config, judge)
    build_verifier(config, judge, heldout=True)
    _check_constraints(config, tasks)
    if judge is not None:
        await judge.close()
    _check_gives(config, backend)
    await backend.check()
    await _check_browser(tasks, backend)
    if config.engine.kind == "ray":
        from .actors import check_cluster

        check_cluster(config)


def _check_certainty(config: RunConfig, policy: Policy) -> None:
    """Forks where the policy was least certain need to be told how certain it was."""
    if config.fork is None or config.fork.at != "uncertain" or getattr(policy, "log_probs", True):
        return
    mend = "set policy.options.logprobs: true" if policy.name == "openai" else "choose another `fork.at`"
    raise ConfigError(
        f"fork.at: uncertain needs log-probabilities, and the policy {policy.name} gives none; {mend}"
    )


def _check_gives(config: RunConfig, backend: Backend) -> None:
    missing = unmet(backend.capabilities, config.backend.requirements())
    if missing:
        mend = "take it out of the config, or use another back-end"
        if not backend.capabilities.isolated and not config.backend.allow_unsandboxed:
            mend = "set backend.allow_unsandboxed: true to use it as it is"
        raise ConfigError(f"backend {backend.name}: {'; '.join(missing)}; {mend}")


def _check_constraints(config: RunConfig, tasks: Sequence[Task]) -> None:
    """Constraints of the config are asked beside each task's own: one set, without a contradiction."""
    confirm = config.verify.confirm
    for part in [*config.verify.parts, *(confirm.parts if confirm else [])]:
        given = part.options.get("constraints") or () if part.name == "constraints" else ()
        for task in tasks if given else ():
            try:
                joined(read_constraints(given), task.metadata.get("rollout_fork", {}).get("constraints"))
            except ConstraintError as error:
                raise ConfigError(f"verify.parts: constraints and task {task.id}: {error}") from None


async def _check_browser(tasks: Sequence[Task], backend: Backend) -> None:
    """Where kernels have this machine's tools, a task with visual checks needs its browser.

    Images bring their own, which only a verdict can tell.
    """
    visual = [task.id for task in tasks if "visual" in task.metadata.get("rollout_fork", {})]
    if not visual or backend.capabilities.images != "none":
        return
    needed = f"{visual[0]} and {len(visual) - 1} more tasks" if len(visual) > 1 else visual[0]
    if backend.capabilities.network != "none":
        raise ConfigError(
            f"{needed}: pages are only looked at where there is no network; set backend.network: none"
        )
    if problem := (await browser.probe(backend))[1]:
        raise EnvironmentLacks(f"{needed}: visual checks cannot be made here: {problem}")


def plan_of(config: RunConfig) -> ForkPlan:
    """The configured plan."""
    roots = Independent(config.branches, SamplingPlan(config.sampling, config.seed))
    wanted = config.fork
    if wanted is None:
        return roots
    where: Where = Recovery()
    if wanted.step is not None:
        where = ChosenStep(wanted.step)
    elif wanted.at == "uncertain":
        where = LeastCertain(wanted.points or 1)
    return Forked(
        roots, where, wanted.branches, wanted.parents, wanted.rounds, wanted.max_branches, wanted.max_steps
    )
