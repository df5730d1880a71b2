"""A trainer's attempts at tasks in real sandboxes, and what each was worth.

    bench = Bench("suite:starter")
    attempt = bench.run(bench.begin(bench.task("two-sum")))
    said = bench.run(attempt.call("run_tests", {}))
    reward = bench.run(attempt.reward())           # None: the machinery failed, which is no 0

What the sandbox or the verifier gets wrong is never the policy's fault: starting and verifying are tried again in
fresh sandboxes, and an attempt that is lost all the same has no reward.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

from envs import Episode, Task, TaskInvalid, TaskSet, ToolCall, ToolSpec, default_tools, load_tasks
from envs.blocking import MAX_KERNELS, WAIT_S, Workshop
from envs.episode import ToolMaker
from envs.prompts import opening
from envs.trajectory import Message, Turn
from kernel_pool import BackendUnavailable, KernelError, LeaseTimeout, Limits, UnsupportedFeature
from verifiers import Submission, Verifier
from verifiers.declared import declared

from ..errors import ConfigError, EnvironmentLacks

T = TypeVar("T")

#: How often a sandbox is started, or a piece of work verified, before the attempt is lost.
TRIES = 2
#: What mends itself by no second try.
_FINAL = (BackendUnavailable, UnsupportedFeature)


class Bench:
    """The tasks of a training, the sandboxes they are played in, and who verifies."""

    def __init__(
        self,
        tasks: Path | str | Iterable[Task],
        *,
        verifier: Verifier | None = None,
        tools: ToolMaker = default_tools,
        backend: str = "local",
        backend_options: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        max_kernels: int = MAX_KERNELS,
        wait_s: float = WAIT_S,
        give_up_after: int = 8,
    ) -> None:
        """`tasks` is what `envs.load_tasks` takes, or tasks that were read. `verifier`: None for what the tasks
        declare. `limits` bound each command. `max_kernels` is how many completions can be under way at once,
        `wait_s` how long (seconds) one waits for a sandbox. After `give_up_after` attempts in a row without a
        reward `EnvironmentLacks` is raised: nothing would be learnt any more.

        Raises `TaskError` for tasks that cannot be read, `ConfigError` for tasks that offer different tools, and
        `KernelError` for a back-end that is not there.
        """
        self.workshop = Workshop.open(backend, backend_options, max_kernels=max_kernels)
        with ExitStack() as undo:
            undo.callback(self.workshop.close)
            self.tasks = _read(tasks, self.workshop)
            self.specs = _same_specs(self.tasks.values(), tools)
            undo.pop_all()
        self.tools = tools
        self.limits = limits
        self.max_kernels = max_kernels
        self.wait_s = wait_s
        self.verifier = verifier or declared()
        self._give_up_after = give_up_after
        self._lost = 0

    def task(self, task_id: Any, digest: Any = None) -> Task:
        """A task by its id. Raises `ConfigError` when it is unknown, or not the one with this digest."""
        task = self.tasks.get(str(task_id))
        if task is None:
            raise ConfigError(
                f"task_id {str(task_id)[:100]!r}: is not among the {len(self.tasks)} tasks of this training"
            )
        if digest not in (None, "", task.digest):
            raise ConfigError(f"task {task.id}: has changed since the data set was written; export it again")
        return task

    async def begin(self, task: Task) -> Attempt:
        """An attempt at a task, in a sandbox of its own. It is lost from the start where none could be had."""
        attempt = Attempt(self, task)
        await attempt.begin()
        return attempt

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out a coroutine in the background and wait for it."""
        return self.workshop.run(work)

    def count(self, lost: str) -> None:
        """An attempt has ended, "" or why it was lost. Raises `EnvironmentLacks` when too many were."""
        self._lost = self._lost + 1 if lost else 0
        if self._lost >= self._give_up_after:
            raise EnvironmentLacks(
                f"{self._lost} attempts in a row have no reward, the last because of: {lost}; see `rollouts doctor`"
            )

    def close(self) -> None:
        """End every sandbox. Idempotent; happens at exit in any case."""
        self.workshop.close()


class Attempt:
    """One attempt. Give it its reward in the end: that frees the sandbox."""

    def __init__(self, bench: Bench, task: Task) -> None:
        self.task = task
        self.lost = ""  #: why the machinery gave up; "" while it has not
        self._bench = bench
        self._episode: Episode | None = None
        self._reward: float | None = None
        self._counted = False

    @property
    def over(self) -> bool:
        """Whether nothing more can be done: handed in, lost, or rewarded."""
        return self._episode is None or self._episode.done

    async def begin(self) -> None:
        """See `Bench.begin`. Raises `ConfigError` where there are too few sandboxes for all that are under way, and
        `BackendUnavailable` and `UnsupportedFeature`."""
        bench = self._bench
        for _ in range(TRIES):
            try:
                self._episode = await bench.workshop.start(
                    self.task,
                    wait_s=bench.wait_s,
                    limits=bench.limits,
                    tools=bench.tools,
                    snapshots="end",
                )
            except LeaseTimeout as error:  # too few, which is the caller's to mend and no bad luck
                raise ConfigError(
                    f"max_kernels is {bench.max_kernels}: too few for the completions generated at once ({error})"
                ) from error
            except _FINAL:
                raise
            except KernelError as error:
                self.lost = _told(error)
            else:
                await self._episode.reset()
                self.lost = ""
                return

    def record_reply(self, message: Message, turn: Turn | None = None) -> None:
        """What the policy said, before its calls are made; a verifier that reads the conversation sees it."""
        if self._episode is not None and not self._episode.done:
            self._episode.record_reply(message, turn)

    async def call(self, name: str, arguments: Mapping[str, Any] | None, call_id: str | None = None) -> str:
        """Make a call; what the policy is told of it. Never raises for what a policy wrote."""
        episode = self._episode
        if self.lost:
            return "error: the sandbox is gone; stop here"
        if episode is None or episode.done:
            return "error: the work has been handed in; nothing can be done any more"
        number = len(episode.trajectory.steps)
        given = None if arguments is None else dict(arguments)
        try:
            seen = await episode.step(ToolCall(id=call_id or f"call_{number}", name=name, arguments=given))
        except KernelError as error:
            self.lost = _told(error)
            await self.close()
            return "error: the sandbox is gone; stop here"
        return seen.text

    async def reward(self) -> float | None:
        """The verifier's score of the present state, in [0, 1]; None when the machinery failed.

        Frees the sandbox first: verification has its own. Asked again, says the same. Raises `EnvironmentLacks`
        when too many attempts in a row had none.
        """
        if self._episode is not None:
            try:
                submission = await self._episode.submission()
            except KernelError as error:
                self.lost = _told(error)
            await self.close()
            if not self.lost:
                self._reward = await self._verified(submission)
        if not self._counted:
            self._counted = True
            self._bench.count(self.lost)
        return self._reward

    async def close(self) -> None:
        """Give the sandbox back. Idempotent."""
        episode, self._episode = self._episode, None
        if episode is not None:
            with suppress(KernelError):  # it was doubtful already; the pool hands on no such kernel
                await episode.close()

    async def _verified(self, submission: Submission) -> float | None:
        bench = self._bench
        for _ in range(TRIES):
            try:
                verdict = await bench.verifier.verify(submission, bench.workshop.checks)
            except _FINAL:
                raise
            except KernelError as error:
                self.lost = _told(error)
                continue
            if verdict.outcome != "unknown" and verdict.score is not None:
                self.lost = ""
                return verdict.score
            self.lost = f"the verifier could not tell: {verdict.reason}"
        return None


def prompt_rows(tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """One row per task, {"prompt", "task_id", "task_digest"}: what online training needs where there is no run yet."""
    return [
        {"prompt": [m.openai() for m in opening(task)], "task_id": task.id, "task_digest": task.digest}
        for task in tasks
    ]


def _read(tasks: Path | str | Iterable[Task], workshop: Workshop) -> dict[str, Task]:
    if isinstance(tasks, Path | str):
        tasks = load_tasks(tasks, images=workshop.pool.backend.capabilities.images)
    if isinstance(tasks, TaskSet) and tasks.problems:
        raise TaskInvalid(tasks.problems)
    found = {task.id: task for task in tasks}
    if not found:
        raise ConfigError("there are no tasks to train on")
    return found


def _same_specs(tasks: Iterable[Task], tools: ToolMaker) -> Sequence[ToolSpec]:
    """The tools of all tasks. A trainer shows one list to the model, so they must not differ."""
    first, *others = tasks
    specs = tools(first).specs
    for task in others:
        if tools(task).specs != specs:
            raise ConfigError(f"tasks {first.id} and {task.id} offer different tools; train them apart")
    return specs


def _told(error: KernelError) -> str:
    return f"{type(error).__name__}: {error}"
