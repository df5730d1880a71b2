"""Advantages: how much better an attempt was than the others of its group, and a step than its siblings.

A missing reward (the machinery failed) is left out: it is no 0, and has no advantage. A group whose rewards
are all equal, or that has one reward only, teaches nothing, and is flagged; nothing is divided by a spread of
rounding errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .checks import numbers
from .errors import EmptyGroup, NonFiniteScore

Kind = Literal["rloo", "grpo", "dr_grpo"]
Flag = Literal["ok", "zero_variance", "single", "empty"]

_MOST = 1e150  #: of a reward: its square is still a float
_ROUNDING = 1e-9  # relative: rewards closer than this are equal


@dataclass(frozen=True)
class Advantages:
    """Of one group, in the order of its rewards."""

    values: tuple[float | None, ...]  #: None: no reward, or no other reward to compare it with
    kind: Kind
    flag: Flag  #: "ok"; "zero_variance": all 0; "single" and "empty": all None
    used: int  #: rewards that are not missing


def advantages(rewards: Sequence[float | None], kind: Kind = "rloo") -> Advantages:
    """Advantages of a group of attempts at one task, None for a missing reward.

    - "rloo": r_i minus the mean of the others; unbiased. Kool, van Hoof and Welling, "Buy 4 REINFORCE
      Samples, Get a Baseline for Free!" (ICLR workshop 2019).
    - "grpo": (r_i - mean) / sd, with the population's sd (over n) and no epsilon; it weights up tasks that
      nearly always or nearly never pass. Shao et al., "DeepSeekMath" (2024).
    - "dr_grpo": r_i - mean, which is (n - 1) / n of "rloo". Liu et al., "Understanding R1-Zero-Like Training"
      (2025).

    Raises `EmptyGroup` for no rewards at all, `NonFiniteScore`, `ValueError` for an unknown kind.
    """
    if kind not in ("rloo", "grpo", "dr_grpo"):
        raise ValueError(f'an advantage is "rloo", "grpo" or "dr_grpo", not {kind!r}')
    if not rewards:
        raise EmptyGroup("a group of 0 attempts has no advantages")
    known = numbers((reward for reward in rewards if reward is not None), "reward (None is a missing one)")
    if any(abs(reward) > _MOST for reward in known):
        raise NonFiniteScore(
            f"a reward beyond {_MOST:g} has no difference from another that a float could hold"
        )
    n = len(known)
    if n < 2:
        return Advantages((None,) * len(rewards), kind, "single" if n else "empty", n)
    if max(known) - min(known) <= _ROUNDING * max(1.0, *map(abs, known)):
        return Advantages(tuple(None if r is None else 0.0 for r in rewards), kind, "zero_variance", n)
    mean = math.fsum(known) / n
    scale = 1.0
    if kind == "rloo":
        scale = n / (n - 1)
    elif kind == "grpo":
        scale = 1.0 / math.sqrt(math.fsum((reward - mean) ** 2 for reward in known) / n)
    values = tuple(None if reward is None else (reward - mean) * scale for reward in rewards)
    return Advantages(values, kind, "ok", n)
