"""What an experiment says: all its figures, one sentence each, and the last line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..audits import RunComparison, headline
from .loop import ARMS, Learned
from .plot import Point, write_plots


def write_report(learned: Learned, out: Path) -> list[Path]:
    """Write `learning.json`, `learning.svg` and `learning.html`; returns their paths."""
    path = out / "learning.json"
    path.write_text(json.dumps(figures(learned), indent=1) + "\n", encoding="utf-8")
    return [path, *write_plots(_curves(learned), _points(learned), sentences(learned), out)]


def figures(learned: Learned) -> dict[str, Any]:
    """Everything that was measured, as JSON data."""
    return {
        "settings": asdict(learned.settings),
        "rounds": [
            {
                "arm": each.arm,
                "round": each.number + 1,
                "pass_rate": each.pass_rate,
                "branches": each.branches,
                "steps": each.steps,
                "learned_steps": each.learned_steps,
                "choices": each.update.choices,
                "gradient_norm": each.update.gradient_norm,
            }
            for each in learned.rounds
        ],
        "learned_steps": {arm: _steps(learned, arm) for arm in ARMS},
        "against_base": {arm: found.as_dict() for arm, found in learned.against_base.items()},
        "tree_against_group": learned.tree_against_group.as_dict(),
        "result": result(learned),
    }


def result(learned: Learned) -> dict[str, Any]:
    """The weights that forks trained against the base, on held-out programs. p is corrected for both arms."""
    found, between = learned.against_base["tree"], learned.tree_against_group.result
    r = found.result
    return {
        "delta_pp": _rounded(r.delta_pp),
        "ci": [_rounded(r.ci_low_pp), _rounded(r.ci_high_pp)],
        "p": found.p_adjusted,
        "mdd_pp": _rounded(r.mdd_pp),
        "n_tasks": r.n_tasks,
        "base": learned.settings.base,
        "pass_rate_base": round(r.mean_a, 4),
        "pass_rate_trained": round(r.mean_b, 4),
        "forks_delta_pp": _rounded(between.delta_pp),
        "forks_ci": [_rounded(between.ci_low_pp), _rounded(between.ci_high_pp)],
        "forks_p": between.p,
    }


def sentences(learned: Learned) -> list[str]:
    """What was found, whichever way it came out."""
    steps = {arm: _steps(learned, arm) for arm in ARMS}
    told = [headline(found) for found in (*learned.against_base.values(), learned.tree_against_group)]
    return [
        *told,
        f"Environment steps learned from: {steps['tree']} with forks, {steps['group']} without. Each was trained "
        "once: the intervals are over programs, not over training runs.",
    ]


def _steps(learned: Learned, arm: str) -> int:
    return sum(each.learned_steps for each in learned.rounds if each.arm == arm)


def _curves(learned: Learned) -> dict[str, Sequence[float]]:
    return {arm: [each.pass_rate for each in learned.rounds if each.arm == arm] for arm in ARMS}


def _points(learned: Learned) -> list[Point]:
    base = learned.against_base["tree"].result.mean_a
    points = [Point("base", base, None, ())]
    for arm, found in learned.against_base.items():
        points.append(_point(arm, base, found))
    return points


def _point(arm: str, base: float, found: RunComparison) -> Point:
    r = found.result
    if r.ci_low_pp is None or r.ci_high_pp is None:
        return Point(arm, r.mean_b, None, (f"{r.delta_pp:+.1f} pp",))
    told = f"{r.delta_pp:+.1f} pp", f"({r.ci_low_pp:+.1f} to {r.ci_high_pp:+.1f})"
    return Point(arm, r.mean_b, (base + r.ci_low_pp / 100, base + r.ci_high_pp / 100), told)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
