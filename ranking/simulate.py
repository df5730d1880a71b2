"""Worlds whose truth is known, for tests, benchmarks, and for users who want to see what a number can show."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pairs import Question
from .records import Comparison


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
