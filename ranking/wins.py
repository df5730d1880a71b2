"""From comparisons to a win matrix: half wins for ties, one vote per pair and source."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checks import number, whole
from .errors import EmptyGroup, RankingError, UnknownCandidate
from .records import Comparison

_FIRST_WINS = {"first": 1.0, "tie": 0.5, "second": 0.0}


@dataclass(frozen=True)
class Wins:
    """`matrix[i, j]` is how often i beat j, in fractions of a comparison. Shape (n, n), zero diagonal."""

    matrix: NDArray[np.float64]
    used: int  #: comparisons that went in
    invalid: int  #: comparisons marked invalid: counted, and no vote for anybody


def win_matrix(n: int, comparisons: Iterable[Comparison], repeat_correlation: float = 1.0) -> Wins:
    """Collect the comparisons of n candidates.

    All comparisons of one pair by one source, in either order, are averaged into one (the mean outcome with
    the mean weight): k samples of one pair share its bias, and counting them as k makes intervals too
    narrow. Different sources add up.

    `repeat_correlation` rho says how much samples of one pair repeat one another: k of them count as
    k / (1 + (k - 1) rho), Kish's effective sample size (Survey Sampling, 1965). 1, one vote, is right where
    nothing is known; 0, k votes, for a source without any bias about single pairs. Raises `EmptyGroup`,
    `UnknownCandidate`, `NonFiniteScore`.
    """
    n = _some(n)
    number(repeat_correlation, "repeat_correlation", 0.0, 1.0)
    samples: dict[tuple[int, int, str], list[tuple[float, float]]] = defaultdict(list)
    used = invalid = 0
    for comparison in comparisons:
        check(n, comparison)
        if comparison.outcome == "invalid":
            invalid += 1
            continue
        low, high = sorted((comparison.first, comparison.second))
        share = _FIRST_WINS[comparison.outcome]
        low_share = share if comparison.first == low else 1.0 - share
        samples[low, high, comparison.source].append((low_share, comparison.weight))
        used += 1
    matrix = np.zeros((n, n))
    for low, high, source in sorted(samples):  # a fixed order of additions: the same bits for any input order
        votes = sorted(samples[low, high, source])
        total = math.fsum(weight for _, weight in votes)
        if total > 0.0:
            # The mean of the votes, as often as they count; with 1 this is 1 / k, without rounding.
            part = 1.0 / (1.0 + (len(votes) - 1) * repeat_correlation)
            low_wins = math.fsum(share * weight for share, weight in votes) * part
            matrix[low, high] += low_wins
            matrix[high, low] += total * part - low_wins
    return Wins(matrix, used, invalid)


@dataclass(frozen=True)
class OrderedWins:
    """Wins by who was shown first: `first[i, j]` and `second[i, j]` are how often i was shown before j, and i
    won, respectively j. Shape (n, n), zero diagonals."""

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    used: int
    invalid: int

    @property
    def matrix(self) -> NDArray[np.float64]:
        """`matrix[i, j]`: how often i beat j, whoever was shown first."""
        total: NDArray[np.float64] = self.first + self.second.T
        return total


def ordered_wins(n: int, comparisons: Iterable[Comparison]) -> OrderedWins:
    """Collect comparisons with the order in which the two were shown; see `win_matrix`.

    Here the comparisons of one pair *in one order* by one source are averaged into one: the two orders are
    two answers, because what one order favours the other does not. Raises as `win_matrix` does.
    """
    n = _some(n)
    shown: dict[tuple[int, int], list[Comparison]] = defaultdict(list)
    given = list(comparisons)
    for comparison in given:
        check(n, comparison)
        shown[comparison.first, comparison.second].append(comparison)
    first, second = np.zeros((n, n)), np.zeros((n, n))
    for (i, j), answers in shown.items():
        one_order = win_matrix(n, answers).matrix
        first[i, j], second[i, j] = one_order[i, j], one_order[j, i]
    invalid = sum(comparison.outcome == "invalid" for comparison in given)
    return OrderedWins(first, second, len(given) - invalid, invalid)


def components(matrix: NDArray[np.float64]) -> tuple[int, ...]:
    """Connected component of each candidate, numbered from 0 by smallest member. Direction does not matter."""
    linked = (matrix + matrix.T) > 0
    label = [-1] * len(matrix)
    found = 0
    for start in range(len(matrix)):
        if label[start] >= 0:
            continue
        label[start] = found
        reach = [start]
        while reach:
            for other in np.flatnonzero(linked[reach.pop()]).tolist():
                if label[other] < 0:
                    label[other] = found
                    reach.append(other)
        found += 1
    return tuple(label)


def _some(n: int) -> int:
    if whole(n, "candidates") < 1:
        raise EmptyGroup("a group of 0 candidates cannot be compared")
    return int(n)


def check(n: int, comparison: Comparison) -> None:
    """Raise `UnknownCandidate`, `NonFiniteScore` or `RankingError` unless it compares two of n candidates."""
    for index in (comparison.first, comparison.second):
        number(index, "candidate of a comparison")
        if not 0 <= index < n or index != int(index):  # choix would let -1 wrap around silently
            raise UnknownCandidate(f"{comparison}: candidate {index} is not one of the {n} (0 to {n - 1})")
    if comparison.first == comparison.second:
        raise UnknownCandidate(f"{comparison}: candidate {comparison.first} is compared with itself")
    if comparison.outcome not in (*_FIRST_WINS, "invalid"):
        raise RankingError(f'{comparison}: the outcome is "first", "second", "tie" or "invalid"')
    number(comparison.weight, f"comparison of {comparison.first} and {comparison.second}: weight", 0.0)
