"""The gymnasium env: an agent works on programming tasks in a sandbox, with text in and text out.

env = gymnasium.make("envs:rollout_fork/CodeTask-v0", suite="suite:starter")
observation, info = env.reset(seed=1)
observation, reward, terminated, truncated, info = env.step('{"tool": "run_tests", "arguments": {}}')
"""

from __future__ import annotations

import copy
import difflib
import math
import sys
import warnings
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import gymnasium
from gymnasium.error import InvalidAction, ResetNeeded

from kernel_pool import KernelError, Limits
from kernel_pool.text import MIN_BYTES, TextLimits
from verifiers import Pipeline, Verdict, Verifier, declared

from .attempt import OPENING_BYTES, Attempt, Terms
from .blocking import MAX_KERNELS, Workshop, check_loop, run, start
from .env_info import info_of, rendered
from .env_state import EnvState
from .errors import EpisodeFailed, StateUnusable, TaskError
from .load import choose_tasks
from .spaces import Unicode
from .task import Task, TaskSet
from .tools import ToolSpec
from .trajectory import Trajectory

T = TypeVar("T")

#: (observation, reward, terminated, truncated, info)
Stepped = tuple[str, float, bool, bool, dict[str, Any]]

FAILED = "The sandbox or the verifier failed. This episode has no reward; reset to go on."


class CodeTaskEnv(gymnasium.Env[str, str]):
    """Programming tasks in sandboxes.

    Observations and actions are text. The first observation is the instruction with the tools, every later one the
    result of a tool. An action is one tool call in JSON, `{"tool": "bash", "arguments": {"command": "ls"}}`; what
    is no tool call costs a step and is answered with what was wrong.

    The reward is 0 until the episode ends, then the verifier's score in [0, 1]. `terminated`: the work was handed in
    with `submit`, solved or not. `truncated`: the steps or seconds ran out; the work is verified all the same. Where
    the sandbox or the verifier fails there is no reward: `EpisodeFailed` is raised, or, with `on_failure="flag"`,
    the step is `truncated` with the reward NaN and `info["missing"]`: leave such episodes out.

    `info` has the same keys and types from `reset` and `step`:
    `task_id`; `steps` taken; `ending` ("" while it goes on, then solved, failed, truncated or infra_error); `stop`
    (why it ended: submitted, steps, seconds, failure); `missing`; `solved` (the verifier passed it);
    `reward_components` (score of each part of the verifier; 0.0 as long as the reward is, NaN at the end for a part
    that does not apply or could not tell); `tool_error` (the last call was wrong); `exit_code` (of the last command,
    -1 without one); `state` (digest of the sandbox's state, "" where it was not taken); `reason` (the verifier's
    sentence, or what failed).

    Pickled or deep-copied, it is a new env with the same arguments that waits for its `reset`: a sandbox has one
    holder. `fork` gives copies that go on.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - gymnasium's interface

    def __init__(
        self,
        task: Task | Path | str | None = None,
        *,
        suite: TaskSet | Path | str | None = None,
        task_ids: Sequence[str] | None = None,
        verifier: Verifier | None = None,
        limits: Limits | None = None,
        max_steps: int = 64,
        max_seconds: float | None = None,
        max_action_chars: int = 64 * 1024,
        max_observation_bytes: int = 8000,
        keep_states: bool = False,
        backend: str = "local",
        backend_options: Mapping[str, Any] | None = None,
        max_kernels: int = MAX_KERNELS,
        render_mode: Literal["ansi"] | None = None,
        on_failure: Literal["raise", "flag"] = "raise",
    ) -> None:
        """Give `task` (a `Task`, a task directory, or a bundled task's id) or `suite` (what `load_tasks` takes, with
        `task_ids` to keep only some); of several, `reset` draws one.

        `verifier` gives the reward (default: what the tasks declare). `limits` bound each command, `max_steps` and
        `max_seconds` (default: the task's own, if any) the episode, `max_action_chars` what is read of an action,
        `max_observation_bytes` (UTF-8) what is shown of a result. `keep_states` freezes the sandbox after each step
        that may have changed it, for `info["state"]` and the trajectory; `snapshot` works without. `max_kernels`
        bounds the sandboxes held by all envs of this process with the same back-end and options.
        Raises `TaskError`, `ValueError`, `UnsupportedFeature`, `BackendUnavailable`.
        """
        arguments = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        if on_failure not in ("raise", "flag"):
            raise ValueError(f'on_failure is {on_failure!r}; it must be "raise" or "flag"')
        if render_mode not in (None, "ansi"):
            raise ValueError(f'render_mode is {render_mode!r}; it must be None or "ansi"')
        counts = {"max_steps": 1, "max_action_chars": 1, "max_observation_bytes": MIN_BYTES, "max_kernels": 1}
        for name, least in counts.items():
            if isinstance(value := arguments[name], bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
        if not _is_time(max_seconds):
            raise ValueError(
                f"max_seconds is {max_seconds!r}; it must be None or a number of seconds above 0"
            )
        if not isinstance(limits, Limits | None):
            raise ValueError(f"limits is {limits!r:.100}; it must be None or kernel_pool.Limits")
        self._arguments = arguments
        self._attempt: Attempt | None = None
        self._failed = ""  # what the machinery failed of, in this episode
        self._task_id = ""  # of the last reset or restore, also when it failed
        self._owed = False  # reset failed and could only flag it: the next step ends the episode
        self._workshop: Workshop | None = None
        text = TextLimits(max_bytes=max_observation_bytes)
        self._terms = Terms(
            verifier or declared(),
            limits or Limits(),
            text,
            max_steps,
            max_seconds,
            max_action_chars,
            keep_states,
        )
        made = self._open()
        self.tasks = choose_tasks(task, suite, task_ids, images=made.pool.backend.capabilities.images)
        own = self._terms.verifier
        self.parts = own.part_names if isinstance(own, Pipeline) else (own.name,)
        self._on_failure = on_failure
        self.render_mode = render_mode
        self.observation_space = Unicode(max(OPENING_BYTES, max_observation_bytes))
        self.action_space = Unicode(max_action_chars)

    # ---- gymnasium's interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begin an episode of `options["task_id"]`, or of a task drawn with the env's generator.

        Raises `TaskError` for an unknown task or option, and `EpisodeFailed` when there is no sandbox (with
        `on_failure="flag"`, `info["missing"]` says so and the next step ends the episode).
        """
        return self._run(self.areset(seed=seed, options=options))

    def step(self, action: str) -> Stepped:
        """Carry out one action. Raises `InvalidAction` for what is no text, `ResetNeeded` where there is no episode."""
        return self._run(self.astep(action))

    def render(self) -> str | None:
        """The last call, its result, and how the episode stands."""
        if self.render_mode is None or self._attempt is None:
            return None if self.render_mode is None else "no episode"
        return rendered(self._attempt, self._info())

    def close(self) -> None:
        """Free the sandbox, and everything when this was the last env of the process. Idempotent."""
        attempt, self._attempt = self._attempt, None
        workshop, self._workshop = self._workshop, None
        if workshop is not None and workshop.usable:
            try:
                if attempt is not None:
                    run(attempt.close())
            finally:
                workshop.close()

    # ---- going on from a point, any number of times

    def snapshot(self) -> EnvState:
        """The point the episode is at. Raises `ResetNeeded` without an episode, `EpisodeOver` after its end."""
        return self._run(self._now().save(), failing="the state could not be taken")

    def restore(self, state: EnvState) -> tuple[str, dict[str, Any]]:
        """Go on from a state, also when the present episode has ended; returns what `reset` would.

        Raises `StateUnusable` for a state of another task or back-end or one whose snapshot is gone, and
        `EpisodeFailed`. Wrappers keep what they know: reset a wrapped env once before.
        """
        task = self._task_of(state)
        workshop = self._open()
        self._run(self._drop())
        self._task_id = task.id
        self._run(self._resume([self], [workshop], task, state), failing="the state could not be restored")
        return state.last.text, self._info()

    def fork(self, n: int) -> list[CodeTaskEnv]:
        """`n` new envs that go on from this point, without wrappers, each to be closed on its own. This one goes on.

        Raises `ResetNeeded` and `EpisodeOver` as `snapshot`, `EpisodeFailed`, and `ValueError` when this env and its
        forks are more than `max_kernels`.
        """
        if n < 1:
            raise ValueError(f"a fork needs at least one env, not {n}")
        if n >= self._arguments["max_kernels"]:
            raise ValueError(
                f"this env and {n} forks hold {n + 1} sandboxes; max_kernels is {self._arguments['max_kernels']}"
            )
        state = self.snapshot()
        read = {**self._arguments, "task": None, "suite": self.tasks, "task_ids": None}
        envs = [CodeTaskEnv(**read) for _ in range(n)]
        done = False
        try:
            resumed = self._resume(envs, [env._open() for env in envs], self._task_of(state), state)
            self._run(resumed, failing="the fork failed")
            for env in envs:
                env.spec, env._np_random = self.spec, copy.deepcopy(self._np_random)
            done = True
        finally:
            if not done:
                for env in envs:
                    env.close()
        return envs

    @property
    def over(self) -> bool:
        """Whether there is no episode to step: before the first reset, after the end, after `close`."""
        ready = self._workshop is not None and self._workshop.usable
        if ready and self._owed:
            return False
        return not ready or self._attempt is None or self._attempt.over or bool(self._failed)

    @property
    def trajectory(self) -> Trajectory:
        """Everything that happened in this episode, as records have it. Raises `ResetNeeded` before the first."""
        return self._now().episode.trajectory

    @property
    def tools(self) -> list[ToolSpec]:
        """The tools of this episode. Raises `ResetNeeded` before the first."""
        return list(self._now().episode.tools.specs)

    @property
    def verdict(self) -> Verdict | None:
        """The verifier's whole verdict once the episode has ended."""
        return None if self._attempt is None else self._attempt.verdict

    # ---- the same as coroutines, for envs that are stepped together on the background loop

    async def areset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """`reset`, to be awaited on the loop of `envs.blocking`. Raises `RuntimeError` on another one."""
        check_loop("areset", "reset")
        super().reset(seed=seed)
        task = self._chosen(options or {})
        workshop = self._open()
        await self._drop()
        self._task_id = task.id
        try:
            self._attempt = await Attempt.start(workshop, task, self._terms)
        except (KernelError, OSError) as error:
            told = f"{type(error).__name__}: {error}"
            if self._on_failure == "raise":
                raise EpisodeFailed(f"no sandbox for task {task.id}: {told}") from error
            self._failed, self._owed = told, True
            return FAILED, self._info()
        return self._attempt.last.text, self._info()

    async def astep(self, action: str) -> Stepped:
        """`step`, to be awaited on the loop of `envs.blocking`. Raises `RuntimeError` on another one."""
        check_loop("astep", "step")
        if not isinstance(action, str):
            raise InvalidAction(
                f"an action is text (str) that holds a tool call, not {type(action).__name__}"
            )
        if self._owed:
            self._owed = False
            return FAILED, math.nan, False, True, self._info()
        attempt = self._now()
        if attempt.over or self._failed:
            raise ResetNeeded("the episode has ended; call reset before the next step")
        try:
            seen = await attempt.step(action)
        except (KernelError, OSError, EpisodeFailed) as error:
            stepped = await self.afail(error)
            if self._on_failure == "raise":
                raise EpisodeFailed(f"task {attempt.episode.task.id}: {self._failed}") from error
            return stepped
        reward = 0.0
        if attempt.verdict is not None and attempt.verdict.score is not None:
            reward = attempt.verdict.score
        terminated = attempt.stop == "submitted"
        return seen.text, reward, terminated, bool(attempt.stop) and not terminated, self._info()

    async def afail(self, error: Exception) -> Stepped:
        """End the episode because the machinery failed: whatever the work is worth, it is not known."""
        self._failed = str(error) if isinstance(error, EpisodeFailed) else f"{type(error).__name__}: {error}"
        if self._attempt is not None:
            await self._attempt.close()
        return FAILED, math.nan, False, True, self._info()

    # ---- helpers

    def _run(self, work: Coroutine[Any, Any, T], failing: str = "the sandbox failed") -> T:
        try:
            return run(work)
        except (KernelError, OSError) as error:
            raise EpisodeFailed(f"{failing}: {type(error).__name__}: {error}") from error

    def _open(self) -> Workshop:
        """This process's workshop; one that was inherited by a fork is left to the parent."""
        if self._workshop is None or not self._workshop.usable:
            self._attempt = None
            a = self._arguments
            self._workshop = Workshop.open(a["backend"], a["backend_options"], max_kernels=a["max_kernels"])
        return self._workshop

    def _now(self) -> Attempt:
        if self._attempt is None or self._workshop is None or not self._workshop.usable:
            raise ResetNeeded("there is no episode here; call reset first")
        return self._attempt

    async def _drop(self) -> None:
        """Forget the present episode."""
        attempt, self._attempt = self._attempt, None
        self._failed, self._owed = "", False
        if attempt is not None:
            await attempt.close()

    async def _resume(
        self, envs: Sequence[CodeTaskEnv], workshops: Sequence[Workshop], task: Task, state: EnvState
    ) -> None:
        """Give each env an attempt that goes on from the state.

        On the loop, where no interrupt comes between: an attempt that no env has is closed by nobody.
        """
        attempts = await Attempt.resume(workshops, task, self._terms, state)
        for env, attempt in zip(envs, attempts, strict=True):
            env._attempt = attempt

    def _chosen(self, options: Mapping[str, Any]) -> Task:
        if others := [name for name in options if name != "task_id"]:
            raise TaskError(f"reset knows no option {others[0]!r:.60}; it takes task_id")
        if options.get("task_id") is not None:
            return self._task(options["task_id"])
        return self.tasks.tasks[int(self.np_random.integers(len(self.tasks)))]

    def _task(self, task_id: object) -> Task:
        try:
            return self.tasks[str(task_id)]
        except KeyError:
            near = difflib.get_close_matches(str(task_id)[:100], [task.id for task in self.tasks], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TaskError(f"this env has no task {str(task_id)[:100]!r}{hint}") from None

    def _task_of(self, state: EnvState) -> Task:
        if not isinstance(state, EnvState):
            raise StateUnusable(f"a state is what snapshot() returned, not {type(state).__name__}")
        if state.backend != self._open().backend:
            raise StateUnusable(
                f"the state is of the back-end {state.backend}, this env has {self._open().backend}"
            )
        task = next((task for task in self.tasks if task.id == state.task_id), None)
        if task is None or task.digest != state.task_digest:
            what = "no such task" if task is None else "another version of it"
            raise StateUnusable(f"the state is of the task {state.task_id!r:.100}, and this env has {what}")
        return task

    def _info(self) -> dict[str, Any]:
        return info_of(self._attempt, self.parts, self._failed, self._task_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._arguments), (), {"spec": self.spec}

    def __del__(self) -> None:
        workshop: Workshop | None = getattr(self, "_workshop", None)
        if workshop is None or sys.is_finalizing() or not workshop.usable:
            return
        attempt, self._attempt, self._workshop = self._attempt, None, None
        forgotten = attempt is not None and not attempt.episode.closed
        if attempt is not None and forgotten:
            start(attempt.close())
        workshop.close(wait=False)
        if forgotten:
            warnings.warn(f"{type(self).__name__} was never closed", ResourceWarning, stacklevel=1)


def _is_time(seconds: object) -> bool:
    if seconds is None:
        return True
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
