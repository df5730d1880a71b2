"""SkyRL: its data set of prompts, and finished rollouts as its generators give them.

The shapes are those of `skyrl/train/dataset/dataset.py` (NovaSky-AI/SkyRL at 14143cc7) and of `GeneratorOutput` in
`skyrl/train/generators/base.py` (at 12f1ad39). The environment that solves the prompts is
`rollouts/trainers/skyrl.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .exporter import Column, Row
from .neutral import Neutral, plain
from .prompts import SOURCE, first_prompt, stable_number
from .rollout import Rollout
from .sequences import TokenSequence, credit_of, lineage, rewarded

#: The name the environment is registered under.
ENV_CLASS = "rollout_fork"


class SkyrlPrompts:
    """One row a task: {data_source, prompt, env_class, reward_spec, extra_info}."""

    name = "skyrl_prompts"
    formats = ("jsonl", "nested")
    columns: Mapping[str, Column] = {"data_source": "string", "env_class": "string"}

    def __init__(self, env_class: str = ENV_CLASS) -> None:
        self.env_class = env_class

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        record = first_prompt(rollout, excluded)
        if record is not None:
            yield {
                "data_source": SOURCE,
                "prompt": [plain(message, "text") for message in record.prompt],
                "env_class": self.env_class,
                "reward_spec": {"method": "rule", "ground_truth": record.task.task_id},
                "extra_info": {
                    "index": stable_number(record.rollout_id),
                    "split": record.task.split,
                    "task_id": record.task.task_id,
                    "task_digest": record.task.digest,
                },
            }


class SkyrlRollouts:
    """One row for each token sequence, with the keys of `GeneratorOutput`: its lists are the columns.

    `rewards` are per token: the branch's on the last token that the model made, else 0. A branch whose history was
    tokenised anew has a row for each part, of which only the last has `is_last_step`, as in step-wise training.
    `trajectory_ids` puts branches that started from the same point under one `instance_id`. `process_rewards` has
    the step advantage on the last token of each turn, where every turn has one; else it is null.
    """

    name = "skyrl_rollouts"
    formats = ("jsonl",)
    columns: Mapping[str, Column] = {"is_last_step": "bool", "stop_reasons": "string"}

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for record, reward, parts in rewarded(rollout, excluded, exporter=self.name, retokenised="split"):
            for part in parts:
                last = part is parts[-1]
                yield {
                    "prompt_token_ids": part.prompt_ids,
                    "response_ids": part.response_ids,
                    "rewards": _at_the_end(part, reward if last else 0.0),
                    "loss_masks": part.mask,
                    "stop_reasons": _stop_reason(record, part, last),
                    "rollout_logprobs": part.logprobs,
                    "trajectory_ids": {"instance_id": record.group_id, "repetition_id": record.index},
                    "process_rewards": _process_rewards(record, part),
                    "is_last_step": last,
                    "metadata": lineage(record),
                }


def _at_the_end(part: TokenSequence, reward: float) -> list[float]:
    rewards = [0.0] * len(part.response_ids)
    rewards[part.spans[-1][1] - 1] = reward
    return rewards


def _process_rewards(record: Neutral, part: TokenSequence) -> list[float] | None:
    rewards = [0.0] * len(part.response_ids)
    for turn in credit_of(record, part):
        if turn["advantage"] is None:
            return None
        rewards[turn["stop"] - 1] = turn["advantage"]
    return rewards


def _stop_reason(record: Neutral, part: TokenSequence, last: bool) -> str:
    """SkyRL's words: "length" where a budget ended it, else "stop"."""
    cut = record.turns[part.turns[-1]].finish == "length" or (last and record.ending == "truncated")
    return "length" if cut else "stop"
