"""Interval and power of a paired comparison, against enumeration and published values."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from ranking import mcnemar_exact
from ranking.paired_power import min_detectable_paired_delta_pp, paired_interval_pp, paired_power

TABLES = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))


@given(TABLES)
def test_the_interval_holds_the_difference_and_mirrors(cells):
    b, c, rest = cells
    n = b + c + rest
    if n == 0:
        assert paired_interval_pp(0, 0, 0) is None
        return
    low, high = paired_interval_pp(n, b, c)
    assert -100 <= low <= high <= 100
    # The interval shrinks towards 0 by two pairs in n; beyond that it holds the observed difference.
    assert low - 200 / n <= 100 * (c - b) / n <= high + 200 / n
    assert paired_interval_pp(n, c, b) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("only_a", "only_b"), [(0.15, 0.15), (0.1, 0.2), (0.05, 0.3)])
def test_the_interval_covers_the_truth_in_about_95_of_100_cases(only_a, only_b):
    n, truth = 40, 100 * (only_b - only_a)
    covered = sum(
        multinomial.pmf([b, c, n - b - c], n, [only_a, only_b, 1 - only_a - only_b])
        for b in range(n + 1)
        for c in range(n + 1 - b)
        if paired_interval_pp(n, b, c)[0] <= truth <= paired_interval_pp(n, b, c)[1]
    )
    assert 0.93 <= covered <= 0.97


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit into n=3"):
        paired_interval_pp(3, 2, 2)
    with pytest.raises(ValueError, match="does not fit into a discordance"):
        paired_power(10, 0.2, 0.3)


@given(st.integers(1, 30), st.floats(0.05, 1.0), st.floats(0.0, 1.0), st.sampled_from([0.01, 0.05, 0.2]))
def test_power_is_that_of_all_tables_added_up(n, discordance, part, alpha):
    delta = part * discordance
    share = (discordance + delta) / (2 * discordance)
    brute = math.fsum(
        binom.pmf(m, n, discordance) * binom.pmf(b, m, min(1.0, share))
        for m in range(n + 1)
        for b in range(m + 1)
        if mcnemar_exact(b, m - b) < alpha
    )
    assert paired_power(n, discordance, delta, alpha) == pytest.approx(brute, abs=1e-9)


@pytest.mark.parametrize(
    ("n", "discordance", "expected"),
    [(64, 0.2, 15.8), (64, 0.3, 19.5), (128, 0.3, 14.0), (256, 0.5, 12.7), (32, 0.5, 35.1)],
)
def test_the_smallest_detectable_difference_of_paired_items(n, discordance, expected):
    assert min_detectable_paired_delta_pp(n, discordance) == pytest.approx(expected, abs=0.06)


def test_it_is_unattainable_where_even_one_sided_tables_are_too_rare():
    assert min_detectable_paired_delta_pp(32, 0.2) is None
    assert min_detectable_paired_delta_pp(1000, 0.0) is None
    assert min_detectable_paired_delta_pp(0, 0.5) is None


def test_more_items_detect_smaller_differences_up_to_a_million():
    found = [min_detectable_paired_delta_pp(n, 0.2) for n in (100, 1_000, 10_000, 1_000_000)]
    assert all(larger > smaller for larger, smaller in pairwise(found))
    normal = 100 * (1.959964 + 0.841621) * math.sqrt(0.2 / 1_000_000)
    assert found[-1] == pytest.approx(normal, rel=0.01)
