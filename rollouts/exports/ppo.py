"""Reinforcement learning from finished work: prompt, completion and its reward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import ORIGIN, opening, origin, token_turns, tools, unwritable


class Ppo:
    """{"prompt", "completion", "reward", "tools", ...} for each branch that has a reward, in [0, 1].

    `turns` holds log-probabilities and token ids where the back-end gave them; it is empty elsewhere.
    Rows of one `rollout_id`, `parent` and `fork_step` are one group, as GRPO needs it.
    """

    name = "ppo"
    formats = TABLES
    columns: Mapping[str, Column] = {**ORIGIN, "reward": "float"}

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            trajectory, result = admitted.record.trajectory, admitted.record.result
            start = opening(trajectory)
            if result.reward is None:
                excluded["no_reward"] += 1
            elif reason := unwritable(trajectory.messages[start:]):
                excluded[reason] += 1
            else:
                yield {
                    "prompt": [message.openai() for message in trajectory.messages[:start]],
                    "completion": [message.openai() for message in trajectory.messages[start:]],
                    "reward": result.reward,
                    "tools": tools(trajectory),
                    "turns": token_turns(trajectory, start),
                    **origin(admitted),
                }
