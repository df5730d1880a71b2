"""Prompts for online training: one row per rollout, with how hard its task was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ..records import BranchRecord
from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import opening


class Grpo:
    """{"prompt", "task_id", "task_digest", ...} in the shape TRL's GRPOTrainer takes, for `rollouts.trainers.trl`.

    The prompt is what a branch was told that started from the task, without examples or a prompt variant where
    there is such a one. `branches`, `solved` and `mean_reward` count those with a reward: where all got the same,
    a group has nothing to learn from.
    """

    name = "grpo"
    formats = TABLES
    columns: Mapping[str, Column] = {
        "run_id": "string",
        "rollout_id": "string",
        "task_id": "string",
        "task_digest": "string",
        "split": "string",
        "branches": "int",
        "solved": "int",
        "mean_reward": "float",
    }

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        plainest: tuple[tuple[int, bool], Row] | None = None
        rewards: list[float] = []
        solved = 0
        for admitted in rollout:
            record = admitted.record
            if record.result.reward is not None:
                rewards.append(record.result.reward)
                solved += record.result.ending == "solved"
            if record.lineage.parent is None and (plainest is None or _told_more(record) < plainest[0]):
                told = record.trajectory.messages[: opening(record.trajectory)]
                plainest = (
                    _told_more(record),
                    {
                        "prompt": [message.openai() for message in told],
                        "run_id": record.lineage.run_id,
                        "rollout_id": record.lineage.rollout_id,
                        "task_id": record.task.task_id,
                        "task_digest": record.task.digest,
                        "split": admitted.split,
                    },
                )
        if plainest is not None and plainest[1]["prompt"]:
            mean = sum(rewards) / len(rewards) if rewards else None
            yield {**plainest[1], "branches": len(rewards), "solved": solved, "mean_reward": mean}
        elif plainest is not None or rewards:
            excluded["no_branch_from_the_task"] += 1


def _told_more(record: BranchRecord) -> tuple[int, bool]:
    """What a branch was shown beside the task: less is plainer."""
    return len(record.sampling.memories), bool(record.sampling.requested.prompt_text)
