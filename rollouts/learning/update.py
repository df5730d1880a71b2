"""From exported transitions to new weights: one policy-gradient step.

The gradient of the expected reward is the mean over rollouts of the sum of advantage times score function
(Williams 1992; the score of a softmax-linear choice is in `policies/mutation/weights.py`). With the advantage of
the whole branch that is RLOO (Kool et al. 2019); with that of the step on the tree of forks each choice is
compared with what its siblings led to, and steps that branches share count once.

The step is a natural gradient (Kakade 2001): the gradient is divided by the mean outer product of the scores, so
that rare features move as readily as common ones, and is made so long that the policy changes by a set KL
divergence per choice (Schulman et al., "Trust Region Policy Optimization", 2015). The samples are those of the
policy that is changed, and are used once: no importance weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError
from ..policies.mutation.weights import NAMES, Floats, gradient

Credit = Literal["tree", "group"]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class StepSize:
    """How far one update goes."""

    kl: float = 0.5  #: mean KL divergence of a choice between the policies before and after, in nats
    damping: float = (
        1.0  #: added to the Fisher matrix's diagonal, in units of its mean: tames what few rows show
    )
    pull: float = (
        0.002  #: of the weights back to where learning began (L2), which features without evidence keep
    )


@dataclass(frozen=True)
class Update:
    """New weights, and what they rest on."""

    weights: Floats  #: over `NAMES`
    choices: int  #: with an advantage; the others say nothing
    rollouts: int
    gradient_norm: float
    kl: float  #: expected, by the quadratic approximation


@dataclass(frozen=True)
class Scores:
    """The choices of some rollouts."""

    scores: Floats  #: (choices, features): d log p / d weights
    advantages: Floats  #: (choices,)
    rollout: Floats  #: (choices,): the number of its rollout
    rollouts: int  #: also those without a choice to learn from


def read_rollouts(path: Path) -> Iterator[list[Row]]:
    """The rows of an exported `transitions.jsonl`, rollout by rollout."""
    with path.open(encoding="utf-8") as file:
        for _, rows in groupby(map(json.loads, file), key=lambda row: row["rollout_id"]):
            yield list(rows)


def scores_of(rollouts: Iterable[list[Row]], credit: Credit) -> Scores:
    """The choices that have an advantage of this kind. Raises `ConfigError` for rows of an older export."""
    scores, values, owner, count = [], [], [], 0
    for number, rows in enumerate(rollouts):
        count += 1
        for row in rows:
            advantage = _advantage(row, credit)
            for event in row["events"] if advantage is not None else ():
                if event["kind"] == "choice":
                    scores.append(gradient(event))
                    values.append(advantage)
                    owner.append(number)
    width = len(NAMES)
    return Scores(np.array(scores).reshape(-1, width), np.array(values), np.array(owner, dtype=float), count)


def policy_gradient(found: Scores) -> Floats:
    """The estimate of d E[reward] / d weights: mean over rollouts of sum(advantage * score)."""
    total: Floats = found.advantages @ found.scores
    return total / max(1, found.rollouts)


def update(weights: Floats, origin: Floats, found: Scores, size: StepSize | None = None) -> Update:
    """One step from `weights`; `origin` is where learning began. Nothing to learn from: no step."""
    size = size or StepSize()
    choices = int(np.count_nonzero(found.advantages))
    if not choices:
        return Update(weights, 0, found.rollouts, 0.0, 0.0)
    ascent = policy_gradient(found) - size.pull * (weights - origin)
    fisher = found.scores.T @ found.scores / len(found.scores)
    seen = np.diag(fisher) > 0
    damped = fisher + size.damping * float(np.diag(fisher)[seen].mean()) * np.eye(len(weights))
    direction = np.linalg.solve(damped, ascent)
    bent = float(direction @ fisher @ direction)  # twice the KL divergence of a whole step
    step = direction * (2.0 * size.kl / bent) ** 0.5 if bent > 0 else 0.0 * direction
    return Update(weights + step, choices, found.rollouts, float(np.linalg.norm(ascent)), size.kl)


def _advantage(row: Row, credit: Credit) -> float | None:
    try:
        tree = row["advantage"] if row["trains"] else None
        found = tree if credit == "tree" else row["group_advantage"]
        return None if found is None or not row["events"] else float(found)
    except KeyError as error:
        raise ConfigError(f"transitions have no column {error}; export the run again") from None
