"""What credit by forks does to the noise of the policy gradient, at the same number of environment steps.

    python scripts/bench_credit.py [--out DIR] [--tasks 16] [--repeats 3] [--seed 0] [--json]

Every task is rolled out `repeats` times from the base weights as a tree (two branches, each forked into two more
after its first edit that failed), and as often as four independent branches. Step advantages on the trees are held
against trajectory-level ones on the same trees, and against those of the independent branches. The gradient is
that of one choice: the mean of advantage times score. Its variance is the one between the repeats of a task,
times the steps they took, so that equal steps are compared. Figures are ratios: below 1 speaks for the step
advantages. Intervals: 95 %, bootstrap over tasks (percentile). With --out the runs are kept and gone on with.
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

from rollouts.learning.loop import ARMS, Settings, collect, origin, save_weights, task_lists
from rollouts.learning.update import Credit, Row, scores_of
from rollouts.policies.mutation.weights import vector

Floats = NDArray[np.float64]
RESAMPLES = 4000


@dataclass(frozen=True)
class Measured:
    """One kind of credit on one kind of rollout; all arrays of shape (tasks,)."""

    gradient: Floats  #: variance of a rollout's summed gradient, over features scaled to equal information
    advantage: Floats  #: variance of the advantages of its choices
    steps: Floats  #: mean environment steps of a rollout
    choices: Floats  #: mean choices of a rollout that have an advantage


def measure(out: Path, tasks: int, repeats: int, seed: int) -> list[dict[str, Any]]:
    """Ratios with their intervals. Raises what runs raise."""
    settings = replace(Settings(), seed=seed, training=tasks, held_out=1)
    settings = replace(settings, branches={"tree": 2, "group": 4}, fork={"at": "recovery", "branches": 2})
    training, _ = task_lists(out, settings, lambda text: None)
    weights = out / "weights.json"
    save_weights(weights, vector(origin(settings)))
    trees, independent = (
        [collect(settings, training, weights, arm, k, out / f"{arm}-{k}") for k in range(repeats)]
        for arm in ARMS
    )
    names = sorted(set.intersection(*({r[0]["task_id"] for r in run} for run in (*trees, *independent))))
    scale = _scale([rollout for run in independent for rollout in run])
    by_step, same = (_measured(trees, names, credit, scale) for credit in ARMS)
    apart = _measured(independent, names, "group", scale)
    rng = np.random.default_rng(seed)
    samples = [np.arange(len(names)), *rng.integers(0, len(names), (RESAMPLES, len(names)))]

    def row(name: str, figure: Callable[[Measured, Any], float], against: Measured) -> dict[str, Any]:
        ratios = [figure(by_step, at) / figure(against, at) for at in samples]
        low, high = np.percentile(ratios[1:], (2.5, 97.5))
        return {"measure": name, "ratio": ratios[0], "ci": [low, high], "tasks": len(names)}

    return [
        row("advantage, variance: same trees", _advantage, same),
        row("gradient, variance: same trees", _gradient, same),
        row("advantage, variance: independent branches", _advantage, apart),
        row("gradient, variance at equal steps: independent branches", _gradient, apart),
        row("choices learned from, per step: independent branches", _density, apart),
    ]


def _advantage(m: Measured, at: Any) -> float:
    return float(m.advantage[at].mean())


def _gradient(m: Measured, at: Any) -> float:
    """Of one choice; for so many rollouts as take a fixed number of steps."""
    return float(m.gradient[at].mean() * m.steps[at].mean() / m.choices[at].mean() ** 2)


def _density(m: Measured, at: Any) -> float:
    return float(m.choices[at].mean() / m.steps[at].mean())


def _scale(rollouts: Sequence[list[Row]]) -> Floats:
    """1 / standard deviation of each feature's score, so that no feature counts for its unit; 0 where unseen."""
    spread = scores_of(rollouts, "group").scores.std(axis=0)
    scale: Floats = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
    return scale


def _measured(
    runs: Sequence[Sequence[list[Row]]], names: Sequence[str], credit: Credit, scale: Floats
) -> Measured:
    found = [{rows[0]["task_id"]: rows for rows in run} for run in runs]
    lines = []
    for name in names:
        rollouts = [run[name] for run in found]
        scores = [scores_of([rows], credit) for rows in rollouts]
        gradients = np.array([(s.advantages @ s.scores) * scale for s in scores])
        values = np.concatenate([s.advantages for s in scores])
        lines.append(
            (
                gradients.var(axis=0, ddof=1).sum(),
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
    parser.add_argument("--tasks", type=int, default=16)
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
        print(f"{row['measure']:<58} {row['ratio']:.2f}  ({low:.2f} to {high:.2f}), {row['tasks']} tasks")


if __name__ == "__main__":
    main()
