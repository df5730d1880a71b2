"""slime: prompt data, and finished rollouts as its `Sample`s.

The shapes are those of `slime/utils/data.py` (THUDM/slime at 3c9aa092) and `slime/utils/types.py` (at 7985bf23).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .exporter import Column, Row
from .neutral import plain
from .prompts import SOURCE, first_prompt, stable_number
from .rollout import Rollout
from .sequences import Retokenised, credit_of, lineage, retokenised_option, rewarded


class SlimePrompts:
    """One row a task: {prompt, label, tools, metadata}, for `--input-key prompt --label-key label --tool-key tools`.

    The label is the task's id: there is no reference answer.
    """

    name = "slime_prompts"
    formats = ("jsonl",)
    columns: Mapping[str, Column] = {"label": "string"}

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        record = first_prompt(rollout, excluded)
        if record is not None:
            yield {
                "prompt": [plain(message) for message in record.prompt],
                "label": record.task.task_id,
                "tools": record.tools,
                "metadata": {
                    "source": SOURCE,
                    "task_id": record.task.task_id,
                    "task_digest": record.task.digest,
                    "split": record.task.split,
                },
            }


class SlimeSamples:
    """Rows that `Sample.from_dict` takes, one for each branch; `tokens` are prompt and response together.

    `group_index` is one number for the branches that started from the same point. `response` is for reading: what
    was written on both sides, joined; what is trained on are the tokens. A branch whose history was tokenised anew
    is left out; with `retokenised="split"` it is one sample for each part, all with the branch's reward.
    """

    name = "slime_samples"
    formats = ("jsonl",)
    columns: Mapping[str, Column] = {"reward": "float", "status": "string", "response_length": "int"}

    def __init__(self, retokenised: Retokenised = "refuse") -> None:
        self.retokenised = retokenised_option(self.name, retokenised)

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for record, reward, parts in rewarded(
            rollout, excluded, exporter=self.name, retokenised=self.retokenised
        ):
            for number, part in enumerate(parts):
                first, last = record.turns[part.turns[0]].message, record.turns[part.turns[-1]].message
                yield {
                    "group_index": stable_number(record.group_id),
                    "index": stable_number(f"{record.group_id}/{record.branch_id}/{number}"),
                    "prompt": [plain(message) for message in record.messages[:first]],
                    "tokens": [*part.prompt_ids, *part.response_ids],
                    "response": "\n".join(
                        message["content"] for message in record.messages[first : last + 1]
                    ),
                    "response_length": len(part.response_ids),
                    "label": record.task.task_id,
                    "reward": reward,
                    "loss_mask": part.mask,
                    "rollout_log_probs": part.logprobs,
                    "status": "truncated" if record.ending == "truncated" else "completed",
                    "metadata": {
                        **lineage(record),
                        "part": number,
                        "parts": len(parts),
                        "tools": record.tools,
                    },
                    "train_metadata": {"credit": credit_of(record, part)},
                }
