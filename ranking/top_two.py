"""Top-two Thompson sampling: the best of n in many short rounds of questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from .bradley_terry import Array, Fit, fit
from .checks import whole
from .pairs import CALLS, Question, ask, check_calls, max_samples, round_robin_calls
from .places import draw_strengths
from .records import Comparison

WITHIN = 0.5  #: standard deviations of the prior below the best that still count as nearly the best
CONFIDENCE = 0.95
_DRAWS = 2000
_PRIOR_SD = 1.0


class TopTwo:
    """For the best of n: whoever a draw from the posterior calls best meets whoever another draw calls best.

    The first round is a random path through all candidates, so that everybody is compared with somebody;
    every further one asks a quarter as many questions as there are candidates. Ends with `stop == "bayes"`
    when the leader is within half a standard deviation of the best with posterior probability 0.95. That
    holds where the judge follows a Bradley-Terry model, each call of it one comparison (agreement of both
    orders is two wins, a tie one for each); it is no guarantee against a judge with a fixed bias about single
    pairs. Russo, Oper. Res. 68 (2020) 1625, for the sampling.
    """

    def __init__(
        self, n: int, calls: int | None = None, *, seed: int = 0, repeat_correlation: float = 1.0
    ) -> None:
        """`calls`: at most; default those of a round robin. `repeat_correlation` below 1 lifts the bound on
        repeats of a pair. Raises `EmptyGroup`, `BudgetTooSmall`."""
        n = whole(n, "candidates")
        check_calls(n, calls, least=n - 1)
        self._n = n
        self._most = max_samples(repeat_correlation)
        self._left = (round_robin_calls(n) if calls is None else calls) // CALLS
        self._rng = np.random.default_rng(seed)
        self._asked: Counter[tuple[int, int]] = Counter()
        self._start = np.zeros(n)
        self._bridged = False
        self.leader = 0  #: strongest so far
        self.p_close = 0.0  #: posterior probability that the leader is nearly the best
        self.stop = "one left" if n == 1 else ""

    def next(self, answers: Sequence[Comparison]) -> list[Question]:
        """See `Schedule`."""
        if self.stop:
            return []
        if not self._asked:
            path = self._rng.permutation(self._n).tolist()
            return self._ask(list(pairwise(path)))
        # Each answer a source of its own: unlike in a ranking, a second one about a pair adds to the first.
        calls = [replace(a, weight=CALLS * a.weight, source=str(k)) for k, a in enumerate(answers)]
        fitted = fit(self._n, calls, _PRIOR_SD, start=self._start)
        self._start = np.asarray(fitted.theta)
        draws = self._draws(fitted)
        self.leader = int(np.argmax(fitted.theta))
        self.p_close = float(np.mean(draws[:, self.leader] >= draws.max(axis=1) - WITHIN * _PRIOR_SD))
        if self._left < 1:
            self.stop = "budget"
        elif self.p_close >= CONFIDENCE:
            return self._finish(fitted)
        pairs = [] if self.stop else self._duels(draws)
        if not pairs and not self.stop:
            self.stop = "every pair asked"
        return self._ask(pairs)

    def _draws(self, fitted: Fit) -> Array:
        """From the posterior. The mean of a component, which a fit leaves out, has its prior's spread."""
        same = np.equal.outer(fitted.components, fitted.components).astype(np.float64)
        cov = fitted.cov + _PRIOR_SD**2 * same / same.sum(axis=1, keepdims=True)
        return draw_strengths(fitted.theta, cov, _DRAWS, self._rng)

    def _duels(self, draws: Array) -> list[tuple[int, int]]:
        wanted = min(self._left, max(1, self._n // 4))
        planned: Counter[tuple[int, int]] = Counter()
        pairs: list[tuple[int, int]] = []
        for row in range(0, _DRAWS - 1, 2):
            if len(pairs) == wanted:
                break
            pair = self._duel(draws[row], draws[row + 1 :], planned)
            if pair is None:
                break
            planned[min(pair), max(pair)] += 1
            pairs.append(pair)
        return pairs

    def _duel(self, first: Array, others: Array, planned: Counter[tuple[int, int]]) -> tuple[int, int] | None:
        """The best of one draw against the best of a later one; a pair that is asked out is passed over."""
        for leader in np.argsort(-first).tolist():
            open_ = np.array([self._open(leader, other, planned) for other in range(self._n)])
            if not open_.any():
                continue
            best = np.argmax(others[:50], axis=1)
            named = [other for other in best.tolist() if other != leader and open_[other]]
            challenger = named[0] if named else int(np.argmax(np.where(open_, first, -np.inf)))
            return leader, challenger
        return None

    def _open(self, i: int, j: int, planned: Counter[tuple[int, int]]) -> bool:
        """At most once a round: the second question about a pair should know the first answer."""
        pair = (min(i, j), max(i, j))
        return i != j and not planned[pair] and self._asked[pair] < self._most

    def _finish(self, fitted: Fit) -> list[Question]:
        """Over; but first the leader meets the best of every group that invalid answers left unlinked."""
        own = fitted.components[self.leader]
        groups = sorted({*fitted.components} - {own})
        if self._bridged or not groups:
            self.stop = "bayes"
            return []
        self._bridged = True
        strongest = [
            max((i for i in range(self._n) if fitted.components[i] == group), key=lambda i: fitted.theta[i])
            for group in groups
        ]
        return self._ask([(self.leader, i) for i in strongest])

    def _ask(self, pairs: Sequence[tuple[int, int]]) -> list[Question]:
        questions = [ask(pair, self._asked) for pair in pairs[: self._left]]
        self._left -= len(questions)
        return questions
