"""When a batch of branches has been long enough, and what its pass rate is then."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from ranking import Contrast, Futility, NonFiniteScore, StopRule, unbiased_rate


def stopping_points(rule):
    """Every way to a stop: (outcomes, decision)."""
    found, going = [], [[]]
    while going:
        going = [[*outcomes, last] for outcomes in going for last in (True, False)]
        decided = [(outcomes, rule.decide(outcomes)) for outcomes in going]
        found += [each for each in decided if each[1].stop]
        going = [outcomes for outcomes, decision in decided if not decision.stop]
    return found


def test_enough_of_both_ends_the_batch_and_the_record_says_by_which_rule():
    rule = StopRule()
    outcomes = [True, False, True, False, True, False, True, False]
    assert not rule.decide(outcomes[:7]).stop
    decision = rule.decide(outcomes)
    assert (decision.stop, decision.used) == (True, 8)
    assert decision.reason == "contrast: at least 4 passes and 4 fails"
    kept = json.loads(json.dumps(asdict(decision)))
    assert kept["rule"] == {
        "cap": 64,
        "contrast": {"passes": 4, "fails": 4},
        "futility": {"low": 0.1, "high": 0.9, "alpha": 0.05},
    }
    assert kept["e_low"] < 20
    assert kept["e_high"] < 20


def test_a_task_that_always_fails_or_always_passes_is_given_up():
    failing = StopRule().decide([False] * 64)
    assert (failing.reason, failing.used, failing.rate_unbiased) == ("futility: pass rate below 0.1", 33, 0.0)
    assert failing.e_low >= 20
    passing = StopRule().decide([True] * 64)
    assert (passing.reason, passing.used, passing.rate_unbiased) == ("futility: pass rate above 0.9", 33, 1.0)


def test_the_cap_ends_everything_and_missing_outcomes_count_for_it_only():
    rule = StopRule(cap=6)
    decision = rule.decide([None, True, None, None, False, None])
    assert (decision.reason, decision.used, decision.missing) == ("cap: 6 branches", 2, 4)
    assert rule.decide([None] * 6).rate_raw is None
    assert not rule.decide([None] * 5).stop
    assert not rule.decide([]).stop


def test_outcomes_after_the_stop_had_no_part_in_it():
    outcomes = [True, False] * 4
    assert StopRule().decide([*outcomes, True, True, True]) == StopRule().decide(outcomes)


@pytest.mark.parametrize(
    "rule",
    [
        StopRule(cap=9, contrast=Contrast(2, 2), futility=None),
        StopRule(cap=10, contrast=Contrast(1, 3), futility=Futility(0.4, 0.6, 0.3)),
        StopRule(cap=8, contrast=None, futility=Futility(0.3, 0.9, 0.2)),
    ],
)
def test_the_rate_after_the_stop_is_unbiased_and_the_raw_one_is_not(rule):
    points = stopping_points(rule)
    for rate in (0.05, 0.3, 0.5, 0.8):
        share = [rate ** sum(way) * (1 - rate) ** (len(way) - sum(way)) for way, _ in points]
        assert math.fsum(share) == pytest.approx(1.0)
        mean = math.fsum(s * d.rate_unbiased for s, (_, d) in zip(share, points, strict=True))
        assert mean == pytest.approx(rate, rel=1e-9)
        covered = math.fsum(
            s for s, (_, d) in zip(share, points, strict=True) if d.rate_low <= rate <= d.rate_high
        )
        assert covered >= 0.95
    raw = math.fsum(0.3 ** sum(way) * 0.7 ** (len(way) - sum(way)) * d.rate_raw for way, d in points)
    assert abs(raw - 0.3) > 0.003


def test_a_task_at_the_edge_is_given_up_wrongly_no_more_often_than_alpha():
    rng = np.random.default_rng(8)
    rule = StopRule(contrast=None, futility=Futility(0.1, 0.9))
    wrong = [rule.decide((rng.random(64) < 0.1).tolist()).reason.endswith("below 0.1") for _ in range(500)]
    assert np.mean(wrong) < 0.05


def test_a_point_where_the_rule_does_not_stop_has_no_estimate():
    rule = StopRule(cap=10)
    with pytest.raises(NonFiniteScore, match="does not stop"):
        unbiased_rate(rule, 1, 1)
    with pytest.raises(NonFiniteScore, match="stops before"):
        unbiased_rate(rule, 6, 5)


def test_impossible_rules_are_refused():
    for make in (
        lambda: Futility(0.9, 0.1),
        lambda: Futility(alpha=0.0),
        lambda: Contrast(0, 4),
        lambda: StopRule(cap=0),
    ):
        with pytest.raises(NonFiniteScore):
            make()


def test_without_rules_only_the_cap_ends_it_and_raw_and_unbiased_are_the_same():
    rule = StopRule(cap=5, contrast=None, futility=None)
    for outcomes in itertools.product([True, False], repeat=5):
        decision = rule.decide(outcomes)
        assert decision.rate_unbiased == pytest.approx(decision.rate_raw)
        assert decision.e_low is None
