"""Which pairs to ask a judge about next: the winner or the whole order at a fraction of a round robin's price.

A schedule is asked for questions until it has none left; the answers so far go in with each call. All questions
of one round may be asked at once. A question is one pair; whoever asks it in both orders pays two calls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Protocol

import numpy as np

from .bradley_terry import fit
from .checks import number, whole
from .errors import BudgetTooSmall, EmptyGroup
from .records import Comparison

CALLS = 2  #: of a judge for one question: both orders
#: How often one pair is asked at most where repeats are one vote: a judge's bias about a pair does not average out.
MAX_SAMPLES = 2


@dataclass(frozen=True)
class Question:
    """Compare two candidates. `sample` is 0 for the first time, 1 when the same pair is asked again."""

    first: int
    second: int
    sample: int = 0

    @property
    def pair(self) -> tuple[int, int]:
        """The two, smaller index first."""
        return min(self.first, self.second), max(self.first, self.second)


class Schedule(Protocol):
    """Decides what is asked. Holds its own state: one object for one group."""

    @property
    def stop(self) -> str:
        """Why there are no more questions; "" while there are."""
        ...

    def next(self, answers: Sequence[Comparison]) -> list[Question]:
        """The next round, given all answers so far; empty when it is over. Answers may be missing or invalid."""
        ...


def round_robin_calls(n: int) -> int:
    """Calls of a judge that compares every pair once, in both orders."""
    n = whole(n, "candidates")
    return CALLS * n * (n - 1) // 2


def max_samples(repeat_correlation: float) -> int:
    """How often one pair may be asked: without a bound where further answers about it add something."""
    number(repeat_correlation, "repeat_correlation", 0.0, 1.0)
    return MAX_SAMPLES if repeat_correlation >= 1.0 else 10**9


def halving_calls(n: int, repeat_correlation: float = 1.0) -> int:
    """Calls after which halving finds a candidate within 0.5 sd of the best nine times in ten.

    For strengths ~ N(0, 1) and a judge that is right about a random pair with probability 0.75; lines through
    measured points (`scripts/bench_judge.py` prints them) for repeats that are one vote and for independent
    ones, and between them in proportion. Never more than a round robin: so many it takes up to 8 candidates.
    """
    n = whole(n, "candidates")
    number(repeat_correlation, "repeat_correlation", 0.0, 1.0)
    size = math.log2(max(n, 2))
    one_vote, independent = max(1.5, 5.0 - 0.47 * size), max(1.2, 3.17 - 0.257 * size)
    pairs = math.ceil(n * (independent + repeat_correlation * (one_vote - independent)))
    return min(CALLS * pairs, round_robin_calls(n))


class Halving:
    """Successive halving: for the best of n. The weaker half of the field is dropped after every round.

    Each of the ceil(log2 n) rounds spends a share of the budget in proportion to the square root of its
    field's size: in Swiss order (equals meet) where repeats of a pair are one vote, else at random and as
    often as the budget allows. When a small field has asked all its pairs, its members meet the best of those
    already out. Karnin, Koren and Somekh, ICML 2013, for the scheme; Bradley-Terry on all answers so far
    decides who stays.
    """

    def __init__(
        self, n: int, calls: int | None = None, *, seed: int = 0, repeat_correlation: float = 1.0
    ) -> None:
        """`calls`: of the judge, two a question; default `halving_calls(n)`. `repeat_correlation`: see `win_matrix`.

        Raises `EmptyGroup`, and `BudgetTooSmall` below what one question for every loser takes.
        """
        n = whole(n, "candidates")
        check_calls(n, calls, least=n - 1)
        self._n = n
        self._left = (halving_calls(n, repeat_correlation) if calls is None else calls) // CALLS
        self._rho, self._most = repeat_correlation, max_samples(repeat_correlation)
        self._rng = np.random.default_rng(seed)
        self._asked: Counter[tuple[int, int]] = Counter()
        self._theta = np.zeros(n)
        self._components: Sequence[int] = range(n)
        self.field = list(range(n))  #: who can still be best
        self._begun = self._bridged = False
        self.stop = ""

    def next(self, answers: Sequence[Comparison]) -> list[Question]:
        """See `Schedule`."""
        if self.stop:
            return []
        if self._begun:
            fitted = fit(self._n, answers, start=self._theta, repeat_correlation=self._rho)
            self._theta, self._components = np.asarray(fitted.theta), fitted.components
            self.field = self._best_first()[: _half(len(self.field))]
        self._begun = True
        if len(self.field) == 1:
            bridges = [] if self._bridged else self._bridges()
            self._bridged = True
            self.stop = "" if bridges else "one left"
            return bridges
        if self._left < 1:
            self.stop = "budget"
            return []
        return self._play()

    def _best_first(self) -> list[int]:
        """The field by strength. Of equals, by chance, but first of all one from each group that nothing links to
        those before: whoever stays links its group without a question of its own."""
        strength = [round(float(theta), 9) for theta in self._theta]
        order = sorted(self.field, key=lambda i: (-strength[i], self._rng.random()))
        linked: set[int] = set()
        found: list[int] = []
        for _, equals in groupby(order, key=strength.__getitem__):
            later: list[int] = []
            for i in equals:
                (later if self._components[i] in linked else found).append(i)
                linked.add(self._components[i])
            found += later
        return found

    def _play(self) -> list[Question]:
        sizes = [len(self.field)]
        while sizes[-1] > 2:
            sizes.append(_half(sizes[-1]))
        share = math.sqrt(sizes[0]) / sum(map(math.sqrt, sizes))
        kept = len({*self._components}) - 1 if len(sizes) == 1 else 0  # for groups that nothing links
        questions = self._round(max(1, round((self._left - kept) * share)))
        self._left -= len(questions)
        if not questions:
            self.stop = "every pair asked"
        return questions

    def _bridges(self) -> list[Question]:
        """The winner against the best of every group that no comparison links to it, as far as the calls reach."""
        groups: dict[int, list[int]] = {}
        for i, label in enumerate(self._components):
            groups.setdefault(label, []).append(i)
        others = [group for group in groups.values() if self.field[0] not in group]
        strongest = [max(group, key=lambda i: self._theta[i]) for group in others]
        return [ask((self.field[0], i), self._asked) for i in strongest[: self._left]]

    def _round(self, wanted: int) -> list[Question]:
        round_: list[Question] = []
        while len(round_) < wanted:
            order = self._theta if self._rho >= 1.0 else np.zeros(self._n)
            wave = swiss_pairs(self.field, order, self._asked, self._most, self._rng)
            wave = wave or self._against_those_out()
            if not wave:
                break
            for pair in wave[: wanted - len(round_)]:
                round_.append(ask(pair, self._asked))
        return round_

    def _against_those_out(self) -> list[tuple[int, int]]:
        out = sorted(set(range(self._n)) - set(self.field), key=lambda i: -self._theta[i])
        met = {i: sum(count for pair, count in self._asked.items() if i in pair) for i in self.field}
        for i in sorted(self.field, key=lambda i: met[i]):
            for j in out:
                if self._asked[min(i, j), max(i, j)] < self._most:
                    return [(i, j)]
        return []


class Swiss:
    """For the whole order: in every round each candidate meets one of about its own strength it has not met."""

    def __init__(
        self, n: int, calls: int | None = None, *, seed: int = 0, repeat_correlation: float = 1.0
    ) -> None:
        """`calls` default to n log2 n, two a question. No pair is asked twice, so that `repeat_correlation` is idle.

        Raises `EmptyGroup`, `BudgetTooSmall`.
        """
        n = whole(n, "candidates")
        check_calls(n, calls, least=n - 1)
        self._n = n
        self._left = (math.ceil(n * math.log2(max(n, 2))) if calls is None else calls) // CALLS
        self._rng = np.random.default_rng(seed)
        self._asked: Counter[tuple[int, int]] = Counter()
        self.stop = "one left" if n == 1 else ""

    def next(self, answers: Sequence[Comparison]) -> list[Question]:
        """See `Schedule`."""
        if self._left < 1 and not self.stop:
            self.stop = "budget"
        if self.stop:
            return []
        theta = np.asarray(fit(self._n, answers).theta)
        pairs = swiss_pairs(range(self._n), theta, self._asked, 1, self._rng)[: self._left]
        if not pairs:
            self.stop = "every pair asked"
        self._left -= len(pairs)
        return [ask(pair, self._asked) for pair in pairs]


class RoundRobin:
    """Every pair once, all at once."""

    def __init__(
        self, n: int, calls: int | None = None, *, seed: int = 0, repeat_correlation: float = 1.0
    ) -> None:
        """No pair is asked twice: `repeat_correlation` is idle.

        Raises `EmptyGroup`, and `BudgetTooSmall` when `calls` do not pay for all pairs.
        """
        n = whole(n, "candidates")
        check_calls(n, calls, least=n * (n - 1) // 2)
        self._questions = [Question(i, j) for i, j in combinations(range(n), 2)]
        np.random.default_rng(seed).shuffle(self._questions)
        self.stop = "" if self._questions else "one left"

    def next(self, answers: Sequence[Comparison]) -> list[Question]:
        """See `Schedule`."""
        found, self._questions = self._questions, []
        if not found:
            self.stop = self.stop or "every pair asked"
        return found


def swiss_pairs(
    field: Iterable[int],
    theta: Sequence[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    asked: Counter[tuple[int, int]],
    samples: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """A matching of the field: neighbours in strength (equals by chance) that were asked less than `samples` times."""
    order = list(field)
    rng.shuffle(order)
    order.sort(key=lambda i: -theta[i])
    pairs = []
    while len(order) > 1:
        first = order.pop(0)
        for place, second in enumerate(order):
            if asked[min(first, second), max(first, second)] < samples:
                pairs.append((first, order.pop(place)))
                break
    return pairs


def ask(pair: tuple[int, int], asked: Counter[tuple[int, int]]) -> Question:
    """The question about a pair, counted."""
    question = Question(*pair)
    question = Question(*pair, sample=asked[question.pair])
    asked[question.pair] += 1
    return question


def _half(size: int) -> int:
    return math.ceil(size / 2) if size > 2 else 1


def check_calls(n: int, calls: int | None, least: int) -> None:
    """Raise `EmptyGroup`, or `BudgetTooSmall` when `calls` do not pay for so many questions."""
    if whole(n, "candidates") < 1:
        raise EmptyGroup("a group of 0 candidates has no pairs")
    if calls is not None and whole(calls, "calls") < CALLS * least:
        raise BudgetTooSmall(
            f"{calls} calls for {n} candidates: it takes at least {CALLS * least} ({CALLS} for each question)"
        )
