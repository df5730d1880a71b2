"""One row per step: what the policy saw, what it did, what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from envs.trajectory import Step, Trajectory

from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import ORIGIN, origin


class Transitions:
    """The steps a branch took itself. Steps it shares with its parent are the parent's rows; `parent` and
    `fork_step` say where they join.

    `observation` is the latest thing the policy saw before it acted (the user's turn, or a tool's result);
    everything it saw are the first `messages` messages of the trajectory. The last step carries the
    branch's reward, all others 0. `terminated` means the work ended, `truncated` that a budget did;
    `log_prob` is that of the whole reply, all its words and calls, on the row of its first call; null on the rows of
    its other calls, and where the policy does not know it. `events` are those of the policy's reply.

    `advantage` is the step's on the tree of forks (`ranking.tree_advantages`: against the branches that went
    another way at the last fork), null where there is nothing to compare it with; `trains` says which rows to
    learn from, each step of the tree once. `group_advantage` is the whole branch's against all others of its
    rollout (RLOO), the same on all its steps.
    """

    name = "transitions"
    formats = TABLES
    columns: Mapping[str, Column] = {
        **ORIGIN,
        "step": "int",
        "turn": "int",
        "messages": "int",
        "observation": "string",
        "tool": "string",
        "reward": "float",
        "terminated": "bool",
        "truncated": "bool",
        "next_observation": "string",
        "is_error": "bool",
        "log_prob": "float",
        "advantage": "float",
        "group_advantage": "float",
        "trains": "bool",
    }

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            trajectory, result = admitted.record.trajectory, admitted.record.result
            own = trajectory.steps[trajectory.prefix_steps :]
            if not own:
                excluded["no_steps"] += 1
            elif result.reward is None:
                excluded["no_reward"] += 1
            else:
                truncated, branch = result.ending == "truncated", admitted.record.lineage.branch_id
                advantage, trains = rollout.credit.steps(branch), rollout.credit.trains(branch)
                group = rollout.credit.group(branch)
                for step in own:
                    last = step is own[-1]
                    yield {
                        **origin(admitted),
                        **_step(trajectory, step),
                        "reward": result.reward if last else 0.0,
                        "terminated": last and not truncated,
                        "truncated": last and truncated,
                        "advantage": advantage[step.index] if advantage else None,
                        "group_advantage": group,
                        "trains": bool(trains) and trains[step.index],
                    }


def _step(trajectory: Trajectory, step: Step) -> Row:
    call = trajectory.messages[step.message].tool_calls[step.call]
    action = {"tool": call.name, "arguments": call.arguments}
    if call.arguments is None:
        action["raw"] = call.raw
    before = _seen_before(trajectory, step)
    return {
        "step": step.index,
        "turn": step.turn,
        "messages": step.message,
        "observation": trajectory.messages[before].content if before >= 0 else "",
        "tool": call.name,
        "action": action,
        "next_observation": trajectory.messages[step.result].content,
        "is_error": step.observation.is_error,
        "log_prob": step.log_prob,
        "events": [event for event in trajectory.events if event.get("turn") == step.turn]
        if step.call == 0
        else [],
    }


def _seen_before(trajectory: Trajectory, step: Step) -> int:
    """Index of the message that stood last before this action: of several calls in one reply, the second
    one's is the first one's result."""
    if step.call and step.index:
        return trajectory.steps[step.index - 1].result
    return step.message - 1
