"""The exact stratified Mann-Whitney test against brute force, scipy and statsmodels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact, mannwhitneyu
from statsmodels.stats.contingency_tables import StratifiedTable

from ranking import NonFiniteScore, Stratum, UnknownCandidate, mann_whitney

SCORES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 7.25])


@st.composite
def strata(draw: st.DrawFn, least: int = 0, most: int = 6) -> Stratum:
    n = draw(st.integers(least, most))
    return Stratum(
        draw(st.lists(SCORES, min_size=n, max_size=n)), draw(st.lists(st.booleans(), min_size=n, max_size=n))
    )


def u_of(scores, passed):
    return sum(
        (a > b) + 0.5 * (a == b)
        for a, p in zip(scores, passed, strict=True)
        for b, q in zip(scores, passed, strict=True)
        if p and not q
    )


def brute_force(tasks):
    """P(sum of U >= observed) over every relabelling inside the strata."""
    sums = {0.0: 1.0}
    for task in tasks:
        n, passes = len(task.scores), sum(task.passed)
        if not 0 < passes < n:
            continue
        chosen = list(itertools.combinations(range(n), passes))
        after: dict[float, float] = {}
        for who in chosen:
            u = u_of(task.scores, [i in who for i in range(n)])
            for total, share in sums.items():
                after[total + u] = after.get(total + u, 0.0) + share / len(chosen)
        sums = after
    observed = sum(u_of(task.scores, task.passed) for task in tasks)
    return sum(share for total, share in sums.items() if total >= observed - 1e-9)


@settings(max_examples=150, deadline=None)
@given(st.lists(strata(), min_size=1, max_size=4))
def test_it_is_the_share_of_all_relabellings_inside_the_strata_ties_included(tasks):
    found = mann_whitney(tasks)
    if found.strata == 0:
        assert (found.p, found.method, found.one_sided) == (None, "none", len(tasks))
        return
    assert found.method == "exact"
    assert found.p == pytest.approx(brute_force(tasks), rel=1e-9)
    assert found.u == sum(u_of(task.scores, task.passed) for task in tasks)
    assert found.strata + found.one_sided == len(tasks)


def test_without_ties_one_stratum_is_scipys_exact_test():
    rng = np.random.default_rng(0)
    for n, passes in ((8, 3), (20, 11), (64, 32)):
        scores, passed = rng.normal(size=n), np.arange(n) < passes
        expected = mannwhitneyu(scores[passed], scores[~passed], alternative="greater", method="exact").pvalue
        assert mann_whitney([Stratum(scores.tolist(), passed.tolist())]).p == pytest.approx(
            expected, rel=1e-9
        )


def test_two_valued_scores_are_fishers_test():
    passed = [True] * 7 + [False] * 9
    score = [1.0] * 5 + [0.0] * 2 + [1.0] * 3 + [0.0] * 6
    table = [[5, 2], [3, 6]]
    assert mann_whitney([Stratum(score, passed)]).p == pytest.approx(
        fisher_exact(table, alternative="greater").pvalue
    )


def test_two_valued_scores_in_strata_are_the_exact_test_that_statsmodels_approximates():
    rng = np.random.default_rng(4)
    tasks = [(rng.random(40) < 0.5, rng.random(40) < 0.5) for _ in range(12)]
    tables = [
        np.array([[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]) for a, b in tasks
    ]
    two_sided = StratifiedTable(tables).test_null_odds(correction=True).pvalue
    log_odds = StratifiedTable(tables).logodds_pooled
    found = mann_whitney([Stratum(a.astype(float).tolist(), b.tolist()) for a, b in tasks]).p
    assert found == pytest.approx(two_sided / 2 if log_odds > 0 else 1 - two_sided / 2, abs=0.03)


def test_too_large_to_count_is_normal_and_says_so_and_agrees_with_the_exact_one():
    rng = np.random.default_rng(1)
    scores = np.round(rng.normal(size=2000), 1)
    passed = rng.random(2000) < 0.5
    found = mann_whitney([Stratum((scores + 0.05 * passed).tolist(), passed.tolist())])
    expected = mannwhitneyu(
        (scores + 0.05 * passed)[passed], (scores + 0.05 * passed)[~passed], alternative="greater"
    ).pvalue
    assert found.method == "normal"
    assert found.p == pytest.approx(expected, abs=1e-6)


def test_a_rare_outcome_is_counted_exactly_in_a_large_group():
    scores = [float(i) for i in range(3000)]
    best = mann_whitney([Stratum(scores, [i == 2999 for i in range(3000)])])
    assert (best.method, best.p) == ("exact", pytest.approx(1 / 3000))


def test_strong_evidence_keeps_its_digits():
    tasks = [Stratum([1.0, 2.0, 3.0, 4.0], [False, False, True, True])] * 40
    assert math.log(mann_whitney(tasks).p) == pytest.approx(40 * math.log(1 / 6))


@settings(max_examples=60, deadline=None)
@given(st.lists(strata(least=2), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_tasks_and_candidates_and_the_scale_of_scores_do_not_matter(tasks, random):
    shuffled = []
    for task in random.sample(tasks, len(tasks)):
        rows = random.sample(list(zip(task.scores, task.passed, strict=True)), len(task.scores))
        shuffled.append(Stratum([3.0 * s - 1.0 for s, _ in rows], [p for _, p in rows]))
    before, after = mann_whitney(tasks), mann_whitney(shuffled)
    assert (after.p, after.u) == (before.p, before.u)


def test_strata_with_one_outcome_contribute_nothing_and_are_counted():
    telling = Stratum([1.0, 0.0, 2.0], [True, False, True])
    silent = [Stratum([1.0, 2.0], [True, True]), Stratum([3.0], [False]), Stratum([], [])]
    found = mann_whitney([telling, *silent])
    assert (found.strata, found.one_sided, found.pairs) == (1, 3, 2)
    assert found.p == mann_whitney([telling]).p


def test_candidates_without_score_or_outcome_are_left_out():
    full = Stratum([1.0, 0.0, 2.0], [True, False, True])
    gaps = Stratum([1.0, None, 0.0, 2.0, 9.0], [True, True, False, True, None])
    assert mann_whitney([gaps]) == mann_whitney([full])


def test_impossible_input_is_a_named_error():
    with pytest.raises(NonFiniteScore, match="None"):
        mann_whitney([Stratum([math.nan, 1.0], [True, False])])
    with pytest.raises(UnknownCandidate, match="2 scores for 1"):
        mann_whitney([Stratum([1.0, 2.0], [True])])
