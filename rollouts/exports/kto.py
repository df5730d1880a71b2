"""Unpaired preferences: each branch with a pass or a fail, by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import ORIGIN, opening, origin, tools, unwritable


class Kto:
    """{"prompt", "completion", "label", "tools", ...} in the shape TRL's KTOTrainer takes.

    `label` is true for a solved branch and false for one with an explicit fail; work that a budget cut short before
    it failed is neither. The completion is what the branch did itself: a fork's prompt ends with what it shares.
    """

    name = "kto"
    formats = TABLES
    columns: Mapping[str, Column] = {**ORIGIN, "label": "bool", "reward": "float"}

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            trajectory, result = admitted.record.trajectory, admitted.record.result
            start = opening(trajectory)
            solved = result.ending == "solved"
            if result.reward is None:
                excluded["no_reward"] += 1
            elif not solved and (result.verdict is None or result.verdict.outcome != "fail"):
                excluded["truncated_without_a_fail"] += 1
            elif reason := unwritable(trajectory.messages) or unwritable(trajectory.messages[start:]):
                excluded[reason] += 1
            else:
                messages = [message.openai() for message in trajectory.messages]
                yield {
                    "prompt": messages[:start],
                    "completion": messages[start:],
                    "label": solved,
                    "tools": tools(trajectory),
                    "reward": result.reward,
                    **origin(admitted),
                }
