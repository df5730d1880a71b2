"""Probability of being best, and intervals for ranks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from ranking import Candidate, Comparison, fit, places, rank


def random_fit(n, seed, per_pair=1):
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=n)
    found = []
    for copy, (i, j) in itertools.product(range(per_pair), itertools.combinations(range(n), 2)):
        wins = rng.random() < 1 / (1 + math.exp(strength[j] - strength[i]))
        found.append(Comparison(i, j, "first" if wins else "second", f"judge {copy}"))
    return strength, found


def test_the_probability_of_being_best_is_the_normal_orthants_of_the_differences():
    _, comparisons = random_fit(5, 1)
    fitted = fit(5, comparisons)
    found = places(fitted)
    for i in range(5):
        others = [j for j in range(5) if j != i]
        contrast = np.zeros((4, 5))
        contrast[range(4), others] = 1
        contrast[:, i] = -1
        expected = multivariate_normal(contrast @ fitted.theta, contrast @ fitted.cov @ contrast.T).cdf(
            np.zeros(4)
        )
        assert found.p_best[i] == pytest.approx(expected, abs=0.015)
    assert sum(found.p_best) == pytest.approx(1.0)


def test_candidates_that_cannot_be_told_apart_are_equally_likely_and_anywhere():
    found = places(fit(4, [Comparison(i, j, "tie") for i, j in itertools.combinations(range(4), 2)]))
    assert found.p_best == pytest.approx([0.25] * 4)
    assert (found.low, found.high) == ((1,) * 4, (4,) * 4)


def test_overwhelming_comparisons_leave_one_rank_to_each():
    chain = [
        Comparison(i, j, "first", f"judge {k}")
        for k in range(400)
        for i, j in itertools.combinations(range(3), 2)
    ]
    found = places(fit(3, chain, prior_sd=3.0))
    assert found.p_best == pytest.approx((1.0, 0.0, 0.0), abs=1e-3)
    assert found.low == found.high == (1, 2, 3)


def test_nothing_orders_candidates_of_different_components():
    found = places(fit(4, [Comparison(0, 1, "first"), Comparison(2, 3, "first")]))
    assert found.p_best == (None,) * 4
    assert found.low == (1, 1, 1, 1)
    assert found.high == (4, 4, 4, 4)
    assert places(fit(1, [])).p_best == (None,)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_relabelling_moves_the_numbers_with_the_candidates(n, seed, random):
    _, comparisons = random_fit(n, seed)
    label = list(range(n))
    random.shuffle(label)
    moved = [Comparison(label[c.first], label[c.second], c.outcome, c.source) for c in comparisons]
    random.shuffle(moved)
    before, after = places(fit(n, comparisons)), places(fit(n, moved))
    assert [after.p_best[k] for k in label] == pytest.approx(list(before.p_best), abs=0.02)
    for i in range(n):
        assert abs(after.low[label[i]] - before.low[i]) <= 1
        assert abs(after.high[label[i]] - before.high[i]) <= 1


def test_the_true_rank_is_in_the_interval_as_often_as_it_says():
    hits = total = 0
    for seed in range(80):
        strength, comparisons = random_fit(10, seed)
        found = places(fit(10, comparisons))
        true = (-strength).argsort().argsort() + 1
        hits += sum(low <= r <= high for low, r, high in zip(found.low, true, found.high, strict=True))
        total += 10
    assert 0.93 < hits / total < 0.985


def test_a_ranking_tells_both_inside_its_tiers():
    ranking = rank([Candidate(False, 0.1), Candidate(True, 1.0, (2.0,)), Candidate(True, 1.0, (1.0,)), None])
    best, second, failing = ranking.order
    assert (best.index, best.rank_low, best.rank_high) == (2, 1, 2)
    assert best.p_best + second.p_best == pytest.approx(1.0)
    assert best.p_best > 0.5
    assert (failing.p_best, failing.rank_low, failing.rank_high) == (None, None, None)
    three = rank([Candidate(True)] + [Candidate(False, score) for score in (0.1, 0.2, 0.3)])
    assert all(line.rank_low >= 2 and line.rank_high <= 4 for line in three.order if line.tier == 1)
    assert rank([Candidate(True)] * 2, []).order[0].p_best is None
