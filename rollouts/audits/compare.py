"""`rollouts compare`: what two runs have in common, and the figures of each comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from ranking.compare import PairedComparison, compare
from ranking.errors import RankingError, UnpairedKeys
from ranking.multiple import holm
from ranking.paired_power import POWER, Spread, tasks_needed
from ranking.pairing import By, Key, Outcome

from ..errors import ConfigError
from ..records import BranchRecord
from ..store import RunStore

Metric = Literal["solved", "reward"]

#: Seeds a task that a plan is told for.
PLANNED_SEEDS = (1, 2, 4, 8)
#: Share of the variance of paired differences between tasks, where no run says: what policies give whose effect
#: differs between tasks by about one logit.
ASSUMED_ICC = 0.1
#: Tasks from which on the share that runs show is taken as it is: its standard error is below 0.1 by then.
ENOUGH_TASKS = 50


@dataclass(frozen=True)
class RunOutcomes:
    """The outcomes of one run, keyed by task and seed."""

    path: Path
    run_id: str
    policy: str  #: policies and models, as the records name them
    outcomes: tuple[tuple[Key, Outcome], ...]
    digests: dict[str, str]  #: of each task
    truncated: int  #: ended by their budget; not solved, not missing
    forked: int  #: left out: they share steps with another branch, and are no independent seeds
    problems: tuple[str, ...]  #: lines of the run that cannot be read
    verify: str = ""  #: how branches were verified, as the config says
    stopped: int = 0  #: rollouts that a rule ended early, told by their rates without the bias of that


@dataclass(frozen=True)
class RunComparison:
    """`second` against `first`."""

    name_a: str
    name_b: str
    first: RunOutcomes
    second: RunOutcomes
    metric: Metric
    result: PairedComparison
    p_adjusted: float  #: Holm, over all comparisons of this call; p itself when there is one

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        r = self.result
        figures = asdict(r)
        spread, together = figures.pop("spread"), figures.pop("simultaneous_pp")
        return {
            "run_a": str(self.first.path),
            "run_b": str(self.second.path),
            "run_id_a": self.first.run_id,
            "run_id_b": self.second.run_id,
            "policy_a": self.first.policy,
            "policy_b": self.second.policy,
            "metric": self.metric,
            **figures,
            "p_adjusted": self.p_adjusted,
            "ci_low_simultaneous_pp": together[0] if together else r.ci_low_pp,
            "ci_high_simultaneous_pp": together[1] if together else r.ci_high_pp,
            "sign_survives_missing": r.sign_survives,
            "icc": spread["icc"] if spread else None,
            "n_truncated_a": self.first.truncated,
            "n_truncated_b": self.second.truncated,
            "n_forked_left_out_a": self.first.forked,
            "n_forked_left_out_b": self.second.forked,
            "tasks": [{"task_id": each.pop("task"), **each} for each in map(dict, figures["tasks"])],
        }


@dataclass(frozen=True)
class PlanRow:
    """What finding a difference takes with so many seeds a task."""

    seeds: int
    tasks: int | None  #: None: impossible at this discordance
    branches: int | None  #: of each run


@dataclass(frozen=True)
class DesignPlan:
    """How many tasks find a difference in 80 % of cases, and what that rests on."""

    delta_pp: float
    spread: Spread
    basis: str  #: where the spread comes from, in words
    rows: tuple[PlanRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "delta_pp": self.delta_pp,
            "power": POWER,
            "discordant": self.spread.discordance,
            "variance": self.spread.variance,
            "icc": self.spread.icc,
            "basis": self.basis,
            "rows": [asdict(row) for row in self.rows],
        }


def read_outcomes(path: Path, metric: Metric, by: By = "seed") -> RunOutcomes:
    """A run's outcomes: solved as 1 or 0, or the reward; None where the machinery failed.

    A branch's seed is the one that was asked for, else its number. A rollout that a rule ended early (`stop:`) has
    a biased rate; by task it comes in with the rate free of that bias. Raises `ConfigError` when it is no run, or
    an unfinished one, when it has two versions of one task, nothing but forked branches, or ended early and is to be
    paired by seed.
    """
    outcomes: list[tuple[Key, Outcome]] = []
    digests: dict[str, str] = {}
    policies: set[str] = set()
    truncated = forked = 0
    with RunStore.open(path) as store:
        for record in store.branches():
            if record.lineage.parent is not None:
                forked += 1
                continue
            task_id = record.task.task_id
            if digests.setdefault(task_id, record.task.digest) != record.task.digest:
                raise ConfigError(f"{path}: task {task_id} changed while the run was going; it is two tasks")
            outcomes.append(((task_id, _seed(record)), _outcome(record, metric)))
            truncated += record.result.ending == "truncated"
            policies.add(" ".join(filter(None, (record.sampling.policy, record.sampling.model))))
        _check_finished(store)
        rates = _rates_after_a_stop(store)
        problems, run_id = tuple(map(str, store.problems)), store.run_id
        verify = _verification(store)
    if rates and (by == "seed" or metric != "solved"):
        raise ConfigError(
            f"{path}: a rule that looks at outcomes ended {len(rates)} of its rollouts early (`stop:`), which biases "
            "their rates; --tasks-only with --metric solved takes them without that bias"
        )
    if rates:
        outcomes = [(key, value) for key, value in outcomes if key[0] not in rates]
        outcomes += [((task_id, 0), rate) for task_id, rate in rates.items()]
    if not outcomes:
        raise ConfigError(f"{path}: no finished branch{' that was not forked' if forked else ''} to compare")
    return RunOutcomes(
        path,
        run_id,
        ", ".join(sorted(policies)),
        tuple(outcomes),
        digests,
        truncated,
        forked,
        problems,
        verify,
        len(rates),
    )


def _check_finished(store: RunStore) -> None:
    """The branches that end first are no random sample of all."""
    kinds = [event.get("kind") for event in store.events()]
    started = len(kinds) - 1 - kinds[::-1].index("batch_started") if "batch_started" in kinds else -1
    if started >= 0 and "batch_finished" not in kinds[started:]:
        raise ConfigError(f"{store.path}: the run is not finished; run its command again with the same --out")


def _rates_after_a_stop(store: RunStore) -> dict[str, float]:
    """task -> its pass rate without the bias of the stop."""
    rules = {r.task_id: r.stopping for r in store.rankings().values() if r.stopping is not None}
    return {
        task_id: float(rule["rate_unbiased"])
        for task_id, rule in rules.items()
        if rule["stop"] and not rule["reason"].startswith("cap") and rule["rate_unbiased"] is not None
    }


def _verification(store: RunStore) -> str:
    """What of the config decides how a branch is judged, as text."""
    try:
        config = yaml.safe_load(store.config_text)
        found = {key: value for key, value in config["verify"].items() if key != "confirm"}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return ""
    return json.dumps(found, sort_keys=True)


def compare_runs(paths: Sequence[Path], metric: Metric = "solved", by: By = "seed") -> list[RunComparison]:
    """Every other run against the first, on the same tasks and, by default, seeds.

    p-values are corrected for their number (Holm), intervals told beside a simultaneous one (Bonferroni).
    Raises `ConfigError` for fewer than two runs, a run given twice, and what cannot be paired.
    """
    if len(paths) < 2:
        raise ConfigError("give two runs to compare: the first is what the others are compared with")
    runs = [read_outcomes(path, metric, by) for path in paths]
    for place, run in enumerate(runs):
        for earlier in runs[:place]:
            if run.path.samefile(earlier.path) or run.run_id == earlier.run_id:
                raise ConfigError(
                    f"{earlier.path} and {run.path} are one run ({run.run_id}): it equals itself"
                )
    names = _names(runs)
    first = runs[0]
    results = []
    for other in runs[1:]:
        _check_same_tasks(first, other)
        if first.verify and other.verify and first.verify != other.verify:
            raise ConfigError(
                f"{first.path} and {other.path}: their branches were not verified the same way ({first.verify} and "
                f"{other.verify}), so their rates say different things"
            )
        try:
            results.append(compare(first.outcomes, other.outcomes, by=by, comparisons=len(runs) - 1))
        except UnpairedKeys as error:
            same = first.digests.keys() == other.digests.keys()
            mend = "; --tasks-only compares task means" if same else "; compare runs of the same tasks"
            raise ConfigError(f"{first.path} and {other.path}: {error}{mend}") from None
        except RankingError as error:
            raise ConfigError(f"{first.path} and {other.path}: {error}") from None
    adjusted = holm([result.p for result in results])
    return [
        RunComparison(names[0], name, first, other, metric, result, p)
        for name, other, result, p in zip(names[1:], runs[1:], results, adjusted, strict=True)
    ]


def plan_from_runs(
    delta_pp: float, found: RunComparison, discordant: float | None, icc: float | None
) -> DesignPlan:
    """From the spread that two runs show; `discordant` and `icc` override it. Raises `ConfigError`."""
    result = found.result
    seen = result.spread
    words = [f"seen in {result.n_pairs} pairs of {result.n_tasks} tasks"]
    share = discordant
    if share is None and result.b is not None and result.c is not None and found.metric == "solved":
        share = (result.b + result.c) / result.n_pairs
    if icc is None and seen is not None and result.n_tasks >= ENOUGH_TASKS:
        icc = seen.icc
    elif icc is None:  # what few tasks say is mostly chance, and 0 would promise too much of seeds
        icc = max(ASSUMED_ICC, seen.icc if seen else 0.0)
        words += [f"at least {ASSUMED_ICC:.0%} between tasks assumed, for these runs hardly tell"]
    if share:
        return _plan(delta_pp, _assumed(share, icc), ", ".join(words))
    if seen is None or seen.variance <= 0.0:
        raise ConfigError("--plan: these runs show no spread to plan with; give --discordant")
    return _plan(delta_pp, Spread(seen.variance, icc), ", ".join(words))


def plan_from_assumptions(delta_pp: float, discordant: float | None, icc: float | None) -> DesignPlan:
    """Without runs. Raises `ConfigError` when the share of discordant pairs is not given, or impossible."""
    if discordant is None:
        raise ConfigError("--plan without runs needs --discordant, the share of pairs that will differ: 0.3")
    return _plan(delta_pp, _assumed(discordant, ASSUMED_ICC if icc is None else icc), "assumed")


def _plan(delta_pp: float, spread: Spread, basis: str) -> DesignPlan:
    if not 0.0 < delta_pp <= 100.0:
        raise ConfigError(f"--plan {delta_pp:g}: percentage points above 0 and at most 100")
    rows = []
    for seeds in PLANNED_SEEDS:
        tasks = tasks_needed(delta_pp / 100.0, spread, seeds)
        rows.append(PlanRow(seeds, tasks, None if tasks is None else tasks * seeds))
    return DesignPlan(delta_pp, spread, basis, tuple(rows))


def _assumed(discordant: float, icc: float) -> Spread:
    try:
        return Spread.assumed(discordant, icc)
    except ValueError as error:
        raise ConfigError(f"--discordant {discordant:g}, --icc {icc:g}: {error}") from None


def _outcome(record: BranchRecord, metric: Metric) -> Outcome:
    if record.missing:
        return None
    return float(record.result.ending == "solved") if metric == "solved" else record.result.reward


def _seed(record: BranchRecord) -> str:
    seed = record.sampling.requested.seed
    return f"branch {record.lineage.index}" if seed is None else f"seed {seed}"


def _check_same_tasks(first: RunOutcomes, other: RunOutcomes) -> None:
    for task_id in sorted(first.digests.keys() & other.digests.keys()):
        one, two = first.digests[task_id], other.digests[task_id]
        if one != two:
            raise ConfigError(
                f"task {task_id} is not the same in {first.path} (digest {one[:12]}) and {other.path} "
                f"({two[:12]}): its files changed; run both on one version"
            )


def _names(runs: Sequence[RunOutcomes]) -> list[str]:
    """The directories' names, or their paths where names repeat."""
    short = [run.path.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]
