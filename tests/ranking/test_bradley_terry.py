"""Bradley-Terry through choix: agreement with it where it is right, and what it does not do."""

from __future__ import annotations

import itertools
import math

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import Comparison, EmptyGroup, NonFiniteScore, UnknownCandidate, fit, win_matrix

OUTCOMES = st.sampled_from(["first", "second", "tie"])


@st.composite
def groups(draw: st.DrawFn, max_n: int = 7) -> tuple[int, list[Comparison]]:
    n = draw(st.integers(2, max_n))
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] != p[1])
    weights = st.sampled_from([1.0, 0.5, 1 / 3, 0.7183])
    sources = st.sampled_from(["objective", "judge"])
    drawn = draw(st.lists(st.tuples(pairs, OUTCOMES, weights, sources), max_size=20))
    return n, [Comparison(i, j, outcome, source, weight) for (i, j), outcome, weight, source in drawn]


def test_it_is_the_maximum_that_choix_finds_with_the_priors_true_variance():
    data = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 1), (2, 0)]
    for sd in (0.5, 1.0, 2.0):
        expected = choix.opt_pairwise(4, data, alpha=1 / (2 * sd**2), tol=1e-10)
        ours = fit(4, [Comparison(i, j, "first") for i, j in data], prior_sd=sd)
        assert ours.theta == pytest.approx(expected, abs=1e-6)
    documented = choix.opt_pairwise(4, data, alpha=1.0)  # what its documentation says is variance 1
    assert np.abs(fit(4, [Comparison(i, j, "first") for i, j in data]).theta - documented).max() > 0.01


@settings(max_examples=40, deadline=None)
@given(groups())
def test_the_gradient_vanishes_and_the_covariance_is_the_inverse_of_a_numerical_hessian(group):
    n, comparisons = group
    fitted = fit(n, comparisons)
    wins = win_matrix(n, comparisons).matrix

    def objective(theta):
        gap = theta[:, None] - theta[None, :]
        return (wins * np.logaddexp(0, -gap)).sum() + theta @ theta / 2

    h, unit = 1e-4, np.eye(n)
    gradient = [(objective(fitted.theta + h * e) - objective(fitted.theta - h * e)) / (2 * h) for e in unit]
    assert np.abs(gradient).max() < 1e-6
    hessian = np.array(
        [
            [
                (
                    objective(fitted.theta + h * (a + b))
                    - objective(fitted.theta + h * (a - b))
                    - objective(fitted.theta - h * (a - b))
                    + objective(fitted.theta - h * (a + b))
                )
                / (4 * h * h)
                for b in unit
            ]
            for a in unit
        ]
    )
    cov = np.linalg.inv(hessian)
    for i, j in itertools.combinations(range(n), 2):
        if fitted.components[i] == fitted.components[j]:
            expected = math.sqrt(cov[i, i] + cov[j, j] - 2 * cov[i, j])
            assert fitted.difference(i, j)[1] == pytest.approx(expected, rel=1e-4)


def test_the_dense_start_of_large_groups_leads_to_the_same_optimum():
    rng = np.random.default_rng(5)
    strength = rng.normal(size=90)
    wins = np.zeros((90, 90))
    for i, j in itertools.combinations(range(90), 2):
        i_wins = rng.random() < 1 / (1 + math.exp(strength[j] - strength[i]))
        wins[(i, j) if i_wins else (j, i)] += 2.0  # 8,010 wins: over what is handed to choix as a list
    large = fit(90, wins)
    data = [(i, j) for i, j in np.argwhere(wins > 0) for _ in range(2)]
    listed = choix.opt_pairwise(90, data, alpha=0.5, initial_params=large.theta, tol=1e-9)
    assert large.theta == pytest.approx(listed, abs=1e-5)


def test_a_tie_is_half_a_win_for_both():
    assert win_matrix(2, [Comparison(0, 1, "tie")]).matrix.tolist() == [[0, 0.5], [0.5, 0]]
    assert fit(2, [Comparison(0, 1, "tie")]).theta.tolist() == [0, 0]


def test_repeats_of_one_question_in_either_order_are_one_vote():
    once = win_matrix(2, [Comparison(0, 1, "first", "judge")]).matrix
    repeated = [Comparison(0, 1, "first", "judge")] * 3 + [Comparison(1, 0, "second", "judge")] * 2
    assert win_matrix(2, repeated).matrix.tolist() == once.tolist()
    both_orders_disagree = [Comparison(0, 1, "first", "judge"), Comparison(1, 0, "first", "judge")]
    assert win_matrix(2, both_orders_disagree).matrix.tolist() == [[0, 0.5], [0.5, 0]]


def test_different_sources_add_up_and_invalid_answers_are_no_vote():
    wins = win_matrix(
        2, [Comparison(0, 1, "first", "a"), Comparison(0, 1, "first", "b"), Comparison(0, 1, "invalid", "c")]
    )
    assert wins.matrix[0, 1] == 2
    assert (wins.used, wins.invalid) == (2, 1)


def test_an_undefeated_candidate_has_a_finite_strength_and_a_chain_is_symmetric():
    theta = fit(4, [Comparison(0, 1, "first"), Comparison(1, 2, "first"), Comparison(2, 3, "first")]).theta
    assert np.isfinite(theta).all()
    assert theta == pytest.approx(-theta[::-1], abs=1e-9)
    assert (np.diff(theta) < 0).all()


def test_candidates_never_compared_are_in_components_of_their_own_without_a_difference():
    fitted = fit(5, [Comparison(0, 1, "first"), Comparison(2, 3, "first")])
    assert fitted.components == (0, 0, 1, 1, 2)
    assert math.isnan(fitted.difference(0, 2)[0])
    assert fitted.difference(0, 1)[0] > 0


@settings(max_examples=60, deadline=None)
@given(groups(), st.randoms(use_true_random=False))
def test_relabelling_and_reordering_change_nothing(group, random):
    n, comparisons = group
    label = list(range(n))
    random.shuffle(label)
    swap = {"first": "second", "second": "first", "tie": "tie"}
    moved = [
        Comparison(label[c.second], label[c.first], swap[c.outcome], c.source, c.weight) for c in comparisons
    ]
    random.shuffle(moved)
    assert fit(n, moved).theta[label] == pytest.approx(fit(n, comparisons).theta, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(groups())
def test_one_more_win_never_lowers_a_candidate_against_anybody(group):
    n, comparisons = group
    before = fit(n, comparisons).theta
    after = fit(n, [*comparisons, Comparison(0, 1, "first", "another")]).theta
    assert after[0] > before[0] - 1e-9
    assert (after[0] - after >= before[0] - before - 1e-9).all()


@pytest.mark.parametrize(
    "bad", [Comparison(-1, 0, "first"), Comparison(0, 2, "tie"), Comparison(1, 1, "first")]
)
def test_indices_outside_the_group_and_self_pairs_are_refused(bad):
    with pytest.raises(UnknownCandidate):
        fit(2, [bad])


def test_impossible_input_is_a_named_error():
    with pytest.raises(EmptyGroup):
        fit(0, [])
    with pytest.raises(NonFiniteScore):
        fit(2, [Comparison(0, 1, "first", weight=math.nan)])
    with pytest.raises(NonFiniteScore):
        fit(2, np.array([[0.0, math.inf], [0.0, 0.0]]))
    with pytest.raises(NonFiniteScore):
        fit(2, [], prior_sd=0.0)


def test_intervals_of_differences_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(11)
    covered = total = 0
    for _ in range(60):
        strength = rng.normal(size=6)
        comparisons = []
        for copy, (i, j) in itertools.product(range(4), itertools.combinations(range(6), 2)):
            first = rng.random() < 1 / (1 + math.exp(strength[j] - strength[i]))
            comparisons.append(Comparison(i, j, "first" if first else "second", f"judge {copy}"))
        fitted = fit(6, comparisons)
        for i, j in itertools.combinations(range(6), 2):
            gap, se = fitted.difference(i, j)
            covered += abs(gap - (strength[i] - strength[j])) < 1.96 * se
            total += 1
    assert 0.92 < covered / total < 0.98
