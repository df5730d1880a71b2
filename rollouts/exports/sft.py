"""Supervised fine-tuning: whole conversations of solved branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import ORIGIN, opening, origin, tools, unwritable


class Sft:
    """{"messages", "tools", ...} for each solved branch, in the shape TRL's SFTTrainer takes.

    `prompt_messages` says how many messages were given to the branch (for a fork: its parent's part too),
    for trainers that learn only from what follows.
    """

    name = "sft"
    formats = TABLES
    columns: Mapping[str, Column] = {**ORIGIN, "reward": "float", "prompt_messages": "int"}

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            trajectory, result = admitted.record.trajectory, admitted.record.result
            start = opening(trajectory)
            if result.ending != "solved":
                excluded["not_solved"] += 1
            elif reason := unwritable(trajectory.messages) or unwritable(trajectory.messages[start:]):
                excluded[reason] += 1
            else:
                yield {
                    "messages": [message.openai() for message in trajectory.messages],
                    "tools": tools(trajectory),
                    "reward": result.reward,
                    "prompt_messages": start,
                    **origin(admitted),
                }
