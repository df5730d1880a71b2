"""E-processes: what makes looking at any time allowed is checked by adding up every possible course."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import beta

from ranking import EProcess, NonFiniteScore, confidence_sequence
from ranking.sequential import against_at_least, against_at_most


def course(outcomes, a=5.0):
    process = EProcess(a)
    return [process.update(outcome) for outcome in outcomes], process


@pytest.mark.parametrize("a", [0.5, 5.0])
def test_under_the_null_its_mean_is_one_at_every_time(a):
    for n in (1, 4, 9):
        values = [course(outcomes, a)[0][-1] for outcomes in itertools.product([True, False], repeat=n)]
        assert math.fsum(values) / 2**n == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_against_a_rate_its_mean_is_one_there_and_below_one_inside_the_null(rate):
    for truth, exact in ((rate, True), (rate + 0.2, False), (0.95, False)):
        for n in (1, 5, 9):
            mean = math.fsum(
                math.comb(n, k) * truth**k * (1 - truth) ** (n - k) * against_at_least(k, n - k, rate)
                for k in range(n + 1)
            )
            assert mean == pytest.approx(1.0) if exact else mean < 1.0


@given(st.integers(0, 15), st.integers(0, 15), st.floats(0.05, 0.95))
def test_against_a_rate_it_is_the_integral_of_likelihood_ratios(passes, fails, rate):
    def weighted(root):  # q = root^4 takes the pole of the density at 0 out of the integral
        q = root**4
        return q**passes * (1 - q) ** fails / rate**0.25

    integral, _ = quad(weighted, 0, rate**0.25, epsrel=1e-10)
    expected = integral / (rate**passes * (1 - rate) ** fails)
    assert against_at_least(passes, fails, rate) == pytest.approx(expected, rel=1e-6)
    assert against_at_most(fails, passes, 1 - rate) == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.booleans(), max_size=60), st.floats(0.5, 20.0))
def test_it_is_the_closed_form_and_the_side_that_wins_does_not_matter(outcomes, a):
    values, process = course(outcomes, a)
    mirrored = course([not outcome for outcome in outcomes], a)[1]
    expected = beta(a + process.wins, a + process.losses) / beta(a, a) * 2.0 ** len(outcomes)
    assert process.e == pytest.approx(expected, rel=1e-8)
    assert mirrored.e == pytest.approx(process.e)
    assert process.p == pytest.approx(1 / max([1.0, *values]))


def test_looking_after_every_comparison_is_wrong_no_more_often_than_it_says():
    rng = np.random.default_rng(2)
    stopped = 0
    for _ in range(600):
        process = EProcess()
        for win in rng.random(200) < 0.5:
            process.update(bool(win))
        stopped += process.stopped
    assert stopped / 600 < 0.05


def test_a_real_difference_is_found_and_the_stop_stays():
    process = EProcess()
    for _ in range(12):
        process.update(True)
    assert process.stopped
    assert process.p < 0.05
    for _ in range(40):
        process.update(False)
    assert process.stopped
    assert process.p < 0.05


def test_ties_and_unknown_outcomes_change_nothing():
    process = EProcess()
    assert process.update(None) == 1.0
    assert (process.p, process.stopped) == (1.0, False)


def test_an_endless_run_of_wins_overflows_nothing():
    process = EProcess()
    process.wins = 5000
    assert process.update(True) == math.inf
    assert process.p == 0.0


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_confidence_sequence_is_where_the_mixture_has_not_rejected(passes, fails):
    low, high = confidence_sequence(passes, fails)
    assert 0.0 <= low <= high <= 1.0
    if passes + fails:
        assert low <= passes / (passes + fails) <= high
    mirrored = confidence_sequence(fails, passes)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))

    def e(rate):
        return beta(passes + 0.5, fails + 0.5) / math.pi / (rate**passes * (1 - rate) ** fails)

    for edge, inward in ((low, 1e-6), (high, -1e-6)):
        if 0.0 < edge < 1.0:
            assert e(edge + inward) < 20 < e(edge - inward)


def test_impossible_parameters_are_refused():
    for make in (lambda: EProcess(0.0), lambda: EProcess(alpha=1.5), lambda: against_at_least(-1, 0, 0.5)):
        with pytest.raises(NonFiniteScore):
            make()
    with pytest.raises(NonFiniteScore):
        against_at_least(1, 1, 0.0)
