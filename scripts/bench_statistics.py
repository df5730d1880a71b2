"""Do the numbers hold up: how often evidence is wrong and intervals hold the truth, in simulated worlds.

    python scripts/bench_statistics.py [--runs 2000] [--only NAME] [--json]

False positives: groups whose candidates are all equal; every p-value that the system calls evidence may be
below 0.05 in at most 5 % of them plus two standard errors. Beside it the predecessor's own number, which
ranks and tests by the same outcomes. Coverage: how often a 95 % interval holds the truth, from 0.93 to 0.97.
Strengths are drawn from the prior of the fit, as its intervals assume; fixed truths are told beside it,
without a limit. The last three are the scripts that measure comparisons, claims and contamination on their
own. `--json` prints [{measure, value, limit}]; a limit is an upper bound, or [low, high]. Seeds
are fixed. Ends with 1 when a figure is outside its limit.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking import (
    Comparison,
    EProcess,
    StopRule,
    TopTwo,
    chosen_rate,
    cross_fit,
    false_winner_rate,
    fit,
    fit_position,
    judge_validity,
    mean_ci_by_task,
    pass_at_k_by_task,
    places,
    report_power,
    round_robin_calls,
)
from ranking.montecarlo import BAND, Limit, Measured, coverage, false_positives, mean, share
from ranking.simulate import (
    TRUTHS,
    JudgedWorld,
    coins,
    ring_with_chords,
    round_robin,
    scored_tasks,
    successive_halving,
    verified_tasks,
)

GROUPS = (8, 12, 16, 32, 64)

Array = NDArray[np.float64]
Design = Callable[[Array, np.random.Generator], list[Comparison]]


def blind_judge(runs: int) -> Iterator[Measured]:
    """False positives: a judge's scores are noise, outcomes are coins; one task, and five."""
    for tasks, n in itertools.product((1, 5), GROUPS):
        rng = np.random.default_rng((1, tasks, n))
        found = [judge_validity(scored_tasks(tasks, n, rng), blind=True) for _ in range(runs)]
        name = f"N={n}, {tasks} task{'s' * (tasks > 1)}"
        yield false_positives(f"false positives, blind judge, {name}", [f.discrimination_p for f in found])
        theirs = [f.mcnemar_p_insample for f in found]
        yield false_positives(f"  the predecessor's number, {name}", theirs, limited=False)


def heldout_halves(runs: int) -> Iterator[Measured]:
    """False positives: the predecessor's test of halves, on a second verifier's outcomes."""
    for n in GROUPS:
        rng = np.random.default_rng((2, n))
        found = []
        for _ in range(runs):
            first, second = sorted(coins(n, rng), reverse=True), coins(n, rng)
            found.append(report_power(first, ranked=True, heldout=second).mcnemar_p)
        yield false_positives(f"false positives, halves on held-out outcomes, N={n}", found)


def cross_fitting(runs: int) -> Iterator[Measured]:
    """False positives: two runs of a verifier that passes or fails, and two graded ones."""
    for n in GROUPS:
        rng = np.random.default_rng((3, n))
        for name, draw in (("pass or fail", verified_tasks), ("graded", scored_tasks)):
            found = [cross_fit(draw(3, n, rng), draw(3, n, rng)).p for _ in range(runs)]
            yield false_positives(f"false positives, cross-fit, {name}, N={n}, 3 tasks", found)


def looking_always(runs: int) -> Iterator[Measured]:
    """False positives: an e-process of two equal sides, looked at after every decisive comparison."""
    for n in (*GROUPS, 400):
        rng = np.random.default_rng((4, n))
        found = []
        for _ in range(runs if n <= 64 else runs // 2):
            process = EProcess()
            for win in coins(n, rng):
                process.update(win)
            found.append(process.p)
        yield false_positives(f"false positives, e-process, looked at after each of {n}", found)


def giving_up(runs: int) -> Iterator[Measured]:
    """False positives: futility at a pass rate of exactly 0.1, where "below 0.1" is false."""
    for n in GROUPS:
        rng = np.random.default_rng((5, n))
        rule = StopRule(cap=n, contrast=None)
        stops = [rule.decide(coins(n, rng, 0.1)).reason.endswith("below 0.1") for _ in range(runs // 2)]
        yield false_positives(f"false positives, futility, cap {n}", [0.0 if stop else 1.0 for stop in stops])


def differences(runs: int) -> Iterator[Measured]:
    """Coverage of theta_i - theta_j, by the design that compared them and by the truth."""
    designs: tuple[tuple[str, int, str, Design, Limit], ...] = (
        ("prior", 8, "round robin", round_robin, BAND),
        ("prior", 16, "round robin", round_robin, BAND),
        ("prior", 16, "4 of 15 opponents", ring_with_chords, BAND),
        ("prior", 16, "successive halving", successive_halving, BAND),
        ("equal", 8, "round robin", round_robin, None),
        ("even from -1.5 to 1.5", 8, "round robin", round_robin, None),
        ("one stronger by 3", 8, "round robin", round_robin, None),
    )
    for turn, (truth, n, how, design, limit) in enumerate(designs):
        rng = np.random.default_rng((6, turn))
        found = []
        for _ in range(runs // 2):
            strengths = TRUTHS[truth](n, rng)
            fitted = fit(n, design(strengths, rng))
            found.append(pairs_held(fitted.theta, fitted.cov, strengths))
        yield mean(f"coverage, difference of strengths, n={n}, {how}, truth: {truth}", found, limit)


def first_place(runs: int) -> Iterator[Measured]:
    """Coverage of the bias for the first place, and of the differences beside it."""
    rng = np.random.default_rng(7)
    pairs, bias_held = [], []
    for _ in range(runs // 2):
        strengths, bias = rng.normal(size=8), float(rng.normal())
        found = fit_position(8, round_robin(strengths, rng, bias))
        pairs.append(pairs_held(found.strengths.theta, found.strengths.cov, strengths))
        bias_held.append(abs(found.bias - bias) < 1.96 * found.se)
    yield mean("coverage, difference of strengths, n=8, biased for the first, truth: prior", pairs, BAND)
    yield share("coverage, bias for the first place, n=8, truth: prior", bias_held, BAND)


def ranks(runs: int) -> Iterator[Measured]:
    """Coverage of rank intervals, and whether the leader is best as often as its probability says."""
    limits: tuple[tuple[str, int, Limit], ...] = (
        ("prior", 8, BAND),
        ("prior", 16, BAND),
        ("prior", 32, BAND),
        ("even from -1.5 to 1.5", 8, None),
        ("one stronger by 3", 8, None),
    )
    for turn, (truth, n, limit) in enumerate(limits):
        rng = np.random.default_rng((8, turn))
        found, surprise = [], []
        for _ in range(max(20, 4 * runs // n)):
            strengths = TRUTHS[truth](n, rng)
            where = places(fit(n, round_robin(strengths, rng)))
            true = np.array([(strengths > each).sum() + 1 for each in strengths])
            last = np.array(
                [(strengths >= each).sum() for each in strengths]
            )  # of equals: any of their ranks
            found.append(float(np.mean((np.array(where.low) <= last) & (true <= np.array(where.high)))))
            best = max(range(n), key=lambda i: where.p_best[i] or 0.0)
            surprise.append(float(true[best] == 1) - (where.p_best[best] or 0.0))
        yield mean(f"coverage, rank, n={n}, truth: {truth}", found, limit)
        if limit:
            yield mean(f"  the leader is best, minus p_best, n={n}", surprise)


def over_tasks(runs: int) -> Iterator[Measured]:
    """Coverage of pass rates and pass@4 over tasks with 8 attempts: even, split, and hard ones."""
    for name, a, b in (("even", 2.0, 2.0), ("split", 0.5, 0.5), ("hard", 0.8, 3.2)):
        at_4 = 1.0 - math.exp(sum(math.log((b + i) / (a + b + i)) for i in range(4)))
        for tasks in (10, 20, 50):
            rng = np.random.default_rng((9, tasks, len(name)))
            drawn = [rng.binomial(8, rng.beta(a, b, size=tasks)).tolist() for _ in range(runs)]
            rates = [mean_ci_by_task([[1.0] * c + [0.0] * (8 - c) for c in counts])[1:] for counts in drawn]
            passes = [pass_at_k_by_task([(8, c) for c in counts], 4).rate for counts in drawn]
            of = f"{tasks} tasks, rates from Beta({a:g}, {b:g})"
            limit = BAND if tasks >= 20 else None
            yield coverage(f"coverage, pass rate, {of}", rates, a / (a + b), limit)
            yield coverage(f"coverage, pass@4, {of}", [(r.low, r.high) for r in passes], at_4, limit)


def judges_auc(runs: int) -> Iterator[Measured]:
    """Coverage of the AUC of a judge, over tasks and in a single one."""
    truth = 0.5 * (1.0 + math.erf(0.5))  # scores N(1, 1) for passing, N(0, 1) for failing ones
    for tasks, n in ((20, 8), (50, 8), (1, 32), (1, 64)):
        rng = np.random.default_rng((10, tasks, n))
        found = [judge_validity(scored_tasks(tasks, n, rng, 1.0), blind=True) for _ in range(runs // 2)]
        name = f"coverage, judge's AUC, {tasks} task{'s' * (tasks > 1)} of {n}"
        yield coverage(name, [(f.auc_low, f.auc_high) for f in found], truth)


def chosen(runs: int) -> Iterator[Measured]:
    """The value of the best of 12 by 5 runs each: raw, on 10 held-out runs, and by a model."""
    rng = np.random.default_rng(11)
    raw, again, by_model, held, model_held = [], [], [], [], []
    for turn in range(runs):
        rates = rng.beta(4.0, 4.0, size=12)
        passes = rng.binomial(5, rates)
        best = int(np.argmax(passes))
        rate = float(rates[best])
        found = chosen_rate(passes.tolist(), [5] * 12, best, (int(rng.binomial(10, rate)), 10))
        raw.append(found.raw - rate)
        again.append(found.corrected - rate)
        held.append(found.low <= rate <= found.high)
        if turn % 10 == 0:
            found = chosen_rate(passes.tolist(), [5] * 12, best)
            by_model.append(found.corrected - rate)
            model_held.append(found.low <= rate <= found.high)
    yield share("coverage, rate of the best of 12, held out", held, BAND)
    yield share("coverage, rate of the best of 12, by a model", model_held)
    yield mean("  its raw rate minus the truth", raw)
    yield mean("  its held-out rate minus the truth", again)
    yield mean("  its rate by a model minus the truth", by_model)


def false_winners(runs: int) -> Iterator[Measured]:
    """Coverage of the share of winners that fail when they are verified again, one winner a task."""
    for tasks in (20, 50):
        rng = np.random.default_rng((12, tasks))
        held = []
        for _ in range(runs):
            truth = rng.uniform(0.02, 0.6)
            again = [[passed] for passed in coins(tasks, rng, 1.0 - truth)]
            found = false_winner_rate(again, [[8]] * tasks).rate
            held.append((found.low or 0.0) <= truth <= (found.high or 0.0))
        yield share(f"coverage, false winners, {tasks} tasks", held, BAND)


def after_a_stop(runs: int) -> Iterator[Measured]:
    """Pass rates after a batch that ended at four passes and four fails, or was given up."""
    for rate in (0.1, 0.3, 0.5, 0.8):
        rng = np.random.default_rng((13, int(10 * rate)))
        found = [StopRule().decide(coins(64, rng, rate)) for _ in range(max(20, runs // 2))]
        inside = [each.rate_low <= rate <= each.rate_high for each in found]
        yield share(f"coverage, confidence sequence after a stop, rate {rate:g}", inside, (0.93, 1.0))
        yield mean(f"  raw rate minus {rate:g}", [(each.rate_raw or 0.0) - rate for each in found])
        yield mean(f"  unbiased rate minus {rate:g}", [(each.rate_unbiased or 0.0) - rate for each in found])


def top_two(runs: int) -> Iterator[Measured]:
    """Top two: calls, and whether a leader that ended the questions is within half a sd of the best."""
    for n in (8, 16, 64):
        close, calls = [], []
        for seed in range(max(4, runs // n)):
            rng = np.random.default_rng((14, n, seed))
            world, schedule = JudgedWorld.draw(n, 0.75, rng), TopTwo(n, seed=seed)
            answers: list[Comparison] = []
            while questions := schedule.next(answers):
                answers += [world.answer(question, rng) for question in questions]
            calls.append(2.0 * len(answers))
            if schedule.stop == "bayes":
                close.append(world.close_to_best(schedule.leader))
        yield mean(f"top two, N={n}, calls; a round robin has {round_robin_calls(n)}", calls)
        yield share(f"  ended by its own rule, N={n}", [i < len(close) for i in range(len(calls))])
        if close:
            yield share(f"  nearly the best then, N={n}", close)


def comparisons(runs: int) -> Iterator[Measured]:
    """Two policies: `bench_compare.py`."""
    yield from _of("bench_compare", "measures", runs // 2)


def claims(runs: int) -> Iterator[Measured]:
    """A benchmark's claim: `bench_claim.py`."""
    yield from _of("bench_claim", "false_claims", runs // 2)


def contamination(_runs: int) -> Iterator[Measured]:
    """Evaluation items in training text: `bench_contamination.py`."""
    yield from _of("bench_contamination", "rows", [4000, 20000, 100000])


def _of(script: str, function: str, argument: Any) -> Iterator[Measured]:
    """The rows of a script that stands beside this one."""
    sys.path.insert(0, str(Path(__file__).parent))
    for measure, value, limit, note in getattr(importlib.import_module(script), function)(argument):
        yield Measured(measure, round(value, 4), tuple(limit) if isinstance(limit, list) else limit, note)


#: In the order of the table. A new measure is one function more.
MEASURES: tuple[Callable[[int], Iterator[Measured]], ...] = (
    blind_judge,
    heldout_halves,
    cross_fitting,
    looking_always,
    giving_up,
    differences,
    first_place,
    ranks,
    over_tasks,
    judges_auc,
    chosen,
    false_winners,
    after_a_stop,
    top_two,
    comparisons,
    claims,
    contamination,
)


def pairs_held(theta: Array, cov: Array, strengths: Array) -> float:
    """The share of pairs whose 95 % interval holds the difference."""
    i, j = np.triu_indices(len(strengths), 1)
    se = np.sqrt(cov[i, i] + cov[j, j] - 2.0 * cov[i, j])
    return float(np.mean(np.abs(theta[i] - theta[j] - strengths[i] + strengths[j]) < 1.96 * se))


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, default=2000, help="simulated groups a figure; dear ones take fewer"
    )
    parser.add_argument("--only", choices=[measure.__name__ for measure in MEASURES], help="one measure")
    parser.add_argument("--json", action="store_true", help="print [{measure, value, limit}]")
    options = parser.parse_args()
    rows: list[Measured] = []
    for measure in MEASURES:
        if options.only in (None, measure.__name__):
            rows += measure(max(40, options.runs))
    if options.json:
        print(json.dumps([{"measure": r.measure.strip(), "value": r.value, "limit": r.limit} for r in rows]))
    else:
        show(rows)
    sys.exit(any(row.ok is False for row in rows))


def show(rows: Sequence[Measured]) -> None:
    """A table with a mark at what is outside its limit."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "limit", "Monte Carlo error", "")
    for row in rows:
        ends = row.limit if isinstance(row.limit, tuple) else (None, row.limit)
        limit = "" if ends[1] is None else " to ".join(f"{end:g}" for end in ends if end is not None)
        mark = {None: "", True: "ok", False: "OUTSIDE"}[row.ok]
        table.add_row(row.measure, f"{row.value:g}", limit, row.note, mark)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    main()
