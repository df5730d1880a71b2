"""The winner's curse: raw and corrected values, and how often a winner is false."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from ranking import (
    EmptyGroup,
    NonFiniteScore,
    UnknownCandidate,
    chosen_rate,
    chosen_score,
    false_winner_rate,
)


def test_heldout_repeats_correct_the_value_and_are_evidence():
    found = chosen_rate([5, 2, 1], [5, 5, 5], 0, heldout=(6, 10))
    assert (found.raw, found.corrected, found.basis, found.of) == (1.0, 0.6, "heldout", 3)
    assert found.low < 0.6 < found.high


def test_without_heldout_repeats_the_value_is_shrunk_and_labelled_a_model():
    found = chosen_rate([5, 2, 1, 2], [5, 5, 5, 5], 0)
    assert found.basis == "model"
    assert 0.5 < found.corrected < found.raw == 1.0
    assert found.low < found.corrected < found.high
    assert chosen_rate([5, 2, 1, 2], [5, 5, 5, 5], 0, heldout=(0, 0)) == found


def test_equal_rates_are_shrunk_to_the_groups_mean_and_different_ones_hardly():
    noise = chosen_rate([70] + [50] * 15, [100] * 16, 0)
    assert noise.corrected < 0.66
    real = chosen_rate([95, 5, 90, 10, 60, 30], [100] * 6, 0)
    assert real.corrected == pytest.approx(0.95, abs=0.02)


def test_the_best_of_noisy_candidates_looks_too_good_and_its_corrected_value_does_not():
    rng = np.random.default_rng(1)
    raw, corrected, heldout, truth, covered = [], [], [], [], 0
    for _ in range(60):
        rate = rng.beta(4, 4, size=12)
        passes = rng.binomial(5, rate)
        best = int(np.argmax(passes))
        found = chosen_rate(passes.tolist(), [5] * 12, best)
        again = chosen_rate(passes.tolist(), [5] * 12, best, heldout=(int(rng.binomial(5, rate[best])), 5))
        raw.append(found.raw)
        corrected.append(found.corrected)
        heldout.append(again.corrected)
        truth.append(rate[best])
        covered += found.low <= rate[best] <= found.high
    assert np.mean(raw) - np.mean(truth) > 0.15
    assert abs(np.mean(corrected) - np.mean(truth)) < 0.05
    assert abs(np.mean(heldout) - np.mean(truth)) < 0.05
    assert covered / 60 > 0.9


def test_a_lone_candidates_posterior_is_near_the_one_under_a_uniform_prior():
    found = chosen_rate([30], [40], 0)
    low, high = beta.interval(0.95, 31, 11)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_scores_are_shrunk_by_their_errors_and_heldout_scores_are_not():
    scores, ses = [2.0, 0.1, -0.2, 0.3, 0.0, -0.1], [1.0] * 6
    found = chosen_score(scores, ses, 0)
    assert found.basis == "model"
    assert 0.0 < found.corrected < 1.5
    assert found.low < found.corrected < found.high
    again = chosen_score(scores, ses, 0, heldout=(0.4, 0.5))
    assert (again.corrected, again.basis, again.of) == (0.4, "heldout", 6)
    assert (again.low, again.high) == pytest.approx((0.4 - 0.98, 0.4 + 0.98), abs=1e-3)
    assert chosen_score([2.0], [1.0], 0).corrected == 2.0


def test_corrected_scores_are_right_on_average_and_covered():
    rng = np.random.default_rng(2)
    bias, raw, covered = [], [], 0
    for _ in range(200):
        truth = rng.normal(scale=0.7, size=10)
        scores = truth + rng.normal(size=10)
        best = int(np.argmax(scores))
        found = chosen_score(scores.tolist(), [1.0] * 10, best)
        bias.append(found.corrected - truth[best])
        raw.append(found.raw - truth[best])
        covered += found.low <= truth[best] <= found.high
    assert np.mean(raw) > 0.6
    assert abs(np.mean(bias)) < 0.2
    assert covered / 200 > 0.9


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(passes, random):
    order = random.sample(range(len(passes)), len(passes))
    moved = [passes[i] for i in order]
    expected = chosen_rate(passes, [4] * len(passes), order[0])
    assert chosen_rate(moved, [4] * len(passes), 0) == expected


def test_false_winners_are_counted_over_tasks_with_the_untold_apart():
    found = false_winner_rate([[True], [False], [True], [None], [True]], [[8], [8], [4], [8], [2]])
    assert (found.failed, found.unverified, found.tasks, found.of_mean) == (1, 1, 4, 6.0)
    assert (found.rate.value, found.rate.n) == (0.25, 4)
    assert found.rate.low < 0.25 < found.rate.high
    several = false_winner_rate([[True, False], [False, False]], [[8, 8], [8, 8]])
    assert several.rate.value == 0.75
    nothing = false_winner_rate([[None]], [[8]])
    assert (nothing.rate.value, nothing.unverified) == (None, 1)


def test_impossible_input_is_a_named_error():
    with pytest.raises(EmptyGroup):
        chosen_rate([], [], 0)
    with pytest.raises(EmptyGroup, match="no run"):
        chosen_rate([0], [0], 0)
    with pytest.raises(UnknownCandidate):
        chosen_rate([1, 1], [2, 2], -1)
    with pytest.raises(NonFiniteScore):
        chosen_rate([3], [2], 0)
    with pytest.raises(NonFiniteScore):
        chosen_score([math.nan], [1.0], 0)
    with pytest.raises(NonFiniteScore):
        chosen_score([1.0], [0.0], 0)
    with pytest.raises(EmptyGroup):
        false_winner_rate([[]], [[]])
    with pytest.raises(UnknownCandidate):
        false_winner_rate([[True]], [[]])
