"""An episode: one attempt at a task, in a kernel of its own, recorded step by step.

    async with await Episode.start(task, pool) as episode:
        await episode.reset()
        episode.record_reply(message)                 # what the policy said
        observation = await episode.step(message.tool_calls[0])
        verdict = await episode.verify(verifier)

Who decides the actions is no business of this module. Use an episode from one task at a time.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from kernel_pool import Kernel, Limits, Snapshot
from kernel_pool.text import TextLimits
from verifiers import Submission, Verdict, Verifier

from .diff import known_originals, originals, read_changes, unified
from .errors import EpisodeOver
from .lineage import cut
from .prompts import opening
from .task import Task
from .tools import ToolBox, ToolContext, default_tools
from .trajectory import Message, Observation, Step, ToolCall, Trajectory, Turn

if TYPE_CHECKING:
    from kernel_pool.lease import Lease
    from kernel_pool.pool import KernelPool

#: Called with every state worth keeping; equal states may come more than once.
OnSnapshot = Callable[[Snapshot], Awaitable[None]]
ToolMaker = Callable[[Task], ToolBox]


@dataclass(frozen=True)
class _Settings:
    """What an episode hands on to its forks."""

    task: Task
    pool: KernelPool
    base: Snapshot
    tools: ToolMaker
    limits: Limits = field(default_factory=Limits)
    text: TextLimits = field(default_factory=TextLimits)
    snapshots: str = "changes"
    on_snapshot: OnSnapshot | None = None


class Episode:
    """Owns its lease, its trajectory and its tools; nothing is shared with another episode."""

    def __init__(
        self, settings: _Settings, lease: Lease, state: Snapshot, trajectory: Trajectory | None
    ) -> None:
        self._settings = settings
        self._lease = lease
        self._state = state  # the last state that is known
        self._dirty = False  # whether something may have changed since
        self._closed = False
        self._began = time.monotonic()
        self.task = settings.task
        self.pool = settings.pool
        self.base = settings.base
        self.tools = settings.tools(settings.task)
        self.trajectory = trajectory if trajectory is not None else Trajectory()
        self._context = ToolContext(lease.kernel, settings.task, settings.limits, settings.text)

    @classmethod
    async def start(
        cls,
        task: Task,
        pool: KernelPool,
        *,
        snapshot: Snapshot | None = None,
        base: Snapshot | None = None,
        trajectory: Trajectory | None = None,
        tools: ToolBox | ToolMaker | None = None,
        limits: Limits | None = None,
        max_bytes: int = 8000,
        max_lines: int = 160,
        snapshots: Literal["changes", "end", "off"] | str = "changes",
        on_snapshot: OnSnapshot | None = None,
        lease: Lease | None = None,
    ) -> Episode:
        """Lease a kernel and be ready for `reset`, or for `step` when a trajectory to go on from is given.

        `snapshot` is the state to start in (default: `base`), `base` the task's prepared state (default: it
        is prepared). `limits` bound each command, `max_bytes` and `max_lines` each observation.
        `snapshots`: freeze the state after each step that may have changed it, only at the end, or at the
        end without telling `on_snapshot`. A given `lease` is in the state `snapshot` and now belongs to the
        episode. Raises `KernelError`.
        """
        if snapshots not in ("changes", "end", "off"):
            raise ValueError(f'snapshots must be "changes", "end" or "off", not {snapshots!r}')
        text = TextLimits(max_bytes, max_lines)
        maker = (lambda _: tools) if isinstance(tools, ToolBox) else tools or default_tools
        try:
            base = base or await pool.prepare(task.base)
            snapshot = snapshot or base
            settings = _Settings(task, pool, base, maker, limits or Limits(), text, snapshots, on_snapshot)
            if lease is None:
                await _read_originals(pool, task, base, snapshot)
                lease = await pool.acquire(snapshot, limits=limits)
            if snapshot.digest == base.digest:
                await originals(lease.kernel, task.base.workdir, base.digest)
            return cls(settings, lease, snapshot, trajectory)
        except BaseException:
            if lease is not None:
                await lease.release()
            raise

    async def __aenter__(self) -> Episode:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def kernel(self) -> Kernel:
        """The kernel the episode works in."""
        kernel: Kernel = self._lease.kernel
        return kernel

    @property
    def closed(self) -> bool:
        """Whether its kernel was given back."""
        return self._closed

    @property
    def done(self) -> bool:
        """Whether the work was handed in, or the episode closed."""
        return self._closed or self._context.answer is not None

    async def reset(self, *, examples: str = "", system_extra: str = "") -> list[Message]:
        """Begin: the system prompt and the task. Returns the opening messages.

        `examples` is untrusted and goes, fenced, into the user's turn; `system_extra` is trusted and joins
        the system prompt. Raises `EpisodeOver` when the episode has begun already (start a new one).
        """
        if self._closed or self.trajectory.messages:
            raise EpisodeOver("this episode has begun already; start another one, or fork it")
        self.trajectory.messages.extend(opening(self.task, examples, system_extra))
        self.trajectory.tools = [spec.openai() for spec in self.tools.specs]
        self._began = time.monotonic()
        return list(self.trajectory.messages)

    def record_reply(self, message: Message, turn: Turn | None = None) -> None:
        """Append a policy's reply, whose calls can then be stepped. `turn` carries its cost and token data."""
        if self.done:
            raise EpisodeOver("the episode has ended")
        if message.role != "assistant":
            raise ValueError(f"a reply has the role assistant, not {message.role}")
        index = len(self.trajectory.turns)
        place = {"index": index, "message": len(self.trajectory.messages)}
        turn = turn or Turn(**place, seconds=0.0, finish="tool_calls" if message.tool_calls else "stop")
        self.trajectory.turns.append(turn.model_copy(update=place))
        self.trajectory.messages.append(message)

    async def step(self, call: ToolCall, *, log_prob: float | None = None) -> Observation:
        """Carry out one call of the last reply and record it with its result.

        When the last reply has no open call, this one is recorded as a reply of its own. Raises `EpisodeOver`
        after the end, `ValueError` for a call that is not among the open ones, and `KernelError` when the
        sandbox fails. A cancelled call is ended, leaves no step, and may have changed files; an event says so.
        """
        if self.done:
            raise EpisodeOver("the episode has ended; no more steps")
        message, position = self._place(call)
        began = time.monotonic()
        may_change = self.tools.may_change(call.name)
        self._dirty |= may_change
        try:
            observation = await self.tools.call(self._context, call.name, call.arguments)
        except asyncio.CancelledError:
            self.trajectory.events.append(
                {"turn": self._turn, "kind": "interrupted", "tool": call.name[:100]}
            )
            raise
        self._record(call, observation, message=message, position=position, began=began, log_prob=log_prob)
        if self._settings.snapshots == "changes":
            state = await self._freeze() if may_change else self._state
            self.trajectory.steps[-1] = self.trajectory.steps[-1].model_copy(update={"state": state.digest})
        return observation

    async def fork(self, n: int) -> list[Episode]:
        """`n` episodes that go on from this very point, each with a kernel and a trajectory of its own.

        This episode goes on as well. The pool must have room for `n` more kernels. Raises `KernelError`.
        """
        if self.done:
            raise EpisodeOver("the episode has ended; nothing can go on from it")
        state = await self._freeze()
        leases = await self.pool.fork(state, n, limits=self._settings.limits)
        prefix = cut(self.trajectory, len(self.trajectory.steps))
        return [Episode(self._settings, lease, state, prefix.model_copy(deep=True)) for lease in leases]

    async def final_snapshot(self) -> Snapshot:
        """The state the work is in now; after the episode was closed, the last one that was taken."""
        if self._closed and self._dirty:
            raise EpisodeOver("the episode was closed before its state was taken")
        return await self._freeze()

    async def submission(self) -> Submission:
        """What a verifier is given."""
        state = await self.final_snapshot()
        return submission_of(self.task, self.base, state, self.trajectory, await self.diff())

    async def verify(self, verifier: Verifier) -> Verdict:
        """Have the present state verified, in fresh forks of it."""
        return await verifier.verify(await self.submission(), self.pool)

    async def diff(self) -> str:
        """What changed in the working directory since the task's base, as a bounded unified diff.

        Binary and very large files are named only; what tools leave behind on their own (`__pycache__` and
        its like, `.git`) is left out. Untrusted text. Raises `KernelError`.
        """
        state = await self.final_snapshot()
        if state.digest == self.base.digest:
            return ""
        workdir = self.task.base.workdir
        with tempfile.TemporaryDirectory(prefix="rollout-diff-") as directory:
            archive = Path(directory) / "layer.tar"
            await self.pool.backend.export(state, archive)
            changes = await asyncio.to_thread(read_changes, archive, workdir)
        return await asyncio.to_thread(unified, changes, known_originals(workdir, self.base.digest))

    async def close(self) -> None:
        """Give the kernel back. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._lease.release()

    @property
    def _turn(self) -> int:
        return max(0, len(self.trajectory.turns) - 1)

    def _place(self, call: ToolCall) -> tuple[int, int]:
        """(index of the last reply, position of the call in it): the first such call without an answer."""
        messages = self.trajectory.messages
        last = len(messages) - 1
        while last >= 0 and messages[last].role == "tool":
            last -= 1
        calls = messages[last].tool_calls if last >= 0 else ()
        answered = len(messages) - 1 - last
        if answered >= len(calls):
            self.record_reply(Message(role="assistant", content="", tool_calls=(call,)))
            return len(messages) - 1, 0
        positions = [i for i, known in enumerate(calls) if known.id == call.id and i >= answered]
        if not positions:
            raise ValueError(f"call {call.id!r} is not an open call of the last reply")
        return last, positions[0]

    def _record(
        self,
        call: ToolCall,
        seen: Observation,
        *,
        message: int,
        position: int,
        began: float,
        log_prob: float | None,
    ) -> None:
        now = time.monotonic()
        trajectory = self.trajectory
        trajectory.answer = self._context.answer
        marks = {"is_error": True} if seen.is_error else None
        trajectory.messages.append(
            Message(role="tool", content=seen.text, tool_call_id=call.id, name=call.name, provider=marks)
        )
        trajectory.steps.append(
            Step(
                index=len(trajectory.steps),
                turn=self._turn,
                message=message,
                call=position,
                result=len(trajectory.messages) - 1,
                tool=call.name,
                observation=seen,
                started_s=began - self._began,
                seconds=now - began,
                log_prob=log_prob,
            )
        )
        if seen.is_error:
            kind = "malformed_call" if call.arguments is None else "tool_error"
            trajectory.events.append({"turn": self._turn, "kind": kind, "tool": call.name[:100]})

    async def _freeze(self) -> Snapshot:
        """The present state; free when nothing can have changed."""
        if self._dirty:
            before = self._state.digest
            self._state = await self.kernel.snapshot()
            self._dirty = False
            if (
                self._settings.on_snapshot
                and self._settings.snapshots != "off"
                and self._state.digest != before
            ):
                await self._settings.on_snapshot(self._state)
        return self._state


async def _read_originals(pool: KernelPool, task: Task, base: Snapshot, start: Snapshot) -> None:
    """For an episode that starts later than the base: read the originals for its diff beforehand.

    Beforehand, because waiting for a second kernel while holding one is how a pool deadlocks.
    """
    workdir = task.base.workdir
    if start.digest != base.digest and known_originals(workdir, base.digest) is None:
        async with pool.lease(base) as kernel:
            await originals(kernel, workdir, base.digest)


def submission_of(
    task: Task, base: Snapshot, state: Snapshot, trajectory: Trajectory, diff: str
) -> Submission:
    """What a verifier is given of a task's work that ended in `state`."""
    return Submission(
        instruction=task.instruction,
        snapshot=state,
        tests=task.tests,
        messages=tuple(message.openai() for message in trajectory.messages),
        answer=trajectory.answer or "",
        diff=diff,
        base=base,
        extras=task.metadata.get("rollout_fork", {}),
    )
