"""Prompts for online training: one row per rollout, with how hard its task was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ..governance import Admitted
from .exporter import TABLES, Column, Row
from .neutral import plain
from .prompts import first_prompt
from .rollout import Rollout


class Grpo:
    """{"prompt", "task_id", "task_digest", ...} in the shape TRL's GRPOTrainer takes, for `rollouts.trainers.trl`.

    The prompt is what a branch was told that started from the task, without examples or a prompt variant where
    there is such a one. `branches`, `solved` and `mean_reward` count those that started from the task and have a
    reward: where all got the same, a group has nothing to learn from.
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
        results: list[tuple[float, bool]] = []
        told = first_prompt(Rollout(_noting(rollout, results), rollout.credit), excluded)
        if told is not None:
            yield {
                "prompt": [plain(message) for message in told.prompt],
                "run_id": told.run_id,
                "rollout_id": told.rollout_id,
                "task_id": told.task.task_id,
                "task_digest": told.task.digest,
                "split": told.task.split,
                "branches": len(results),
                "solved": sum(solved for _, solved in results),
                "mean_reward": sum(reward for reward, _ in results) / len(results) if results else None,
            }


def _noting(rollout: Rollout, results: list[tuple[float, bool]]) -> Iterator[Admitted]:
    """The same branches; the reward of each that started from the task, and whether it solved it, on the way."""
    for admitted in rollout:
        result = admitted.record.result
        if admitted.record.lineage.parent is None and result.reward is not None:
            results.append((result.reward, result.ending == "solved"))
        yield admitted
