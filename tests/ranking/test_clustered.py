"""Tests over tasks: against their definitions, and where they must not be fooled."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranking import mcnemar_exact, obuchowski, sign_flip, sign_flip_attainable, sign_flip_interval
from ranking.clustered import EXACT_UP_TO

DIFFERENCES = st.lists(st.sampled_from([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=40)


def test_obuchowski_is_the_robust_variance_under_the_null() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random((30, 4)) < 0.5).astype(float), (rng.random((30, 4)) < 0.6).astype(float)
    rate = (a.sum() + b.sum()) / (2 * a.size)
    first, second = a.sum(1) - 4 * rate, b.sum(1) - 4 * rate
    variance = 30 / 29 * (first**2 + second**2 - 2 * first * second).sum() / a.size**2
    expected = 2 * stats.norm.sf(abs(b.mean() - a.mean()) / np.sqrt(variance))
    assert obuchowski(list(b.sum(1) - a.sum(1))) == pytest.approx(expected)


@given(DIFFERENCES)
def test_scale_sign_and_order_of_differences_do_not_matter_to_obuchowski(d: list[float]) -> None:
    assert obuchowski([-4 * each for each in d]) == pytest.approx(obuchowski(d))
    assert obuchowski(sorted(d)) == pytest.approx(obuchowski(d))


@given(DIFFERENCES)
def test_no_difference_gives_p_1_and_never_0(d: list[float]) -> None:
    balanced = [*d, *(-each for each in d)]
    assert obuchowski(balanced) == pytest.approx(1.0)
    assert sign_flip(balanced) == 1.0
    assert obuchowski([0.0] * len(d)) == sign_flip([0.0] * len(d)) == 1.0


def test_the_largest_difference_on_many_tasks_is_not_p_0() -> None:
    assert 0 < obuchowski([1.0] * 5000) < 1e-300
    assert sign_flip([1.0] * 5000) == 1 / 20_000


def test_one_task_is_no_sample_of_tasks() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        obuchowski([0.5])
    assert sign_flip([0.5]) == 1.0


@given(st.lists(st.sampled_from([-1.0, -0.75, -0.5, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_sign_flip_counts_every_pattern_of_signs(d: list[float]) -> None:
    sums = [abs(np.dot(signs, np.abs(d))) for signs in product((1, -1), repeat=len(d))]
    expected = np.mean([each >= abs(sum(d)) - 1e-9 for each in sums])
    assert sign_flip(d) == pytest.approx(expected)


@given(st.integers(0, 12), st.integers(0, 8))
def test_sign_flip_of_one_pair_a_task_is_the_exact_mcnemar_test(b: int, c: int) -> None:
    assert sign_flip([-1.0] * b + [1.0] * c + [0.0] * 5) == pytest.approx(mcnemar_exact(b, c))


def test_drawn_signs_agree_with_all_signs_and_do_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(4)
    d = [float(x) for x in rng.choice([-1.0, 0.5, 0.75, 1.0], EXACT_UP_TO + 5)]
    expected = stats.permutation_test(
        (np.array(d),), np.mean, permutation_type="samples", n_resamples=200_000, rng=rng
    ).pvalue
    assert sign_flip(d) == pytest.approx(expected, abs=0.01)
    assert sign_flip(d[::-1]) == sign_flip(d)
    assert sign_flip([-x for x in d]) == sign_flip(d)
    assert sign_flip(d, seed=1) != sign_flip(d)


SOME = st.sampled_from([-1.0, -0.75, -0.5, 0.0, 0.0, 0.25, 0.5, 1.0])


@settings(max_examples=60, deadline=None)
@given(st.lists(SOME, min_size=2, max_size=24))
def test_the_interval_of_sign_flips_leaves_out_0_exactly_when_they_reject(d: list[float]) -> None:
    low, high = sign_flip_interval(d)
    assert (low > 0 or high < 0) == (sign_flip(d) < 0.05)
    assert sign_flip_interval([-each for each in d]) == (-high, -low)
    assert sign_flip_interval(sorted(d)) == (low, high)


@settings(max_examples=40, deadline=None)
@given(st.lists(SOME, min_size=6, max_size=14).filter(lambda d: len(set(d)) > 1))
def test_the_interval_of_sign_flips_ends_where_the_shifted_test_begins_to_reject(d: list[float]) -> None:
    for end, outwards in zip(sign_flip_interval(d), (-1e-6, 1e-6), strict=True):
        assert sign_flip([each - end for each in d]) >= 0.05
        if abs(end) < 1:
            assert sign_flip([each - end - outwards for each in d]) < 0.05


def test_six_tasks_that_differ_alike_reach_from_the_smallest_to_the_largest_difference() -> None:
    assert sign_flip_interval([0.5, 0.25, 0.75, 0.5, 0.3, 1.0]) == (0.25, 1.0)


def test_fewer_than_six_tasks_cannot_reject_and_have_every_difference_in_their_interval() -> None:
    assert [tasks for tasks in range(30) if not sign_flip_attainable(tasks)] == [*range(6)]
    assert sign_flip_interval([0.5, 0.75, 0.5, 0.6, 1.0]) == (-1.0, 1.0)
    assert sign_flip_interval([0.5]) is None


def test_equal_differences_have_an_interval_with_a_width_on_their_side_of_0() -> None:
    low, high = sign_flip_interval([0.25] * 10)
    assert 0 < low < 0.1
    assert high > 0.4
    low, high = sign_flip_interval([0.0] * 30)
    assert -0.2 < low < 0 < high < 0.2
