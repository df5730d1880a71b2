"""Reinforcement learning from finished work: prompt, completion and its reward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ..errors import ConfigError
from ..records import BranchRecord
from .exporter import TABLES, Column, Row
from .rollout import Rollout
from .shape import ORIGIN, opening, origin, token_turns, tools, unwritable


class Ppo:
    """{"prompt", "completion", "reward", "tools", ...} for each branch that has a reward, in [0, 1].

    `turns` holds log-probabilities and token ids where the back-end gave them; it is empty elsewhere.
    Rows of one `rollout_id`, `parent` and `fork_step` are one group, as GRPO needs it.

    `require` "logprobs": for trainers that correct for the policy that acted. A reply of the branch's own without
    token ids and their log-probabilities is then an error (`ConfigError`), for they cannot be made up.
    """

    name = "ppo"
    formats = TABLES
    columns: Mapping[str, Column] = {**ORIGIN, "reward": "float"}

    def __init__(self, require: str = "") -> None:
        if require not in ("", "logprobs"):
            raise ConfigError(f"export ppo: require {require!r} is unknown; known: logprobs")
        self.require = require

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
                if self.require:
                    _check_tokens(admitted.record, start)
                yield {
                    "prompt": [message.openai() for message in trajectory.messages[:start]],
                    "completion": [message.openai() for message in trajectory.messages[start:]],
                    "reward": result.reward,
                    "tools": tools(trajectory),
                    "turns": token_turns(trajectory, start),
                    **origin(admitted),
                }


def _check_tokens(record: BranchRecord, start: int) -> None:
    """Raises `ConfigError` for the first own reply without token ids and log-probabilities."""
    for turn in record.trajectory.turns:
        if turn.message < start:
            continue
        for name in ("completion_ids", "logprobs"):
            if turn.tokens is None or getattr(turn.tokens, name) is None:
                raise ConfigError(
                    f"export ppo: {'/'.join(record.key)} turn {turn.index}: turns[].tokens.{name} is absent; take "
                    "branches of a policy that gives it (openai with an inference server that returns token ids)"
                )
