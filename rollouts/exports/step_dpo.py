"""Step-level preference pairs: at a fork, the reply that led to more against the one that led to less."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

from ..errors import ConfigError
from .dpo import PAIR
from .exporter import TABLES, Column, Row
from .fork_points import ForkPoint, Side, fork_points, said
from .rollout import Rollout


class StepDpo:
    """{"prompt", "chosen", "rejected", "tools", ...} like `dpo`, with one reply of the policy on each side.

    What a reply led to is the mean reward of all branches that went on from it (`chosen_value`,
    `rejected_value`; of `chosen_branches` and `rejected_branches`), which is an estimate with an error: `margin`
    is the least difference, `least` the least number of branches on either side. Of many pairs at one fork
    point the `max_pairs` furthest apart are written. Lai et al., "Step-DPO" (2024), with forks in the place of
    a judge of steps.
    """

    name = "step_dpo"
    formats = TABLES
    columns: Mapping[str, Column] = {
        **PAIR,
        "chosen_value": "float",
        "rejected_value": "float",
        "chosen_branches": "int",
        "rejected_branches": "int",
    }

    def __init__(self, margin: float = 0.0, least: int = 1, max_pairs: int = 64) -> None:
        if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf:
            raise ConfigError(
                f"export step_dpo: margin is {margin!r}, must be 0 or more (a difference of rewards)"
            )
        self.margin, self.least, self.max_pairs = float(margin), least, max_pairs

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """See `Exporter`."""
        for point in fork_points(rollout, excluded):
            usable = [side for side in point.sides if side.value is not None and side.through >= self.least]
            excluded["too_few_branches"] += len(point.sides) - len(usable)
            if len(usable) < 2:
                excluded["no_sibling_at_fork_point"] += len(usable)
            yield from self._pairs(point, usable, excluded)
        excluded += Counter()  # without what was counted zero times

    def _pairs(self, point: ForkPoint, sides: list[Side], excluded: Counter[str]) -> Iterator[Row]:
        pairs = [tuple(sorted(pair, key=_value, reverse=True)) for pair in combinations(sides, 2)]
        pairs.sort(key=lambda pair: _value(pair[1]) - _value(pair[0]))
        written = 0
        for chosen, rejected in pairs:
            if said(chosen.completion[:1]) == said(rejected.completion[:1]):
                excluded["identical_pair"] += 1
            elif _value(chosen) - _value(rejected) <= max(self.margin, 1e-12):
                excluded["no_difference_in_value"] += 1
            elif written == self.max_pairs:
                excluded["pair_over_limit"] += 1
            else:
                written += 1
                yield {
                    "prompt": point.prompt,
                    "chosen": [chosen.completion[0].openai()],
                    "rejected": [rejected.completion[0].openai()],
                    "tools": point.tools,
                    "chosen_branch": chosen.branch_id,
                    "rejected_branch": rejected.branch_id,
                    "chosen_value": chosen.value,
                    "rejected_value": rejected.value,
                    "chosen_branches": chosen.through,
                    "rejected_branches": rejected.through,
                    **{name: point.origin[name] for name in PAIR if name in point.origin},
                }


def _value(side: Side) -> float:
    return side.value if side.value is not None else -math.inf
