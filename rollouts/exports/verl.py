"""verl: prompts for RL, conversations for SFT, and finished rollouts as its agent loops give them.

The shapes are those of verl 0.9.1: `verl/utils/dataset/rl_dataset.py`, `multiturn_sft_dataset.py`,
`verl/experimental/agent_loop/agent_loop.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .exporter import Column, Row
from .neutral import Neutral, neutral, plain, untold
from .prompts import SOURCE, first_prompt, stable_number
from .rollout import Rollout
from .sequences import Retokenised, TokenSequence, credit_of, lineage, retokenised_option, rewarded


class VerlPrompts:
    """One row a task: {data_source, prompt, ability, reward_model, extra_info, agent_name}.

    The prompt is the opening of the task as its branches got it. There is no reference answer: the ground truth
    is the task's id, by which a reward function finds the tests. `tools_kwargs` hands each tool the task.
    """

    name = "verl_prompts"
    formats = ("jsonl", "nested")
    columns: Mapping[str, Column] = {"data_source": "string", "ability": "string", "agent_name": "string"}

    def __init__(self, agent_name: str = "tool_agent") -> None:
        self.agent_name = agent_name

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        record = first_prompt(rollout, excluded)
        if record is not None:
            task = {"task_id": record.task.task_id, "task_digest": record.task.digest}
            yield {
                "data_source": SOURCE,
                "prompt": [plain(message, "text") for message in record.prompt],
                "ability": "code",
                "reward_model": {"style": "rule", "ground_truth": record.task.task_id},
                "extra_info": {
                    "index": stable_number(record.rollout_id),
                    "split": record.task.split,
                    "need_tools_kwargs": True,
                    "tools_kwargs": {
                        tool["function"]["name"]: {"create_kwargs": task} for tool in record.tools
                    },
                    "interaction_kwargs": {"name": SOURCE, **task},
                    **task,
                },
                "agent_name": self.agent_name,
            }


class VerlSft:
    """{messages, tools} for each solved branch.

    Arguments of calls are JSON text, as in OpenAI's API, so that Parquet cannot add keys to them. It does so to
    `tools`: each function's schema gets the keys of all the others, null where it has none. The JSONL beside it
    has them as they were.
    """

    name = "verl_sft"
    formats = ("jsonl", "nested")
    columns: Mapping[str, Column] = {"reward": "float", "prompt_messages": "int"}

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for admitted in rollout:
            record = neutral(admitted, rollout.credit)
            if record.ending != "solved":
                excluded["not_solved"] += 1
            elif reason := untold(record):
                excluded[reason] += 1
            else:
                yield {
                    "messages": [plain(message, "text") for message in record.messages],
                    "tools": record.tools,
                    "reward": record.reward,
                    "prompt_messages": record.prefix_messages,
                    "group_id": record.group_id,
                    "branch_id": record.branch_id,
                }


class VerlRollouts:
    """Rows that `AgentLoopOutput.model_validate` takes, one for each branch.

    `extra_fields.credit` has the step advantages by span of the response, `extra_fields.group_id` what is
    compared with one another. A branch whose history was tokenised anew is left out; with `retokenised="split"` it
    is one row for each part, all with the branch's reward, numbered in `extra_fields.part` and `parts`.
    """

    name = "verl_rollouts"
    formats = ("jsonl",)
    columns: Mapping[str, Column] = {"reward_score": "float", "num_turns": "int"}

    def __init__(self, retokenised: Retokenised = "refuse") -> None:
        self.retokenised = retokenised_option(self.name, retokenised)

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for record, reward, parts in rewarded(
            rollout, excluded, exporter=self.name, retokenised=self.retokenised
        ):
            for number, part in enumerate(parts):
                yield {
                    "prompt_ids": part.prompt_ids,
                    "response_ids": part.response_ids,
                    "response_mask": part.mask,
                    "response_logprobs": part.logprobs,
                    "reward_score": reward,
                    "num_turns": _chat_turns(record, part),
                    "metrics": _metrics(record, part),
                    "extra_fields": {
                        **lineage(record),
                        "part": number,
                        "parts": len(parts),
                        "credit": credit_of(record, part),
                    },
                }


def _chat_turns(record: Neutral, part: TokenSequence) -> int:
    """Messages of user, assistant and tools up to the part's last reply, as verl counts turns."""
    last = record.turns[part.turns[-1]].message
    return sum(message["role"] != "system" for message in record.messages[: last + 1])


def _metrics(record: Neutral, part: TokenSequence) -> dict[str, Any]:
    """Seconds, as verl's `AgentLoopMetrics` has them."""
    messages = {record.turns[place].message for place in part.turns}
    return {
        "generate_sequences": sum(record.turns[place].seconds for place in part.turns),
        "tool_calls": sum(step.seconds for step in record.steps if step.message in messages),
    }
