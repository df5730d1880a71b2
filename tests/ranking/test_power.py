"""Intervals, power and paired tests against scipy and published numbers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, fisher_exact

from ranking import mcnemar_exact, mcnemar_mid_p, min_detectable_delta_pp, report_power, wilson
from ranking.power import _fisher_rejections


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case):
    passes, n = case
    expected = binomtest(passes, n).proportion_ci(method="wilson")
    assert wilson(passes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_unknown_and_impossible_counts_are_refused():
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(5, 4)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_the_exact_binomial_test(b, c):
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b)


def test_mcnemar_gives_the_published_numbers():
    assert mcnemar_exact(21, 41) == pytest.approx(0.0151, abs=5e-5)
    assert mcnemar_exact(29, 27) == pytest.approx(0.8939, abs=5e-5)


def test_mid_p_takes_half_the_weight_of_the_observed_table():
    low, n = 4, 18
    expected = 2 * binom.cdf(low - 1, n, 0.5) + binom.pmf(low, n, 0.5)
    assert mcnemar_mid_p(4, 14) == pytest.approx(expected)
    assert mcnemar_mid_p(0, 5) == pytest.approx(2 * 0.5**5 / 2)
    assert mcnemar_mid_p(7, 7) == 1.0


def test_mcnemar_of_a_million_items_is_quick_and_never_zero():
    mcnemar_exact(1, 2)  # scipy's import is not what is measured
    start = time.perf_counter()
    assert mcnemar_exact(99_000, 101_000) < 1e-4
    assert time.perf_counter() - start < 0.5
    assert 0 < mcnemar_exact(0, 200_000) < 1e-300


@pytest.mark.parametrize(
    ("n", "expected"), [(8, 94.5), (10, 83.3), (16, 70.6), (32, 53.0), (64, 36.3), (128, 26.4), (256, 18.1)]
)
def test_the_smallest_detectable_difference_between_two_halves(n, expected):
    assert min_detectable_delta_pp(n) == pytest.approx(expected, abs=0.06)


def test_below_eight_outcomes_no_difference_is_detectable():
    assert [min_detectable_delta_pp(n) for n in range(8)] == [None] * 8


def test_the_normal_approximation_continues_the_exact_values():
    assert min_detectable_delta_pp(1024) == pytest.approx(8.8, abs=0.05)
    assert abs(min_detectable_delta_pp(512) - min_detectable_delta_pp(514)) < 0.6
    assert min_detectable_delta_pp(514) < min_detectable_delta_pp(512)


def test_the_rejections_are_those_of_scipys_fisher_test():
    for m in (4, 5, 9):
        rejects = _fisher_rejections(m)
        for x in range(m + 1):
            for y in range(m + 1):
                assert rejects[x, y] == (fisher_exact([[x, m - x], [y, m - y]]).pvalue < 0.05)


def test_powered_is_the_predecessors_rule():
    assert not report_power([True, False, True] * 3).powered
    assert report_power([True, False] * 5).powered


def test_perfect_separation_is_not_reported_as_p_1_nor_all_pass_as_significant():
    separated = report_power([True] * 6 + [False] * 6, ranked=True)
    assert separated.mcnemar_p == pytest.approx(2 * 0.5**6)
    for n in (12, 32):
        assert report_power([True] * n, ranked=True).mcnemar_p == 1.0
        assert report_power([False] * n, ranked=True).mcnemar_p == 1.0


def test_a_p_value_needs_a_ranking_and_four_outcomes_and_says_when_it_cannot_be_small():
    assert report_power([True, False] * 6).mcnemar_p is None
    assert report_power([True, False] * 6).mcnemar_basis == "none"
    assert report_power([True, True, False], ranked=True).mcnemar_p is None
    assert report_power([True] * 5 + [False] * 5, ranked=True).mcnemar_attainable is False
    assert report_power([True] * 6 + [False] * 6, ranked=True).mcnemar_attainable is True


def test_held_out_outcomes_that_do_not_belong_to_the_candidates_are_refused():
    with pytest.raises(ValueError, match="held-out"):
        report_power([True, False], heldout=[True])


def test_an_empty_group_has_no_rate_and_no_interval():
    power = report_power([])
    assert (power.n, power.pass_rate, power.ci_low, power.min_detectable_delta_pp) == (0, None, None, None)
