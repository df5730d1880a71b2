"""Cutting a trajectory at a step, so that a fork shares exactly what came before it."""

from __future__ import annotations

from .trajectory import Message, Trajectory


def cut(trajectory: Trajectory, steps: int) -> Trajectory:
    """The first `steps` steps of a trajectory, ready for a branch to go on from there.

    A reply whose calls were only partly made by then keeps just those calls. Raises `ValueError` when the
    trajectory has fewer steps.
    """
    if not 0 <= steps <= len(trajectory.steps):
        raise ValueError(f"step {steps} is outside 0..{len(trajectory.steps)}")
    kept = trajectory.steps[:steps]
    end = kept[-1].result + 1 if kept else _opening(trajectory.messages)
    messages = list(trajectory.messages[:end])
    shared = Trajectory(
        messages=messages,
        tools=trajectory.tools,
        turns=[turn for turn in trajectory.turns if turn.message < end],
        steps=list(kept),
        prefix_steps=steps,
        prefix_messages=end,
        events=[e for e in trajectory.events if e.get("turn", -1) < (kept[-1].turn + 1 if kept else 0)],
    )
    trim_open_calls(shared)
    return shared


def trim_open_calls(trajectory: Trajectory) -> int:
    """Drop the calls of the last reply that were never carried out; returns how many.

    A conversation with an unanswered call is refused by every model and trainer.
    """
    messages = trajectory.messages
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.role == "assistant":
            answered = {m.tool_call_id for m in messages[index + 1 :]}
            kept = tuple(call for call in message.tool_calls if call.id in answered)
            dropped = len(message.tool_calls) - len(kept)
            if dropped:
                messages[index] = message.model_copy(update={"tool_calls": kept})
            return dropped
    return 0


def _opening(messages: list[Message]) -> int:
    """How many messages stand before the first reply."""
    return next((i for i, m in enumerate(messages) if m.role == "assistant"), len(messages))
