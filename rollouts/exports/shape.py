"""The parts of a row that several exports share."""

from __future__ import annotations

from typing import Any

from envs.trajectory import Message, Trajectory

from ..governance import Admitted
from .exporter import Column, Row

#: Where a row comes from: the scalar columns every export ends with.
ORIGIN: dict[str, Column] = {
    "run_id": "string",
    "rollout_id": "string",
    "branch_id": "string",
    "parent": "string",
    "fork_step": "int",
    "task_id": "string",
    "task_digest": "string",
    "split": "string",
    "policy": "string",
    "model": "string",
    "temperature": "float",
    "ending": "string",
}


def origin(admitted: Admitted) -> Row:
    """The values of `ORIGIN`."""
    record = admitted.record
    effective = record.sampling.effective.get("temperature", record.sampling.requested.temperature)
    return {
        "run_id": record.lineage.run_id,
        "rollout_id": record.lineage.rollout_id,
        "branch_id": record.lineage.branch_id,
        "parent": record.lineage.parent,
        "fork_step": record.lineage.fork_step,
        "task_id": record.task.task_id,
        "task_digest": record.task.digest,
        "split": admitted.split,
        "policy": record.sampling.policy,
        "model": record.sampling.model,
        "temperature": float(effective) if isinstance(effective, int | float) else None,
        "ending": record.result.ending,
    }


def opening(trajectory: Trajectory) -> int:
    """How many messages stand before what this branch did itself: its prompt."""
    if trajectory.prefix_messages:
        return trajectory.prefix_messages
    messages = trajectory.messages
    return next((i for i, m in enumerate(messages) if m.role == "assistant"), len(messages))


def unwritable(messages: list[Message]) -> str | None:
    """Why these messages cannot be written in the trainers' shape without changing what was said."""
    if not any(m.role == "assistant" for m in messages):
        return "no_reply"
    return malformed(messages)


def malformed(messages: list[Message]) -> str | None:
    """Whether some call has no arguments that could be written as an object."""
    bad = any(call.arguments is None for m in messages for call in m.tool_calls)
    return "malformed_tool_call" if bad else None


def tools(trajectory: Trajectory) -> list[dict[str, Any]]:
    """The tools in OpenAI's shape, whichever way the trajectory holds them."""
    return [t if "function" in t else {"type": "function", "function": t} for t in trajectory.tools]


def token_turns(trajectory: Trajectory, start: int) -> list[dict[str, Any]]:
    """Log-probabilities and token ids of the branch's own replies, where the back-end gave any.

    `message` counts from the start of the completion.
    """
    return [
        {
            "message": turn.message - start,
            "log_prob": turn.log_prob,
            "tokens": turn.tokens.model_dump() if turn.tokens else None,
        }
        for turn in trajectory.turns
        if turn.message >= start and (turn.log_prob is not None or turn.tokens is not None)
    ]
