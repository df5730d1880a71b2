"""Means and differences over tasks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ranking import (
    NonFiniteScore,
    bootstrap_t_interval,
    difference_ci_by_task,
    mean_ci_by_task,
    obuchowski,
    obuchowski_interval,
    tango,
    wilson,
)

DIFFERENCES = st.lists(st.sampled_from([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=20, max_size=60)


def test_one_sample_a_task_is_wilson_with_the_t_quantile() -> None:
    groups = [[1.0]] * 14 + [[0.0]] * 6
    mean, low, high = mean_ci_by_task(groups)
    expected = wilson(0.7 * 19, 19, z=stats.t.ppf(0.975, 19))  # 19: the spread is estimated
    assert mean == pytest.approx(0.7)
    assert (low, high) == pytest.approx(expected)


def test_tasks_that_differ_count_once_however_many_branches_they_have() -> None:
    few = mean_ci_by_task([[1.0, 1.0], [0.0, 0.0]] * 10)
    many = mean_ci_by_task([[1.0] * 50, [0.0] * 50] * 10)
    assert few == pytest.approx(many)


def test_in_the_middle_it_is_close_to_the_t_interval_over_task_means() -> None:
    rng = np.random.default_rng(0)
    groups = [list(rng.uniform(0.2, 0.8, size=3)) for _ in range(60)]
    means = [np.mean(group) for group in groups]
    expected = stats.t.interval(0.95, 59, loc=np.mean(means), scale=stats.sem(means))
    assert mean_ci_by_task(groups)[1:] == pytest.approx(expected, abs=0.002)


def test_nothing_is_no_zero_and_one_task_has_no_interval() -> None:
    assert mean_ci_by_task([]) == (None, None, None)
    assert mean_ci_by_task([[], []]) == (None, None, None)
    assert mean_ci_by_task([[], [1.0, 0.0]]) == (0.5, None, None)
    assert difference_ci_by_task([0.5]) is obuchowski_interval([0.5]) is bootstrap_t_interval([0.5]) is None


def test_equal_tasks_do_not_make_a_certain_result() -> None:
    mean, low, high = mean_ci_by_task([[1.0] * 4] * 6)
    assert (mean, high) == (1.0, 1.0)
    assert low == pytest.approx(wilson(6, 6)[0])


def test_equal_differences_do_not_make_a_certain_result() -> None:
    for method in (difference_ci_by_task, obuchowski_interval, bootstrap_t_interval):
        low, high = method([0.0] * 30)
        assert -0.2 < low < 0 < high < 0.2
        low, high = method([0.25] * 30)
        assert low < 0.25 - 0.05 < 0.25 + 0.05 < high


def test_values_outside_0_to_1_are_refused() -> None:
    for value in (1.5, float("nan")):
        with pytest.raises(NonFiniteScore):
            mean_ci_by_task([[value]])


@pytest.mark.parametrize(("shape", "truth"), [((0.5, 0.5), 0.5), ((4.5, 0.5), 0.9)])
def test_it_covers_the_truth_with_tasks_of_very_different_difficulty(
    shape: tuple[float, float], truth: float
) -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        difficulty = rng.beta(*shape, size=20)
        groups = [list((rng.random(8) < p).astype(float)) for p in difficulty]
        _, low, high = mean_ci_by_task(groups)
        covered += low <= truth <= high
    assert 0.92 < covered / 400 < 0.98


def test_the_interval_of_differences_is_the_t_interval_over_tasks() -> None:
    d = [0.5, 0.0, -0.25, 0.25, 0.5, 0.0, 0.75]
    expected = stats.t.interval(0.95, 6, loc=np.mean(d), scale=stats.sem(d))
    assert difference_ci_by_task(d) == pytest.approx(expected)
    assert difference_ci_by_task([1.0, -1.0]) == (-1.0, 1.0)


@given(DIFFERENCES)
def test_the_clustered_interval_leaves_out_0_exactly_when_its_test_rejects(d: list[float]) -> None:
    low, high = obuchowski_interval(d)
    p = obuchowski(d)
    if len(set(d)) > 1 and abs(p - 0.05) > 1e-9:
        assert (low > 0 or high < 0) == (p < 0.05)


def test_with_too_few_tasks_for_its_level_the_clustered_interval_is_everything() -> None:
    assert obuchowski_interval([0.5, 0.25, 0.0]) == (-1.0, 1.0)


def test_the_bootstrap_is_wider_where_the_tail_is_and_does_not_depend_on_the_order() -> None:
    d = [0.0] * 30 + [1.0, 0.75, 0.5, 0.25]
    low, high = bootstrap_t_interval(d)
    mean = sum(d) / len(d)
    assert high - mean > 1.2 * (mean - low)
    assert bootstrap_t_interval(d[::-1]) == (low, high)
    assert bootstrap_t_interval(d, seed=1) != (low, high)


def test_without_spread_a_task_counts_as_one_pair() -> None:
    assert difference_ci_by_task([0.0] * 12) == pytest.approx(tango(12, 0, 0))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_over_tasks_holds_the_mean_and_mirrors_with_it(means: list[float]) -> None:
    value, low, high = mean_ci_by_task([[mean] for mean in means])
    _, mirrored_low, mirrored_high = mean_ci_by_task([[1 - mean] for mean in means])
    assert low is not None and high is not None and mirrored_low is not None and mirrored_high is not None
    assert 0.0 <= low <= value <= high <= 1.0
    assert (1 - mirrored_high, 1 - mirrored_low) == pytest.approx((low, high), abs=1e-6)
