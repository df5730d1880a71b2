"""The agent loop of one branch: ask the policy, do what it says, until it hands in or a budget ends it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from envs import Episode
from envs.lineage import trim_open_calls
from envs.trajectory import Message, Trajectory, Turn

from .config import BudgetConfig
from .policies.policy import Policy, PolicyReply
from .records import Sampling

#: Reasons to stop that mean a budget ran out: the branch is `truncated`.
BUDGET_STOPS = frozenset({"steps", "seconds", "tokens", "cost", "context"})

#: How often in a row a reply without any tool call is answered with a reminder before the branch ends.
REMINDERS = 2
REMINDER = "No tool was called. Call a tool to go on, or `submit` when the work is done."
CUT_OFF = "Your last reply was cut off before it called a tool. Go on with a shorter one."


@dataclass
class _Spent:
    """What the branch has used of its budget."""

    tokens: int = 0
    cost_usd: float = 0.0
    idle: int = 0  # replies in a row without a tool call

    def add(self, reply: PolicyReply) -> None:
        self.tokens += (reply.usage.input_tokens or 0) + (reply.usage.output_tokens or 0)
        self.cost_usd += reply.usage.cost_usd or 0.0
        self.idle = 0 if reply.message.tool_calls else self.idle + 1


async def run_branch(
    episode: Episode, policy: Policy, sampling: Sampling, budget: BudgetConfig | None = None
) -> Trajectory:
    """Run an episode that has been reset (or forked) to its end and return its trajectory.

    `trajectory.stop` says why it ended: `submitted`, `stopped` (no tool call, however often it was
    reminded), `refused`, or the budget that ran out (`steps`, `seconds`, `tokens`, `cost`, `context`).
    Raises `PolicyError` when the endpoint failed and `KernelError` when the sandbox did; neither says
    anything about the work.
    """
    budget = budget or BudgetConfig()
    trajectory, spent = episode.trajectory, _Spent()
    trajectory.stop = ""
    deadline = asyncio.timeout(budget.seconds)
    try:
        async with deadline:
            while not trajectory.stop:
                reply = await _ask(episode, policy, sampling)
                spent.add(reply)
                await _act(episode, reply, budget)
                trajectory.stop = trajectory.stop or _why_stop(episode, reply, spent, budget)
    except TimeoutError:
        if not deadline.expired():
            raise
        trajectory.stop = "seconds"
    trim_open_calls(trajectory)
    return trajectory


async def _ask(episode: Episode, policy: Policy, sampling: Sampling) -> PolicyReply:
    """One reply of the policy, recorded with its cost and token data."""
    trajectory = episode.trajectory
    began = time.monotonic()
    reply = await policy.act(tuple(trajectory.messages), episode.tools.specs, sampling)
    said = reply.message.content or reply.message.tool_calls or reply.message.provider
    if (
        reply.finish == "context_overflow" and not said
    ):  # nothing was said, so no words are put into its mouth
        turn = len(trajectory.turns) - 1
        events = reply.events or ({"kind": "context_overflow"},)
        trajectory.events.extend({"turn": turn, **event} for event in events)
        return reply
    trajectory.turns.append(
        Turn(
            index=len(trajectory.turns),
            message=len(trajectory.messages),
            seconds=time.monotonic() - began,
            finish=reply.finish,
            usage=reply.usage,
            log_prob=reply.log_prob,
            tokens=reply.tokens,
            effective=reply.effective,
        )
    )
    trajectory.messages.append(reply.message)
    turn = len(trajectory.turns) - 1
    trajectory.events.extend({"turn": turn, **event} for event in reply.events)
    return reply


async def _act(episode: Episode, reply: PolicyReply, budget: BudgetConfig) -> None:
    """Carry out the reply's tool calls in order, within the budget of steps."""
    for position, call in enumerate(reply.message.tool_calls):
        if len(episode.trajectory.steps) >= budget.steps:
            episode.trajectory.stop = "steps"
            return
        await episode.step(call, log_prob=reply.log_prob if position == 0 else None)
        if episode.done:
            episode.trajectory.stop = "submitted"
            return


def _why_stop(episode: Episode, reply: PolicyReply, spent: _Spent, budget: BudgetConfig) -> str:
    """The reason to stop after this turn, "" to go on (with a reminder when no tool was called)."""
    trajectory = episode.trajectory
    if reply.finish == "context_overflow":
        return "context"
    if reply.finish == "refusal":
        trajectory.events.append({"turn": len(trajectory.turns) - 1, "kind": "refusal"})
        return "refused"
    if budget.tokens is not None and spent.tokens >= budget.tokens:
        return "tokens"
    if budget.cost_usd is not None and spent.cost_usd >= budget.cost_usd:
        return "cost"
    if spent.idle > REMINDERS:
        return "stopped"
    if spent.idle:
        reminder = CUT_OFF if reply.finish == "length" else REMINDER
        trajectory.messages.append(Message(role="user", content=reminder))
        trajectory.events.append({"turn": len(trajectory.turns) - 1, "kind": "no_tool_call"})
    return ""
