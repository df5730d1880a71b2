"""What may be called evidence, and what may not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import EmptyGroup, LeakError, Stratum, UnknownCandidate, cross_fit, judge_validity

GOOD = Stratum([0.9, 0.8, 0.2, 0.1], [True, True, False, False])


def tasks_of(seed, tasks, n, signal=0.0):
    """Equal candidates when signal is 0: outcomes are coins, scores noise."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(tasks):
        passed = rng.random(n) < 0.5
        found.append(Stratum((rng.normal(size=n) + signal * passed).tolist(), passed.tolist()))
    return found


def test_a_blind_judge_that_agrees_with_the_heldout_outcomes_is_evidence():
    found = judge_validity([GOOD] * 3, blind=True)
    assert (found.auc, found.basis, found.method, found.tasks) == (1.0, "heldout", "exact", 3)
    assert found.discrimination_p == pytest.approx((1 / 6) ** 3)


def test_a_judge_that_saw_the_verdict_is_no_evidence():
    with pytest.raises(LeakError, match="circular"):
        judge_validity([GOOD], blind=False)
    described = judge_validity([GOOD], blind=False, basis="circular")
    assert (described.auc, described.discrimination_p, described.basis) == (1.0, None, "circular")


def test_the_predecessors_number_is_kept_beside_it_and_is_small_on_equal_candidates():
    found = [judge_validity(tasks_of(seed, 1, 32), blind=True) for seed in range(200)]
    assert np.mean([each.mcnemar_p_insample < 0.05 for each in found]) > 0.95
    assert np.mean([each.discrimination_p < 0.05 for each in found]) < 0.09
    assert judge_validity([Stratum([1.0, 2.0], [False, True])], blind=True).mcnemar_p_insample is None


def test_tasks_that_all_passed_or_all_failed_tell_nothing_and_no_p():
    found = judge_validity([Stratum([1.0, 2.0], [True, True]), Stratum([1.0], [False])], blind=True)
    assert (found.auc, found.discrimination_p, found.basis, found.one_sided) == (None, None, "none", 2)


def test_the_interval_of_one_tasks_auc_is_newcombes_and_holds_the_estimate():
    one = judge_validity([Stratum([3.0, 1.0, 2.0, 0.0], [True, True, False, False])], blind=True)
    assert one.auc == 0.75
    assert one.auc_low < 0.35
    assert 0.75 < one.auc_high < 1.0
    sure = judge_validity([GOOD], blind=True)
    assert sure.auc_high == 1.0
    assert 0.3 < sure.auc_low < 0.6


def test_no_tasks_are_an_error():
    with pytest.raises(EmptyGroup):
        judge_validity([], blind=True)
    with pytest.raises(EmptyGroup):
        cross_fit([], [])


def test_two_runs_of_one_verifier_on_candidates_that_differ_are_evidence():
    rng = np.random.default_rng(5)
    first, second = [], []
    for _ in range(6):
        rate = rng.choice([0.1, 0.9], size=8)
        first.append(Stratum.of_passes((rng.random(8) < rate).tolist()))
        second.append(Stratum.of_passes((rng.random(8) < rate).tolist()))
    found = cross_fit(first, second)
    assert found.rule == "one test"
    assert found.p < 0.001


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(2, 8))
def test_passes_of_one_against_passes_of_the_other_are_one_test_in_both_directions(seed, tasks, n):
    rng = np.random.default_rng(seed)
    first = [Stratum.of_passes((rng.random(n) < 0.5).tolist()) for _ in range(tasks)]
    second = [Stratum.of_passes((rng.random(n) < 0.5).tolist()) for _ in range(tasks)]
    found = cross_fit(first, second)
    if found.first_ranks.p is not None and found.second_ranks.p is not None:
        assert found.first_ranks.p == pytest.approx(found.second_ranks.p, rel=1e-9)


def test_graded_verifiers_pay_for_two_looks():
    found = cross_fit(tasks_of(1, 3, 8), tasks_of(2, 3, 8))
    assert found.rule == "twice the smaller"
    assert found.p == min(1.0, 2 * min(found.first_ranks.p, found.second_ranks.p))


def test_cross_fitting_equal_candidates_is_wrong_no_more_often_than_it_says():
    wrong = [cross_fit(tasks_of(seed, 2, 8), tasks_of(seed + 5000, 2, 8)).p < 0.05 for seed in range(400)]
    assert np.mean(wrong) < 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_candidates_that_one_verifier_could_not_tell_are_left_out_of_both():
    first = [Stratum([0.9, 0.1, 0.5], [True, False, None])]
    second = [Stratum([0.8, 0.2, 0.9], [True, False, True])]
    whole = cross_fit([Stratum([0.9, 0.1], [True, False])], [Stratum([0.8, 0.2], [True, False])])
    assert cross_fit(first, second) == whole


def test_different_candidates_are_no_cross_fit():
    with pytest.raises(UnknownCandidate, match="different"):
        cross_fit([GOOD], [GOOD, GOOD])
    with pytest.raises(UnknownCandidate, match="different"):
        cross_fit([GOOD], [Stratum([1.0], [True])])
