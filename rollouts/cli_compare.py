"""`rollouts compare`: two policies, or several against the first, on the same tasks and seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .errors import ConfigError

if TYPE_CHECKING:
    from .audits.compare import DesignPlan, RunComparison


def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="run directories; the others are compared with the first")
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="solved or reward")] = "solved",
    tasks_only: Annotated[
        bool, typer.Option("--tasks-only", help="compare task means: seeds do not correspond")
    ] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="write a picture: .svg, .png or .html")] = None,
    plan: Annotated[
        float | None, typer.Option("--plan", help="how many tasks and seeds find so many pp in 80 % of cases")
    ] = None,
    discordant: Annotated[
        float | None, typer.Option("--discordant", help="for --plan: share of pairs that differ, 0 to 1")
    ] = None,
    icc: Annotated[
        float | None,
        typer.Option("--icc", help="for --plan: share of the variance of differences between tasks, 0 to 1"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare runs of the same tasks and seeds: difference, interval, the test that fits, what it could find.

    Differences are the other run minus the first. Keys that only one side has are an error. With --plan and
    no runs it only plans.
    """
    from .audits import compare_runs, headline, print_comparisons, print_plan

    if metric not in ("solved", "reward"):
        raise ConfigError(f"--metric {metric}: solved or reward")
    if not runs and (plan is None or plot is not None):
        raise ConfigError("give two runs to compare, or --plan DELTA_PP with --discordant")
    if plan is None and (discordant is not None or icc is not None):
        raise ConfigError("--discordant and --icc belong to --plan")
    if plot is not None:
        from .views.compare_plot import check_plot

        check_plot(plot)
    found: list[RunComparison] = []
    if runs:
        found = compare_runs(
            runs, "solved" if metric == "solved" else "reward", "task" if tasks_only else "seed"
        )
    planned = None if plan is None else _plan(plan, found, discordant, icc)
    if plot is not None:
        from .views.compare_plot import Pictured, write_plot

        write_plot([Pictured(f.name_a, f.name_b, headline(f), f.result) for f in found], plot)
    if as_json:
        print(json.dumps(_as_dict(found, planned)))
        return
    console = Console()
    if found:
        print_comparisons(found, console)
    if planned is not None:
        print_plan(planned, console)
    if plot is not None:
        print(plot)


def _plan(
    delta_pp: float, found: list[RunComparison], discordant: float | None, icc: float | None
) -> DesignPlan:
    from .audits import plan_from_assumptions, plan_from_runs

    if len(found) > 1:
        raise ConfigError("--plan goes by the spread of two runs; give two")
    if found:
        return plan_from_runs(delta_pp, found[0], discordant, icc)
    return plan_from_assumptions(delta_pp, discordant, icc)


def _as_dict(found: list[RunComparison], planned: DesignPlan | None) -> dict[str, Any]:
    """One comparison is told flat, several as a list."""
    told: dict[str, Any] = {}
    if len(found) == 1:
        told = found[0].as_dict()
    elif found:
        told = {"comparisons": [each.as_dict() for each in found]}
    return told if planned is None else {**told, "plan": planned.as_dict()}
