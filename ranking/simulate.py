"""Worlds whose truth is known, for tests, benchmarks, and for users who want to see what a number can show."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mann_whitney import Stratum
from .pairs import Halving, Question
from .records import Comparison

Array = NDArray[np.float64]


@functools.cache
def sharpness(accuracy: float) -> float:
    """The b for which a judge with P(i over j) = sigmoid(b (s_i - s_j)) is right about a random pair so often.

    Strengths are N(0, 1). Raises `ValueError` unless 0.5 < accuracy < 1.
    """
    if not 0.5 < accuracy < 1.0:
        raise ValueError(f"an accuracy above 0.5 and below 1, not {accuracy}")
    from scipy.integrate import quad
    from scipy.optimize import brentq

    def excess(b: float) -> float:
        # the gap of a random pair is |N(0, 2)|, with density exp(-x^2 / 4) / sqrt(pi) for x > 0
        right, _ = quad(lambda x: math.exp(-x * x / 4) / math.sqrt(math.pi) / (1 + math.exp(-b * x)), 0, 12)
        return float(right) - accuracy

    return float(brentq(excess, 1e-6, 1000.0))


@dataclass(frozen=True)
class JudgedWorld:
    """n candidates with true strengths, and a judge that is right about a random pair with known probability."""

    strengths: NDArray[np.float64]  #: (n,)
    accuracy: float
    position_bias: float = 0.0  #: logits in favour of whoever is shown first

    @classmethod
    def draw(
        cls, n: int, accuracy: float, rng: np.random.Generator, position_bias: float = 0.0
    ) -> JudgedWorld:
        """Strengths from N(0, 1)."""
        return cls(rng.normal(size=n), accuracy, position_bias)

    def answer(self, question: Question, rng: np.random.Generator) -> Comparison:
        """Asked in both orders: agreement decides, disagreement is a tie."""
        gap = sharpness(self.accuracy) * float(
            self.strengths[question.first] - self.strengths[question.second]
        )
        shown_first = rng.random() < 1.0 / (1.0 + math.exp(-(gap + self.position_bias)))
        shown_second = rng.random() < 1.0 / (1.0 + math.exp(-(gap - self.position_bias)))
        if shown_first != shown_second:
            return Comparison(question.first, question.second, "tie", source="judge")
        return Comparison(
            question.first, question.second, "first" if shown_first else "second", source="judge"
        )

    def close_to_best(self, index: int, within: float = 0.5) -> bool:
        """Whether a candidate is the best, or weaker by no more than so many standard deviations."""
        return bool(self.strengths[index] >= self.strengths.max() - within)


def coins(n: int, rng: np.random.Generator, rate: float = 0.5) -> list[bool]:
    """n outcomes of equal candidates."""
    return [bool(outcome) for outcome in rng.random(n) < rate]


def scored_tasks(tasks: int, n: int, rng: np.random.Generator, signal: float = 0.0) -> list[Stratum]:
    """Outcomes are coins; scores are N(signal, 1) for passing and N(0, 1) for failing candidates."""
    found = []
    for _ in range(tasks):
        passed = coins(n, rng)
        found.append(Stratum((rng.normal(size=n) + signal * np.array(passed)).tolist(), passed))
    return found


def verified_tasks(tasks: int, n: int, rng: np.random.Generator) -> list[Stratum]:
    """One run of a verifier on equal candidates."""
    return [Stratum.of_passes(coins(n, rng)) for _ in range(tasks)]


def asked_once(
    i: int, j: int, strengths: Array, rng: np.random.Generator, bias: float = 0.0, source: str = "judge"
) -> Comparison:
    """One call of a judge that follows Bradley-Terry, in a random order; `bias` in logits for the first."""
    first, second = (i, j) if rng.random() < 0.5 else (j, i)
    wins = rng.random() < 1.0 / (1.0 + math.exp(-(strengths[first] - strengths[second] + bias)))
    return Comparison(first, second, "first" if wins else "second", source)


def round_robin(strengths: Array, rng: np.random.Generator, bias: float = 0.0) -> list[Comparison]:
    """Every pair once."""
    return [
        asked_once(i, j, strengths, rng, bias) for i, j in itertools.combinations(range(len(strengths)), 2)
    ]


def ring_with_chords(strengths: Array, rng: np.random.Generator) -> list[Comparison]:
    """Everybody meets the next and the third: four opponents each, from n = 7 on."""
    n = len(strengths)
    pairs = {(min(i, (i + step) % n), max(i, (i + step) % n)) for i in range(n) for step in (1, 3)}
    return [asked_once(i, j, strengths, rng) for i, j in sorted(pairs)]


def successive_halving(strengths: Array, rng: np.random.Generator) -> list[Comparison]:
    """Pairs chosen by the answers, one call a question; a second one about a pair is independent of it."""
    schedule = Halving(len(strengths), seed=int(rng.integers(1 << 30)))
    answers: list[Comparison] = []
    while questions := schedule.next(answers):
        answers += [
            asked_once(q.first, q.second, strengths, rng, source=f"judge {q.sample}") for q in questions
        ]
    return answers


#: Strengths of n candidates by name: the prior of a fit, and truths that are none of its draws.
TRUTHS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "prior": lambda n, rng: rng.normal(size=n),
    "equal": lambda n, rng: np.zeros(n),
    "even from -1.5 to 1.5": lambda n, rng: np.linspace(-1.5, 1.5, n),
    "one stronger by 3": lambda n, rng: np.where(np.arange(n) == 0, 3.0, 0.0),
}
