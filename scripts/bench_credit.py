"""What forking does to the noise of the policy gradient, at the same number of environment steps.

    python scripts/bench_credit.py [--out DIR] [--tasks 24] [--repeats 3] [--seed 0] [--json]

Every task is rolled out `repeats` times from the base weights, once as recorded trees with step advantages, once
as independent branches with trajectory-level ones. The variance of a rollout's gradient around its task's own
mean, times the steps a rollout takes, is the variance that a fixed number of steps leaves: figures are ratios of
that, tree over trajectory, so below 1 is for forking. Intervals: 95 %, bootstrap over tasks (percentile). With
--out the runs are kept, and go on where they stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rollouts.learning.loop import Settings, collect, origin, save_weights, task_lists
from rollouts.learning.update import Credit, Row, scores_of
from rollouts.policies.mutation.weights import vector

Floats = NDArray[np.float64]
RESAMPLES = 4000


@dataclass(frozen=True)
class Measured:
    """One kind of credit, task by task."""

    variance: Floats  #: (tasks,): of a rollout's gradient, summed over features scaled to equal information
    advantage: Floats  #: (tasks,): of the advantage of a choice
    steps: Floats  #: (tasks,): mean environment steps of a rollout
    choices: Floats  #: (tasks,): mean choices of a rollout that have an advantage


def measure(out: Path, tasks: int, repeats: int, seed: int) -> list[dict[str, Any]]:
    """Ratios with their intervals, and what they are made of."""
    settings = replace(Settings(), seed=seed, training=tasks, held_out=1)
    training, _ = task_lists(out, settings, lambda text: None)
    weights = out / "weights.json"
    save_weights(weights, vector(origin(settings)))
    runs = {
        arm: [collect(settings, training, weights, arm, k, out / f"{arm}-{k}") for k in range(repeats)]
        for arm in ("tree", "group")
    }
    names = sorted({rows[0]["task_id"] for run in runs["tree"] for rows in run})
    scale = _scale([rollout for run in runs["group"] for rollout in run])
    tree, group = (_measured(runs[arm], names, arm, scale) for arm in ("tree", "group"))
    rng = np.random.default_rng(seed)
    chosen = [np.arange(len(names)), *rng.integers(0, len(names), (RESAMPLES, len(names)))]

    def row(name: str, figure: Callable[[Measured, Any], float]) -> dict[str, Any]:
        ratios = [figure(tree, at) / figure(group, at) for at in chosen]
        low, high = np.percentile(ratios[1:], (2.5, 97.5))
        return {"measure": name, "ratio": ratios[0], "ci": [low, high], "tasks": len(names)}

    def at_equal_steps(m: Measured, at: Any) -> float:
        return float(m.variance[at].mean() * m.steps[at].mean())

    def mean_advantage(m: Measured, at: Any) -> float:
        return float(m.advantage[at].mean() * m.steps[at].mean() / m.choices[at].mean())

    return [
        row("variance of the gradient at equal steps, tree / trajectory", at_equal_steps),
        row("variance of the mean advantage at equal steps, tree / trajectory", mean_advantage),
        row("steps of a rollout, tree / trajectory", lambda m, at: float(m.steps[at].mean())),
        row("choices with an advantage of a rollout", lambda m, at: float(m.choices[at].mean())),
    ]


def _scale(rollouts: Sequence[list[Row]]) -> Floats:
    """1 / standard deviation of each feature's score, so that no feature counts for its unit; 0 where unseen."""
    spread = scores_of(rollouts, "group").scores.std(axis=0)
    scale: Floats = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
    return scale


def _measured(
    runs: Sequence[Sequence[list[Row]]], names: Sequence[str], arm: Credit, scale: Floats
) -> Measured:
    found = [{rows[0]["task_id"]: rows for rows in run} for run in runs]
    lines = []
    for name in names:
        rollouts = [run[name] for run in found if name in run]
        scores = [scores_of([rows], arm) for rows in rollouts]
        gradients = np.array([(s.advantages @ s.scores) * scale for s in scores])
        values = np.concatenate([s.advantages for s in scores])
        lines.append(
            (
                gradients.var(axis=0, ddof=1).sum() if len(rollouts) > 1 else np.nan,
                values.var() if len(values) else 0.0,
                np.mean([len(rows) for rows in rollouts]),
                np.mean([len(s.advantages) for s in scores]),
            )
        )
    return Measured(*np.array(lines, dtype=float).T)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.repeats < 2 or given.tasks < 2:
        parser.error("--repeats and --tasks: at least 2 each, for a variance and an interval")
    with tempfile.TemporaryDirectory() as directory:
        rows = measure(given.out or Path(directory), given.tasks, given.repeats, given.seed)
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        low, high = row["ci"]
        print(f"{row['measure']:<66} {row['ratio']:.2f}  ({low:.2f} to {high:.2f}), {row['tasks']} tasks")


if __name__ == "__main__":
    main()
