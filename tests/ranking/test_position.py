"""Bradley-Terry with a bias for the first place."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ranking import Comparison, NonFiniteScore, UnknownCandidate, fit, fit_position, ordered_wins

OUTCOMES = ("first", "second", "tie")
SWAP = {"first": "second", "second": "first", "tie": "tie"}


@st.composite
def groups(draw: st.DrawFn) -> tuple[int, list[Comparison]]:
    n = draw(st.integers(2, 6))
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] != p[1])
    drawn = draw(st.lists(st.tuples(pairs, st.sampled_from(OUTCOMES)), max_size=15))
    return n, [Comparison(i, j, outcome, f"judge {k}") for k, ((i, j), outcome) in enumerate(drawn)]


def played(strength, bias, rng, per_pair=1):
    found = []
    for copy, (i, j) in itertools.product(range(per_pair), itertools.combinations(range(len(strength)), 2)):
        first, second = (i, j) if rng.random() < 0.5 else (j, i)
        wins = rng.random() < 1 / (1 + math.exp(-(strength[first] - strength[second] + bias)))
        found.append(Comparison(first, second, "first" if wins else "second", f"judge {copy}"))
    return found


@settings(max_examples=25, deadline=None)
@given(groups())
def test_the_strengths_are_the_maximum_that_a_general_optimiser_finds(group):
    n, comparisons = group
    wins = ordered_wins(n, comparisons)

    def objective(x):
        lead = x[:n, None] - x[None, :n] + x[n]
        lost = wins.first * np.logaddexp(0, -lead) + wins.second * np.logaddexp(0, lead)
        return lost.sum() + x[:n] @ x[:n] / 2 + x[n] ** 2 / 2

    expected = minimize(objective, np.zeros(n + 1), method="BFGS", options={"gtol": 1e-8}).x
    found = fit_position(n, comparisons)
    for i, j in itertools.combinations(range(n), 2):
        if found.strengths.components[i] == found.strengths.components[j]:
            assert found.strengths.difference(i, j)[0] == pytest.approx(expected[i] - expected[j], abs=1e-4)


@pytest.mark.parametrize("outcomes", [("first",), ("first", "first", "tie"), ("second",) * 4])
def test_the_bias_is_its_posterior_mean_and_spread_over_all_strengths(outcomes):
    grid = np.linspace(-8, 8, 401)
    gap, bias = np.meshgrid(grid, grid)  # the gap of two strengths has variance 2
    log_density = -(gap**2) / 4 - bias**2 / 2
    for outcome in outcomes:
        share = {"first": 1.0, "second": 0.0, "tie": 0.5}[outcome]
        log_density -= share * np.logaddexp(0, -gap - bias) + (1 - share) * np.logaddexp(0, gap + bias)
    weight = np.exp(log_density)
    mean = (weight * bias).sum() / weight.sum()
    sd = ((weight * (bias - mean) ** 2).sum() / weight.sum()) ** 0.5
    found = fit_position(2, [Comparison(0, 1, each, f"judge {k}") for k, each in enumerate(outcomes)])
    assert (found.bias, found.se) == pytest.approx((mean, sd), abs=0.02)


@settings(max_examples=30, deadline=None)
@given(groups(), st.randoms(use_true_random=False))
def test_relabelling_changes_nothing_and_turning_every_order_turns_the_bias(group, random):
    n, comparisons = group
    label = list(range(n))
    random.shuffle(label)
    moved = [Comparison(label[c.first], label[c.second], c.outcome, c.source) for c in comparisons]
    random.shuffle(moved)
    turned = [Comparison(c.second, c.first, SWAP[c.outcome], c.source) for c in comparisons]
    before, after, mirrored = (fit_position(n, each) for each in (comparisons, moved, turned))
    assert after.strengths.theta[label] == pytest.approx(before.strengths.theta, abs=1e-8)
    assert (after.bias, after.se) == pytest.approx((before.bias, before.se), abs=1e-8)
    assert mirrored.bias == pytest.approx(-before.bias, abs=1e-8)
    assert mirrored.strengths.theta == pytest.approx(before.strengths.theta, abs=1e-8)


def test_a_biased_judge_is_seen_through():
    rng = np.random.default_rng(3)
    strength = rng.normal(size=20)
    found = fit_position(20, played(strength, 1.5, rng, per_pair=2))
    assert abs(found.bias - 1.5) < 3 * found.se < 0.6
    assert found.first_wins == pytest.approx(1 / (1 + math.exp(-found.bias)))


def test_intervals_cover_bias_and_differences_as_often_as_they_say():
    rng = np.random.default_rng(4)
    bias_covered, covered, total = 0, 0, 0
    for _ in range(90):
        strength, bias = rng.normal(size=8), rng.normal()
        found = fit_position(8, played(strength, bias, rng))
        bias_covered += abs(found.bias - bias) < 1.96 * found.se
        for i, j in itertools.combinations(range(8), 2):
            gap, se = found.strengths.difference(i, j)
            covered += abs(gap - (strength[i] - strength[j])) < 1.96 * se
            total += 1
    assert 0.89 < bias_covered / 90 < 1.0
    assert 0.93 < covered / total < 0.97


def test_both_orders_asked_leave_the_strengths_as_they_are_without_the_parameter():
    answers = [Comparison(0, 1, "first"), Comparison(1, 0, "first"), Comparison(1, 2, "first")]
    assert ordered_wins(3, answers).matrix.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    even = fit_position(2, answers[:2])
    assert even.strengths.theta == pytest.approx([0, 0], abs=1e-12)
    assert even.bias > 0
    assert fit(2, answers[:2]).theta == pytest.approx([0, 0], abs=1e-12)


def test_repeats_in_one_order_are_one_vote_and_invalid_ones_none():
    repeated = [Comparison(0, 1, "first")] * 3 + [Comparison(0, 1, "invalid")]
    wins = ordered_wins(2, repeated)
    assert wins.first.tolist() == [[0, 1], [0, 0]]
    assert (wins.used, wins.invalid) == (3, 1)


def test_impossible_input_is_a_named_error():
    with pytest.raises(NonFiniteScore, match="position_sd"):
        fit_position(2, [], position_sd=0.0)
    with pytest.raises(UnknownCandidate):
        fit_position(2, [Comparison(0, 2, "first")])
