"""One episode as a gymnasium env sees it: an `Episode` with budgets, an end and a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kernel_pool import Limits, SnapshotMissing
from kernel_pool.text import TextLimits
from verifiers import Verdict, Verifier, guarded

from .actions import instructions, read_action
from .blocking import WAIT_S, Workshop
from .env_state import EnvState
from .episode import Episode
from .errors import EpisodeFailed, EpisodeOver, StateUnusable, ToolError
from .lineage import trim_open_calls
from .observation import shorten
from .task import Task
from .trajectory import Message, Observation, Trajectory

OPENING_BYTES = 64 * 1024  #: longer instructions are shortened for the first observation
TIME_OVER = "The time for this task is over. The work is checked as it is now."


@dataclass(frozen=True)
class Terms:
    """What all attempts of an env have in common."""

    verifier: Verifier
    limits: Limits = field(default_factory=Limits)
    text: TextLimits = field(default_factory=TextLimits)
    max_steps: int = 64
    max_seconds: float | None = None  #: None: the task's own, if it has one
    max_action_chars: int = 64 * 1024
    keep_states: bool = False  #: freeze the state after each step that may have changed it


class Attempt:
    """Owns its episode. Its coroutines belong on the background loop; use it from one task at a time."""

    def __init__(self, workshop: Workshop, episode: Episode, terms: Terms, state: str) -> None:
        self.workshop = workshop
        self.episode = episode
        self.terms = terms
        self.steps = 0
        self.stop = ""  #: why it ended: submitted, steps, seconds; "" while it goes on
        self.verdict: Verdict | None = None
        self.last = Observation(text="")
        self.state = state  #: digest of the state now, "" where it was not taken
        self._spent_s = 0.0
        self._since = time.monotonic()

    @classmethod
    async def start(cls, workshop: Workshop, task: Task, terms: Terms) -> Attempt:
        """A new attempt at a task. Raises `KernelError`."""
        episode = await workshop.start(task, limits=terms.limits, **_settings(terms))
        opening = await episode.reset(system_extra=instructions(episode.tools.specs))
        attempt = cls(workshop, episode, terms, episode.base.digest)
        attempt.last = _opening_text(opening)
        return attempt

    @classmethod
    async def resume(
        cls, workshops: Sequence[Workshop], task: Task, terms: Terms, state: EnvState
    ) -> list[Attempt]:
        """As many attempts that go on from a saved state as there are workshops (of one back-end), all or none.

        Raises `StateUnusable` when the state's snapshot is gone, and other `KernelError`s.
        """
        first = workshops[0]
        base = await first.prepare(task)
        if base.base != state.snapshot.base:
            raise StateUnusable(
                f"the state of task {task.id} stands on another base; the sandbox has changed"
            )
        try:
            leases = await first.pool.fork(
                state.snapshot, len(workshops), timeout_s=WAIT_S, limits=terms.limits
            )
        except SnapshotMissing as error:
            raise StateUnusable(f"the snapshot of the state is not there any more: {error}") from error
        attempts = []
        for workshop, lease in zip(workshops, leases, strict=True):
            trajectory = Trajectory.model_validate_json(state.trajectory)
            trajectory.prefix_steps = len(trajectory.steps)
            trajectory.prefix_messages = len(trajectory.messages)
            settings: dict[str, Any] = {
                "snapshot": state.snapshot,
                "base": base,
                "trajectory": trajectory,
                "lease": lease,
            }
            episode = await Episode.start(
                task, workshop.pool, limits=terms.limits, **settings, **_settings(terms)
            )
            attempt = cls(workshop, episode, terms, state.digest)
            attempt.steps, attempt.last, attempt._spent_s = state.steps, state.last, state.seconds
            attempts.append(attempt)
        return attempts

    @property
    def over(self) -> bool:
        """Whether no more steps are possible."""
        return bool(self.stop) or self.episode.done

    async def step(self, action: str) -> Observation:
        """Carry out one action; at the end the work is verified and `verdict` is there.

        Raises `KernelError` or `OSError` when the sandbox fails and `EpisodeFailed` when the verifier cannot tell.
        """
        trim_open_calls(self.episode.trajectory)  # of a step that was interrupted
        left = self._left()
        clock = asyncio.timeout(left)
        try:
            async with clock:
                self.last = await self._act(action) if left is None or left > 0 else self._time_over()
        except TimeoutError:
            if not clock.expired():
                raise
            self.last = self._time_over()
        self.steps += 1
        if self.episode.done:
            self.stop = "submitted"
        elif not self.stop and self.steps >= self.terms.max_steps:
            self.stop = "steps"
        if self.stop:
            await self._finish()
        return self.last

    async def save(self) -> EnvState:
        """The point it is at. Raises `EpisodeOver` after the end."""
        if self.over:
            raise EpisodeOver("the episode has ended; take its state before the end")
        trim_open_calls(self.episode.trajectory)
        snapshot = await self.episode.final_snapshot()
        self.state = snapshot.digest
        return EnvState(
            task_id=self.episode.task.id,
            task_digest=self.episode.task.digest,
            backend=self.workshop.backend,
            snapshot=snapshot,
            trajectory=self.episode.trajectory.model_dump_json(),
            steps=self.steps,
            seconds=self._seconds(),
            last=self.last,
        )

    async def close(self) -> None:
        """Give the sandbox back. Idempotent."""
        await self.episode.close()

    async def _act(self, action: str) -> Observation:
        trajectory = self.episode.trajectory
        try:
            call = read_action(action, f"call_{len(trajectory.turns)}", self.terms.max_action_chars)
        except ToolError as error:
            return self._malformed(action, str(error))
        seen = await self.episode.step(call)
        self.state = trajectory.steps[-1].state or ""
        return seen

    def _malformed(self, action: str, told: str) -> Observation:
        """No call was made: what was said stands in the trajectory, and the reason as its answer."""
        said = action
        if len(action) > self.terms.max_action_chars:
            said = f"[{len(action)} characters, left out]"
        self.episode.record_reply(Message(role="assistant", content=said))
        trajectory = self.episode.trajectory
        trajectory.messages.append(Message(role="user", content=told))
        trajectory.events.append({"turn": len(trajectory.turns) - 1, "kind": "malformed_call", "tool": ""})
        return Observation(text=told, is_error=True)

    def _time_over(self) -> Observation:
        self.stop = "seconds"
        return Observation(text=TIME_OVER)

    def _seconds(self) -> float:
        return self._spent_s + time.monotonic() - self._since

    def _left(self) -> float | None:
        most = self.terms.max_seconds
        most = self.episode.task.agent_timeout_s if most is None else most
        return None if most is None else most - self._seconds()

    async def _finish(self) -> None:
        self.episode.trajectory.stop = self.stop
        trim_open_calls(self.episode.trajectory)
        submission = await self.episode.submission()
        self.state = submission.snapshot.digest
        await self.close()  # nothing more happens in it, and the verifier needs room
        verdict = await guarded(self.terms.verifier, submission, self.workshop.checks)
        self.verdict = verdict
        if verdict.outcome == "unknown" or verdict.score is None:
            raise EpisodeFailed(f"the verifier could not tell: {verdict.reason or 'it gave no score'}")


def _settings(terms: Terms) -> dict[str, Any]:
    return {
        "max_bytes": terms.text.max_bytes,
        "max_lines": terms.text.max_lines,
        "snapshots": "changes" if terms.keep_states else "off",
    }


def _opening_text(messages: Sequence[Message]) -> Observation:
    """The opening messages as one observation."""
    text = "\n\n".join(message.content.strip() for message in messages)
    return Observation(text=shorten(text, TextLimits(OPENING_BYTES, 2000)).text)
