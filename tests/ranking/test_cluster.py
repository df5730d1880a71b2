"""Means over tasks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ranking import NonFiniteScore, mean_ci_by_task, wilson


def test_it_is_the_t_interval_over_task_means_whatever_the_number_of_branches():
    groups = [[1.0, 0.0], [1.0, 1.0, 1.0], [0.0] * 8, [0.0, 1.0, 1.0, 1.0]]
    means = [0.5, 1.0, 0.0, 0.75]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(means), scale=stats.sem(means))
    assert mean_ci_by_task(groups) == pytest.approx((np.mean(means), max(0.0, low), min(1.0, high)))


def test_nothing_is_no_zero_and_one_task_has_no_interval():
    assert mean_ci_by_task([]) == (None, None, None)
    assert mean_ci_by_task([[], []]) == (None, None, None)
    assert mean_ci_by_task([[], [1.0, 0.0]]) == (0.5, None, None)


def test_equal_tasks_do_not_make_a_certain_result():
    mean, low, high = mean_ci_by_task([[1.0] * 4] * 6)
    assert (mean, high) == (1.0, 1.0)
    assert low == pytest.approx(wilson(6, 6)[0])


def test_values_outside_0_to_1_are_refused():
    for value in (1.5, float("nan")):
        with pytest.raises(NonFiniteScore):
            mean_ci_by_task([[value]])


def test_it_covers_the_truth_with_tasks_of_very_different_difficulty():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        difficulty = rng.beta(0.5, 0.5, size=20)
        groups = [list((rng.random(8) < p).astype(float)) for p in difficulty]
        _, low, high = mean_ci_by_task(groups)
        covered += low <= 0.5 <= high
    assert 0.92 < covered / 400 < 0.98
