"""Preference pairs: a solved branch against a failed one that went on from exactly the same point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .exporter import TABLES, Column, Row
from .fork_points import ForkPoint, fork_points, spread
from .rollout import Rollout
from .shape import ORIGIN

#: The columns that say where a pair comes from.
PAIR: dict[str, Column] = {
    **{name: kind for name, kind in ORIGIN.items() if name not in ("branch_id", "temperature", "ending")},
    "chosen_branch": "string",
    "rejected_branch": "string",
}


class Dpo:
    """{"prompt", "chosen", "rejected", "tools", ...} in the shape TRL's DPOTrainer takes.

    Chosen ended as solved, rejected has an explicit fail; both go on with the same conversation to their ends,
    from the prepared state or from a fork (where the branch that was forked is one of them), and did not say
    the same. Of many pairs at one fork point the first `max_pairs` are written, in an order that uses every
    branch before it uses one again.
    """

    name = "dpo"
    formats = TABLES
    columns: Mapping[str, Column] = {**PAIR, "chosen_reward": "float", "rejected_reward": "float"}

    def __init__(self, max_pairs: int = 64) -> None:
        self.max_pairs = max_pairs

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for point in fork_points(rollout, excluded):
            excluded["truncated_without_a_fail"] += sum(side.solved is None for side in point.sides)
            yield from self._pairs(point, excluded)
        excluded += Counter()  # without what was counted zero times

    def _pairs(self, point: ForkPoint, excluded: Counter[str]) -> Iterator[Row]:
        solved = [side for side in point.sides if side.solved]
        failed = [side for side in point.sides if side.solved is False]
        if not (solved and failed):
            excluded["no_opposite_at_fork_point"] += len(solved) + len(failed)
        written = 0
        for chosen, rejected in spread(solved, failed):
            if chosen.said == rejected.said:
                excluded["identical_pair"] += 1
            elif written == self.max_pairs:
                excluded["pair_over_limit"] += 1
            else:
                written += 1
                where = {name: point.origin[name] for name in PAIR if name in point.origin}
                yield {
                    "prompt": point.prompt,
                    "chosen": [message.openai() for message in chosen.completion],
                    "rejected": [message.openai() for message in rejected.completion],
                    "tools": point.tools,
                    "chosen_branch": chosen.branch_id,
                    "rejected_branch": rejected.branch_id,
                    "chosen_reward": chosen.reward,
                    "rejected_reward": rejected.reward,
                    **where,
                }
