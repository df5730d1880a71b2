"""A branch's own steps as one episode in text: what it saw, what it did, what came of it."""

from __future__ import annotations

import json
from typing import Any

from envs.trajectory import Step, ToolCall, Trajectory

from ..governance import Admitted
from ..records import BranchRecord
from .exporter import Column, Row
from .rollout import Credit
from .shape import ORIGIN, origin

#: The scalar columns of an episode.
EPISODE: dict[str, Column] = {
    **ORIGIN,
    "episode_id": "string",
    "steps": "int",
    "reward": "float",
    "terminated": "bool",
    "truncated": "bool",
}


def left_out(record: BranchRecord) -> str | None:
    """Why a branch gives no episode; None when it does."""
    if not own_steps(record.trajectory):
        return "no_steps"
    return "no_reward" if record.result.reward is None else None


def own_steps(trajectory: Trajectory) -> list[Step]:
    """The steps the branch took itself. Those it shares with its parent are in the parent's episode."""
    return trajectory.steps[trajectory.prefix_steps :]


def frame(admitted: Admitted, steps: int) -> Row:
    """What every form of an episode of so many steps has: the columns of `EPISODE` and one reward per step,
    0 but for the last, which has the branch's."""
    record = admitted.record
    truncated = record.result.ending == "truncated"
    return {
        **origin(admitted),
        "episode_id": "/".join((record.lineage.run_id, *record.key)),
        "steps": steps,
        "reward": record.result.reward,
        "terminated": not truncated,
        "truncated": truncated,
        "rewards": [0.0] * (steps - 1) + [record.result.reward],
    }


def text_episode(admitted: Admitted, credit: Credit) -> Row:
    """`observations` (steps + 1 texts), `actions` (steps texts), and per step what is known of it in `told`.

    An action is one tool call as JSON: `{"tool": ..., "arguments": {...}}`; of a malformed call `arguments` is
    null and `raw` holds what was written. An observation is what the policy was told since its last action,
    the first one what stood last before it began. `log_prob` is that of the reply that made the call, its words
    included; a step has one only where the back-end gave it and the reply made no other call. `told` also has
    the step's tree advantage (null without one) and whether to train on it; see `Transitions`.
    """
    trajectory, branch = admitted.record.trajectory, admitted.record.lineage.branch_id
    steps = own_steps(trajectory)
    advantage, trains = credit.steps(branch), credit.trains(branch)
    return {
        **frame(admitted, len(steps)),
        "observations": [*(_seen(trajectory, step) for step in steps), _seen_last(trajectory, steps[-1])],
        "actions": [action_text(_call(trajectory, step)) for step in steps],
        "told": [
            {
                "step": step.index,
                "tool": step.tool,
                "tool_error": step.observation.is_error,
                "exit_code": step.observation.exit_code,
                "log_prob": step.log_prob if _is_alone(trajectory, step) else None,
                "advantage": advantage[step.index] if advantage else None,
                "trains": bool(trains) and trains[step.index],
            }
            for step in steps
        ],
    }


def action_text(call: ToolCall) -> str:
    """A tool call as the env takes it."""
    action: dict[str, Any] = {"tool": call.name, "arguments": call.arguments}
    if call.arguments is None:
        action["raw"] = call.raw
    return json.dumps(action, ensure_ascii=False)


def _call(trajectory: Trajectory, step: Step) -> ToolCall:
    return trajectory.messages[step.message].tool_calls[step.call]


def _is_alone(trajectory: Trajectory, step: Step) -> bool:
    """Whether the call is all its reply did. One that a budget cut short may have lost its other calls."""
    if len(trajectory.messages[step.message].tool_calls) != 1:
        return False
    is_last = all(m.role != "assistant" for m in trajectory.messages[step.message + 1 :])
    return not (is_last and trajectory.stop in ("steps", "seconds"))


def _seen(trajectory: Trajectory, step: Step) -> str:
    """What the policy was told after the step before, or, at the very beginning, the task."""
    if not step.index:
        return trajectory.messages[step.message - 1].content if step.message else ""
    return _between(trajectory, trajectory.steps[step.index - 1].result, step.message)


def _seen_last(trajectory: Trajectory, step: Step) -> str:
    return _between(trajectory, step.result, len(trajectory.messages))


def _between(trajectory: Trajectory, result: int, end: int) -> str:
    """A call's result and what was said to the policy after it (a reminder to call a tool)."""
    after = [m.content for m in trajectory.messages[result + 1 : end] if m.role == "user"]
    return "\n\n".join([trajectory.messages[result].content, *after])
