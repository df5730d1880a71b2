"""Unbiased pass@k and best-of-k, against enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking import (
    EmptyGroup,
    NonFiniteScore,
    UnknownCandidate,
    best_of_k,
    pass_at_k,
    pass_at_k_by_task,
)


@given(st.integers(1, 60), st.data())
def test_pass_at_k_is_one_minus_the_share_of_draws_without_a_pass(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert pass_at_k(n, c, k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k), abs=1e-12)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_pass_at_k_is_unbiased(rate):
    n = 10
    for k in (1, 3, 10):
        mean = sum(
            math.comb(n, c) * rate**c * (1 - rate) ** (n - c) * pass_at_k(n, c, k) for c in range(n + 1)
        )
        assert mean == pytest.approx(1 - (1 - rate) ** k)


def test_pass_at_k_keeps_its_digits_with_a_million_attempts():
    assert pass_at_k(1_000_000, 1, 1) == pytest.approx(1e-6, rel=1e-12)
    assert pass_at_k(1_000_000, 500_000, 2) == pytest.approx(0.75, abs=1e-6)


def test_the_interval_of_pass_at_k_is_over_tasks_and_short_tasks_are_counted():
    found = pass_at_k_by_task([(8, 0), (8, 4), (8, 8), (2, 1)], 4)
    expected = np.mean([0.0, pass_at_k(8, 4, 4), 1.0])
    assert found.rate.value == pytest.approx(expected)
    assert (found.rate.n, found.too_few, found.k) == (3, 1, 4)
    assert found.rate.low < expected < found.rate.high
    assert pass_at_k_by_task([(1, 1)], 2).rate.value is None


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-5, 5)), min_size=1, max_size=7), st.data())
def test_best_of_k_is_the_mean_over_all_draws_with_ties_by_lot(rows, data):
    k = data.draw(st.integers(1, len(rows)))
    draws = []
    for drawn in itertools.combinations(rows, k):
        top = max(score for score, _ in drawn)
        draws.append(np.mean([value for score, value in drawn if score == top]))
    found = best_of_k([float(s) for s, _ in rows], [v for _, v in rows], k)
    assert found == pytest.approx(np.mean(draws), abs=1e-9)


def test_best_of_k_by_the_outcome_itself_is_pass_at_k():
    passed = [1.0] * 3 + [0.0] * 7
    assert best_of_k(passed, passed, 4) == pytest.approx(pass_at_k(10, 3, 4))


def test_impossible_input_is_a_named_error():
    with pytest.raises(NonFiniteScore, match="more attempts"):
        pass_at_k(4, 2, 5)
    with pytest.raises(NonFiniteScore):
        pass_at_k(4, 5, 1)
    with pytest.raises(EmptyGroup):
        pass_at_k_by_task([], 1)
    with pytest.raises(EmptyGroup):
        best_of_k([], [], 1)
    with pytest.raises(UnknownCandidate):
        best_of_k([1.0], [1.0, 2.0], 1)
    with pytest.raises(NonFiniteScore):
        best_of_k([math.inf], [1.0], 1)
    with pytest.raises(NonFiniteScore):
        best_of_k([1.0], [1.0], 2)
