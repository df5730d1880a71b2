"""Measures of `ranking.compare`: coverage, false positives, power, speed.

Usage: bench_compare.py [--runs 1000] [--json]

Worlds have a known truth: task difficulties N(mu, 1.5 logits), a policy's effect on a task N(effect, het
logits), S seeds a task. Every simulated figure carries its Monte Carlo error (SE). Intervals of one seed are
summed exactly over all tables; there the methods that were not chosen stand beside the one that was.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, stdtrit, xlogy

from ranking import (
    bootstrap_t_interval,
    compare,
    difference_ci_by_task,
    mcnemar_exact,
    mean_ci_by_task,
    tango,
    tasks_needed,
    wilson,
)

Flags = NDArray[np.bool_]
Limit = tuple[float, float] | float | None
Row = tuple[str, float, Limit, str]

COVERAGE = (0.93, 0.97)
ALPHA = 0.05
FEW = (10, 1)  #: tasks and seeds of which there are too few possible tables for any method to come near 0.95
SPREAD = 1.5  #: of task difficulty, logits
#: Discordant shares, and differences as a part of them, for one seed.
SHARES, PARTS = (0.1, 0.2, 0.3, 0.4, 0.5), (0.0, 0.25, 0.5, 0.75)


class World(NamedTuple):
    """Tasks, seeds, and what is true."""

    tasks: int
    seeds: int
    effect: float  #: mean effect of the second policy, logits
    het: float  #: its standard deviation over tasks
    mu: float = 0.0

    def draw(self, rng: np.random.Generator, seeds_b: int | None = None) -> tuple[Flags, Flags]:
        """Outcomes of both policies, (tasks, seeds). Without effect the two are exchangeable."""
        first, second = self._rates(rng, self.tasks)
        a = rng.random((self.tasks, self.seeds)) < first[:, None]
        return a, rng.random((self.tasks, seeds_b or self.seeds)) < second[:, None]

    @functools.cache  # noqa: B019 (a handful of worlds)
    def truth(self) -> tuple[float, float]:
        """(mean rate of the second policy, difference), over all possible tasks."""
        first, second = self._rates(np.random.default_rng(0), 2_000_000)
        return float(second.mean()), float((second - first).mean()) if self.effect else 0.0

    def _rates(self, rng: np.random.Generator, tasks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        level = rng.normal(self.mu, SPREAD, tasks)
        half = (self.effect + self.het * rng.normal(size=tasks)) / 2
        return expit(level - half), expit(level + half)


def side(outcomes: Flags) -> dict[tuple[int, int], float]:
    """As `compare` takes it."""
    return {(task, seed): float(value) for (task, seed), value in np.ndenumerate(outcomes)}


def one_seed_coverage() -> Iterator[Row]:
    """Exact coverage of intervals for one seed a task, over shares of discordant pairs and differences."""
    for n in (20, 50, 200):
        b, c = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
        inside = b + c <= n
        b, c = b[inside], c[inside]
        for name, method in ONE_SEED.items():
            ends = np.array([method(n, int(x), int(y)) for x, y in zip(b, c, strict=True)])
            found = [
                float(_tables(n, b, c, share, share * part)[_covers(ends, share * part)].sum())
                for share in SHARES
                for part in PARTS
            ]
            usual = found[len(PARTS) :]  # shares from 0.2 on; rarer pairs are told in the note
            chosen = name == "tango"
            note = f"exact; {min(usual):.3f} to {max(usual):.3f}; at 10 % discordant {min(found[:4]):.3f} to {max(found[:4]):.3f}"
            limit = COVERAGE if chosen else None
            yield f"coverage, one seed, {n} tasks, {name}", sum(usual) / len(usual), limit, note


def _tables(
    n: int, b: NDArray[np.int64], c: NDArray[np.int64], share: float, delta: float
) -> NDArray[np.float64]:
    equal = n - b - c
    ways = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(equal + 1)
    drawn = xlogy(b, (share - delta) / 2) + xlogy(c, (share + delta) / 2) + xlogy(equal, 1 - share)
    return np.asarray(np.exp(ways + drawn))


def _covers(ends: NDArray[np.float64], truth: float) -> Flags:
    return np.asarray((ends[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[:, 1]))


def _bonett_price(n: int, b: int, c: int) -> tuple[float, float]:
    first, second = (b + 1) / (n + 2), (c + 1) / (n + 2)
    half = 1.959964 * math.sqrt((first + second - (second - first) ** 2) / (n + 2))
    return second - first - half, second - first + half


def _t(n: int, b: int, c: int) -> tuple[float, float]:
    delta = (c - b) / n
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt(((b + c) / n - delta**2) / (n - 1))
    return delta - half, delta + half


def _newcombe(n: int, b: int, c: int) -> tuple[float, float]:
    """Newcombe's tenth method, for concordant pairs of which 60 % pass."""
    both = round(0.6 * (n - b - c))
    neither = n - b - c - both
    rate_b, rate_a = (both + c) / n, (both + b) / n
    (low_b, high_b), (low_a, high_a) = wilson(both + c, n) or (0, 1), wilson(both + b, n) or (0, 1)
    scale = math.sqrt(float((both + b) * (c + neither) * (both + c) * (b + neither)))
    product = float(both * neither - b * c)
    product = max(product - n / 2, 0.0) if product > 0 else product
    phi = product / scale if scale else 0.0

    def reach(mine: float, other: float) -> float:
        return math.sqrt(max(0.0, mine**2 - 2 * phi * mine * other + other**2))

    delta = rate_b - rate_a
    return delta - reach(rate_b - low_b, high_a - rate_a), delta + reach(high_b - rate_b, rate_a - low_a)


ONE_SEED: dict[str, Callable[[int, int, int], tuple[float, float]]] = {
    "tango": lambda n, b, c: tango(n, b, c) or (-1.0, 1.0),
    "newcombe": _newcombe,
    "bonett-price": _bonett_price,
    "t": _t,
}


def clustered_coverage(runs: int) -> Iterator[Row]:
    """Coverage of the interval that `compare` chooses; the bootstrap stands beside it."""
    for tasks in (10, 20, 50, 200):
        for seeds in (1, 4):
            for het in (0.0, 1.5):
                world = World(tasks, seeds, 0.6, het)
                truth, rng = 100 * world.truth()[1], np.random.default_rng([tasks, seeds, int(het)])
                covered, booted, method = 0, 0, ""
                for run in range(runs):
                    found = compare(*map(side, world.draw(rng)))
                    assert found.ci_low_pp is not None and found.ci_high_pp is not None
                    covered += found.ci_low_pp <= truth <= found.ci_high_pp
                    method = found.interval
                    if seeds > 1 and tasks <= 50:
                        differences = [
                            line.delta_pp / 100 for line in found.tasks if line.delta_pp is not None
                        ]
                        low, high = bootstrap_t_interval(differences, run, resamples=600) or (-1.0, 1.0)
                        booted += 100 * low <= truth <= 100 * high
                name = f"coverage of differences, {tasks} tasks, {seeds} seeds, het {het}"
                beside = f"; bootstrap-t {booted / runs:.3f}" if seeds > 1 and tasks <= 50 else ""
                limit = None if (tasks, seeds) == FEW else COVERAGE
                yield name, covered / runs, limit, f"{method}, {_error(0.95, runs)}{beside}"


def sign_flip_coverage(runs: int) -> Iterator[Row]:
    """The interval that inverts the sign flips, below 20 tasks, and how often it contradicts their test.

    Beside it the t interval, which is as near to 0.95 and does contradict it.
    """
    contradictions = 0
    for tasks in (8, 10, 15, 19):
        for seeds in (4, 8):
            for het in (0.0, 1.5):
                world = World(tasks, seeds, 0.6, het)
                truth, rng = world.truth()[1], np.random.default_rng([tasks, seeds, int(het), 3])
                covered = by_t = 0
                for _ in range(runs):
                    found = compare(*map(side, world.draw(rng)))
                    assert found.ci_low_pp is not None and found.ci_high_pp is not None
                    covered += found.ci_low_pp <= 100 * truth <= found.ci_high_pp
                    contradictions += (found.ci_low_pp > 0 or found.ci_high_pp < 0) != (found.p < ALPHA)
                    differences = [line.delta_pp / 100 for line in found.tasks if line.delta_pp is not None]
                    low, high = difference_ci_by_task(differences) or (-1.0, 1.0)
                    by_t += low <= truth <= high
                name = f"coverage of sign flips, {tasks} tasks, {seeds} seeds, het {het}"
                note = f"{_error(0.95, runs)}; t {by_t / runs:.3f}"
                yield name, covered / runs, COVERAGE if tasks >= 10 else None, note
    yield "intervals of sign flips that contradict their p", float(contradictions), 0.0, f"of {16 * runs}"


def rate_coverage(runs: int) -> Iterator[Row]:
    """Coverage of `mean_ci_by_task`, over worlds of hard and easy tasks."""
    for tasks in (10, 20, 50, 200):
        for seeds in (1, 8):
            shares = []
            for mu, het in ((0.0, 0.0), (2.0, 0.0), (0.0, 3.0), (2.0, 3.0), (3.0, 1.0)):
                world = World(tasks, seeds, 0.0, het, mu)
                rate, rng = world.truth()[0], np.random.default_rng([tasks, seeds, int(mu), int(het)])
                covered = 0
                for _ in range(runs):
                    _, low, high = mean_ci_by_task(world.draw(rng)[1].astype(float).tolist())
                    covered += low is not None and high is not None and low <= rate <= high
                shares.append(covered / runs)
            note = f"{min(shares):.3f} to {max(shares):.3f} over 5 worlds, {_error(0.95, 5 * runs)}"
            limit = None if (tasks, seeds) == FEW else COVERAGE
            name = f"coverage of rates over tasks, {tasks} tasks, {seeds} seeds"
            yield name, float(np.mean(shares)), limit, note


def false_positives(runs: int) -> Iterator[Row]:
    """Share of p < 0.05 when the mean effect is 0, of the test that `compare` chooses."""
    limit = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    for tasks, seeds, het in (
        *((10, 4, 1.5), (20, 1, 0.0), (20, 1, 1.5), (20, 8, 0.0), (20, 8, 1.5), (50, 1, 1.5)),
        *((50, 4, 1.5), (50, 8, 1.5), (200, 1, 0.0), (200, 4, 1.5)),
    ):
        world, rng = World(tasks, seeds, 0.0, het), np.random.default_rng([tasks, seeds, int(het), 1])
        found = [compare(*map(side, world.draw(rng))) for _ in range(runs)]
        wrong = sum(each.p < ALPHA for each in found) / runs
        pooled = sum((each.p_exact_pooled or 0.0) < ALPHA for each in found) / runs
        note = f"{found[0].test}, {_error(ALPHA, runs)}; pooled exact McNemar {pooled:.3f}"
        yield f"false positives, {tasks} tasks, {seeds} seeds, het {het}", wrong, limit, note
    world, rng = World(30, 4, 0.0, 1.5), np.random.default_rng(30)
    wrong = sum(compare(*map(side, world.draw(rng, 9)), by="task").p < ALPHA for _ in range(runs)) / runs
    note = f"sign_flip, {_error(ALPHA, runs)}"
    yield "false positives, tasks only, 30 tasks, 4 and 9 seeds, het 1.5", wrong, limit, note
    worst = max(
        float(_tables(n, b, c, share, 0.0)[p < ALPHA].sum())
        for n, b, c, p in map(_mid_p_tables, range(10, 61, 5))
        for share in np.linspace(0.02, 1.0, 50)
    )
    yield "size of mid-p McNemar, worst over 10 to 60 pairs", worst, 0.065, "exact; its documented worst case"


def _mid_p_tables(
    n: int,
) -> tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    from ranking import mcnemar_mid_p

    b, c = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    b, c = b[b + c <= n], c[b + c <= n]
    return n, b, c, np.array([mcnemar_mid_p(int(x), int(y)) for x, y in zip(b, c, strict=True)])


def planned_power(runs: int) -> Iterator[Row]:
    """Power at the number of tasks that `tasks_needed` names for 80 %."""
    for seeds, het in ((1, 0.0), (2, 1.5), (4, 1.5)):
        world = World(2000, seeds, 1.0, het)
        rng = np.random.default_rng([seeds, 2])
        pilot = compare(*map(side, World(2000, max(2, seeds), 1.0, het).draw(rng)))
        assert pilot.spread is not None
        delta = world.truth()[1]
        needed = tasks_needed(delta, pilot.spread, seeds)
        assert needed is not None
        planned = world._replace(tasks=needed)
        found = sum(compare(*map(side, planned.draw(rng))).p < ALPHA for _ in range(runs)) / runs
        note = f"{needed} tasks for {100 * delta:.1f} pp, {_error(0.8, runs)}"
        yield f"power as planned, {seeds} seeds, het {het}", found, (0.75, 0.85), note


def speed() -> Iterator[Row]:
    """Exact McNemar over a million items."""
    mcnemar_exact(1, 2)  # scipy's import is not what is measured
    times = []
    for _ in range(5):
        start = time.perf_counter()
        mcnemar_exact(100_000, 100_500)
        times.append(time.perf_counter() - start)
    yield "exact McNemar, a million items, 20 % discordant, s", sorted(times)[2], 0.1, "median of 5"


def measures(runs: int = 1000) -> Iterator[Row]:
    """All of them: (measure, value, limit, note); a pair of limits is a range, a number an upper one."""
    yield from speed()
    yield from one_seed_coverage()
    yield from clustered_coverage(runs)
    yield from sign_flip_coverage(runs)
    yield from rate_coverage(runs)
    yield from false_positives(runs)
    yield from planned_power(runs)


def holds(value: float, limit: Limit) -> bool:
    """Whether a value is within its limit."""
    if limit is None:
        return True
    return limit[0] <= value <= limit[1] if isinstance(limit, tuple) else value <= limit


def _error(p: float, runs: int) -> str:
    return f"SE {math.sqrt(p * (1 - p) / runs):.4f}"


def main() -> None:
    """Print all measures; ends with 1 when one is outside its limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="simulated worlds for each figure")
    parser.add_argument("--json", action="store_true", help="print [{measure, value, limit, note}]")
    options = parser.parse_args()
    rows = []
    for measure, value, limit, note in measures(options.runs):
        rows.append({"measure": measure, "value": round(value, 4), "limit": limit, "note": note})
        if not options.json:
            mark = " " if holds(value, limit) else "!"
            print(f"{mark} {measure:<66} {value:8.4f}  {limit or ''}  {note}", flush=True)
    if options.json:
        print(json.dumps(rows))
    if not all(holds(row["value"], row["limit"]) for row in rows):  # type: ignore[arg-type]
        raise SystemExit(1)


if __name__ == "__main__":
    main()
