"""The prompt of a task, for trainers that make their own rollouts."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from .neutral import Neutral, neutral
from .rollout import Rollout

#: What the rows name as their source.
SOURCE = "rollout_fork"


def first_prompt(rollout: Rollout, excluded: Counter[str]) -> Neutral | None:
    """The branch with the plainest opening of the task: not forked, without memories and prompt variants if there
    is one. None, and counted, where every branch was forked later."""
    best: tuple[tuple[bool, bool, int], Neutral] | None = None
    seen = 0
    for admitted in rollout:
        seen += 1
        record = neutral(admitted, rollout.credit)
        varied = record.sampling.requested.prompt_text is not None
        key = (bool(record.sampling.memories), varied, record.index)
        if record.parent is None and record.prefix_messages and (best is None or key < best[0]):
            best = key, record
    if best is None:
        if seen:
            excluded["no_branch_from_the_start"] += seen
        return None
    return best[1]


def stable_number(text: str) -> int:
    """A number below 2^48 for an id, the same in every export: trainers number their rows and groups."""
    return int.from_bytes(sha256(text.encode("utf-8", "replace")).digest()[:6])
