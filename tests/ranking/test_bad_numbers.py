"""No public function gives a number for what is none: NaN, infinity, fractions of counts, text, out of range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ranking as r

NAN, INF = math.nan, math.inf
NO_NUMBER: tuple[Any, ...] = (NAN, INF, -INF, "1", "x", 10**400)
NO_COUNT = (*NO_NUMBER, -1, 2.5)
NO_SHARE = (*NO_NUMBER, -0.5, 1.5)
NO_LEVEL = (*NO_SHARE, 0.0, 1.0)
NO_PASS = (*NO_NUMBER, 2, 0.5)

PAIRS = {("t", s): float(s % 2) for s in range(4)}
WON = [r.Comparison(0, 1, "first")]
FIT = r.fit(2, WON)
SPREAD = r.Spread(0.3, 0.2, 0.3)
SCORED = r.Stratum([1.0, 2.0, 3.0], [False, True, True])


def won(**changed: Any) -> list[r.Comparison]:
    return [r.Comparison(**{"first": 0, "second": 1, "outcome": "first"} | changed)]


CASES: dict[str, tuple[tuple[Any, ...], Callable[[Any], object]]] = {
    "sign_flip": (NO_NUMBER, lambda x: r.sign_flip([x, 1])),
    "sign_flip seed": (NO_COUNT, lambda x: r.sign_flip([1.0, 0.5], x)),
    "sign_flip_interval": (NO_SHARE[:-2], lambda x: r.sign_flip_interval([x, 0.5])),
    "sign_flip_interval confidence": (NO_LEVEL, lambda x: r.sign_flip_interval([0.1, 0.5], x)),
    "sign_flip_attainable": (NO_COUNT, r.sign_flip_attainable),
    "obuchowski": (NO_NUMBER, lambda x: r.obuchowski([x, x, 0.5])),
    "obuchowski_interval": (NO_NUMBER, lambda x: r.obuchowski_interval([x, 0.5])),
    "obuchowski_interval confidence": (NO_LEVEL, lambda x: r.obuchowski_interval([0.1, 0.5], x)),
    "difference_ci_by_task": ((*NO_NUMBER, 5, -6), lambda x: r.difference_ci_by_task([x, 0.5])),
    "difference_ci_by_task confidence": (NO_LEVEL, lambda x: r.difference_ci_by_task([0.1, 0.5], x)),
    "bootstrap_t_interval": ((*NO_NUMBER, 5), lambda x: r.bootstrap_t_interval([x, 1])),
    "bootstrap_t_interval confidence": (
        NO_LEVEL,
        lambda x: r.bootstrap_t_interval([0.1, 0.5], confidence=x),
    ),
    "bootstrap_t_interval resamples": (
        (*NO_COUNT, 0),
        lambda x: r.bootstrap_t_interval([0.1, 0.5], resamples=x),
    ),
    "mean_ci_by_task": (NO_SHARE, lambda x: r.mean_ci_by_task([[x], [0.5]])),
    "mean_ci_by_task confidence": (NO_LEVEL, lambda x: r.mean_ci_by_task([[0.1], [0.5]], x)),
    "tango n": ((*NO_NUMBER, -1), lambda x: r.tango(x, 1, 1)),
    "tango b": ((*NO_NUMBER, -1), lambda x: r.tango(5, x, 1)),
    "tango z": ((*NO_NUMBER, 0, -1), lambda x: r.tango(5, 1, 1, x)),
    "wilson": ((*NO_NUMBER, -1, 6), lambda x: r.wilson(x, 5)),
    "wilson n": ((*NO_NUMBER, -1), lambda x: r.wilson(0, x)),
    "wilson z": ((*NO_NUMBER, 0, -1), lambda x: r.wilson(1, 5, x)),
    "mcnemar_exact": (NO_COUNT, lambda x: r.mcnemar_exact(x, 1)),
    "mcnemar_mid_p": (NO_COUNT, lambda x: r.mcnemar_mid_p(1, x)),
    "holm": (NO_SHARE, lambda x: r.holm([0.1, x])),
    "pass_at_k n": (NO_COUNT, lambda x: r.pass_at_k(x, 0, 1)),
    "pass_at_k c": ((*NO_COUNT, 6), lambda x: r.pass_at_k(5, x, 2)),
    "pass_at_k k": ((*NO_COUNT, 0, 6), lambda x: r.pass_at_k(5, 2, x)),
    "pass_at_k_by_task": ((*NO_COUNT, 9), lambda x: r.pass_at_k_by_task([(5, x), (5, 2)], 6)),
    "pass_at_k_by_task k": ((*NO_COUNT, 0), lambda x: r.pass_at_k_by_task([(5, 2)], x)),
    "best_of_k": (NO_NUMBER, lambda x: r.best_of_k([1.0, x], [1.0, 2.0], 1)),
    "best_of_k value": (NO_NUMBER, lambda x: r.best_of_k([1.0, 2.0], [1.0, x], 1)),
    "best_of_k k": ((*NO_COUNT, 0, 3), lambda x: r.best_of_k([1.0, 2.0], [1.0, 2.0], x)),
    "compare outcome": (NO_SHARE, lambda x: r.compare(PAIRS | {("t", 0): x}, PAIRS)),
    "compare confidence": (NO_LEVEL, lambda x: r.compare(PAIRS, PAIRS, confidence=x)),
    "compare comparisons": ((*NO_COUNT, 0), lambda x: r.compare(PAIRS, PAIRS, comparisons=x)),
    "compare seed": (NO_COUNT, lambda x: r.compare(PAIRS, PAIRS, seed=x)),
    "compare by": (("x", None, NAN), lambda x: r.compare(PAIRS, PAIRS, by=x)),
    "compare key": (
        (1, "ts", ("t",), ("t", 1, 2), None, NAN, ["t", 1], ("t", [1])),
        lambda x: r.compare([(x, 1.0)], [(x, 1.0)]),
    ),
    "compare entry": ((1, "tsx", (), None), lambda x: r.compare([x], [x])),
    "advantages": ((*NO_NUMBER, 1e308), lambda x: r.advantages([x, 1.0, None])),
    "advantages kind": (("x", None), lambda x: r.advantages([1.0, 2.0], x)),
    "tree_advantages reward": (NO_NUMBER, lambda x: r.tree_advantages([-1], [0], [3], [x])),
    "tree_advantages parent": ((*NO_NUMBER, 2.5, -2, 1), lambda x: r.tree_advantages([x], [0], [3], [1.0])),
    "tree_advantages fork": ((*NO_COUNT, 1), lambda x: r.tree_advantages([-1], [x], [3], [1.0])),
    "tree_advantages steps": (NO_COUNT, lambda x: r.tree_advantages([-1], [0], [x], [1.0])),
    "tree_advantages of": ((*NO_COUNT, 1), lambda x: r.tree_advantages([-1], [0], [3], [1.0]).of(x)),
    "Spread": (NO_SHARE, lambda x: r.Spread(0.3, x)),
    "Spread variance": ((*NO_NUMBER, -1), lambda x: r.Spread(x, 0.5)),
    "Spread discordance": (NO_SHARE, lambda x: r.Spread(0.3, 0.5, x)),
    "Spread assumed": ((*NO_SHARE, 0.0), lambda x: r.Spread.assumed(x, 0.5)),
    "Spread seeds": ((*NO_COUNT, 0), SPREAD.of_task_mean),
    "discordance_at rate": (NO_SHARE, lambda x: r.discordance_at(x, 0.1)),
    "discordance_at delta": ((*NO_NUMBER, 1.5, -1.5), lambda x: r.discordance_at(0.5, x)),
    "mcnemar_power n": (NO_COUNT, lambda x: r.mcnemar_power(x, 0.1, 0.3)),
    "mcnemar_power delta": ((*NO_NUMBER, 0.4), lambda x: r.mcnemar_power(50, x, 0.3)),
    "mcnemar_power discordance": (NO_SHARE, lambda x: r.mcnemar_power(50, 0.0, x)),
    "mcnemar_power alpha": (NO_LEVEL, lambda x: r.mcnemar_power(50, 0.1, 0.3, x)),
    "mcnemar_mdd n": (NO_COUNT, lambda x: r.mcnemar_mdd(x, 0.3)),
    "mcnemar_mdd discordance": (NO_SHARE, lambda x: r.mcnemar_mdd(50, x)),
    "mcnemar_mdd alpha": (NO_LEVEL, lambda x: r.mcnemar_mdd(50, 0.3, x)),
    "mcnemar_mdd power": (NO_LEVEL, lambda x: r.mcnemar_mdd(50, 0.3, power=x)),
    "tasks_needed": ((*NO_NUMBER, 0.0, 1.5), lambda x: r.tasks_needed(x, SPREAD)),
    "tasks_needed seeds": ((*NO_COUNT, 0), lambda x: r.tasks_needed(0.1, SPREAD, x)),
    "tasks_needed alpha": (NO_LEVEL, lambda x: r.tasks_needed(0.1, SPREAD, 2, x)),
    "tasks_needed power": (NO_LEVEL, lambda x: r.tasks_needed(0.1, SPREAD, 2, power=x)),
    "min_detectable_delta_pp": (NO_COUNT, r.min_detectable_delta_pp),
    "report_power": (NO_PASS, lambda x: r.report_power([True, x])),
    "report_power heldout": (NO_PASS, lambda x: r.report_power([True], heldout=[x])),
    "report_power lengths": (([], [True] * 2), lambda x: r.report_power([True], heldout=x)),
    "fit n": ((*NO_COUNT, 0), lambda x: r.fit(x, [])),
    "fit prior": ((*NO_NUMBER, 0, -1), lambda x: r.fit(2, WON, x)),
    "fit start": (NO_NUMBER, lambda x: r.fit(2, WON, start=[x, 0.0])),
    "fit start's length": (([], [0.0]), lambda x: r.fit(2, WON, start=x)),
    "fit repeats": (NO_SHARE, lambda x: r.fit(2, WON, repeat_correlation=x)),
    "fit matrix": ((NAN, INF, -1.0), lambda x: r.fit(2, np.array([[0.0, x], [1.0, 0.0]]))),
    "Fit.difference": ((*NO_COUNT, 2), lambda x: FIT.difference(0, x)),
    "win_matrix n": ((*NO_COUNT, 0), lambda x: r.win_matrix(x, [])),
    "win_matrix candidate": ((*NO_COUNT, 0.5, 2), lambda x: r.win_matrix(2, won(second=x))),
    "win_matrix outcome": ((NAN, "x", None), lambda x: r.win_matrix(2, won(outcome=x))),
    "win_matrix weight": ((*NO_NUMBER, -1), lambda x: r.win_matrix(2, won(weight=x))),
    "win_matrix repeats": (NO_SHARE, lambda x: r.win_matrix(2, WON, x)),
    "ordered_wins n": ((*NO_COUNT, 0), lambda x: r.ordered_wins(x, [])),
    "ordered_wins weight": ((*NO_NUMBER, -1), lambda x: r.ordered_wins(2, won(weight=x))),
    "fit_position n": ((*NO_COUNT, 0), lambda x: r.fit_position(x, [])),
    "fit_position prior": ((*NO_NUMBER, 0, -1), lambda x: r.fit_position(2, WON, x)),
    "fit_position bias": ((*NO_NUMBER, 0, -1), lambda x: r.fit_position(2, WON, position_sd=x)),
    "places": (NO_LEVEL, lambda x: r.places(FIT, confidence=x)),
    "places seed": (NO_COUNT, lambda x: r.places(FIT, seed=x)),
    "rank score": (NO_NUMBER, lambda x: r.rank([r.Candidate(True, x)])),
    "rank cost": (NO_NUMBER, lambda x: r.rank([r.Candidate(True, 1.0, (x,))])),
    "rank passed": ((*NO_PASS, 1), lambda x: r.rank([r.Candidate(x)])),
    "rank heldout": (NO_PASS, lambda x: r.rank([r.Candidate(True)], heldout=[x])),
    "rank prior": ((*NO_NUMBER, 0), lambda x: r.rank([r.Candidate(True)], prior_sd=x)),
    "rank repeats": (NO_SHARE, lambda x: r.rank([r.Candidate(True)], repeat_correlation=x)),
    "rank seed": (NO_COUNT, lambda x: r.rank([r.Candidate(True)], seed=x)),
    "objective_comparisons": (NO_NUMBER, lambda x: r.objective_comparisons([r.Candidate(True, x)])),
    "judge_validity score": (NO_NUMBER, lambda x: r.judge_validity([r.Stratum([x], [True])], blind=True)),
    "judge_validity basis": (("x", None), lambda x: r.judge_validity([SCORED], blind=True, basis=x)),
    "mann_whitney score": (NO_NUMBER, lambda x: r.mann_whitney([r.Stratum([x, 1.0], [True, False])])),
    "mann_whitney outcome": (NO_PASS, lambda x: r.mann_whitney([r.Stratum([2.0, 1.0], [x, False])])),
    "cross_fit": (NO_PASS, lambda x: r.cross_fit([r.Stratum([2.0], [x])], [r.Stratum([1.0], [True])])),
    "chosen_rate": ((*NO_COUNT, 6), lambda x: r.chosen_rate([x, 2], [5, 5], 1)),
    "chosen_rate runs": (NO_COUNT, lambda x: r.chosen_rate([0, 2], [x, 5], 1)),
    "chosen_rate chosen": ((*NO_COUNT, 2), lambda x: r.chosen_rate([1, 2], [5, 5], x)),
    "chosen_rate heldout": ((*NO_COUNT, 6), lambda x: r.chosen_rate([1, 2], [5, 5], 1, (x, 5))),
    "chosen_rate heldout runs": (NO_COUNT, lambda x: r.chosen_rate([1, 2], [5, 5], 1, (0, x))),
    "chosen_score": (NO_NUMBER, lambda x: r.chosen_score([x, 1.0], [1.0, 1.0], 1)),
    "chosen_score se": ((*NO_NUMBER, 0, -1), lambda x: r.chosen_score([2.0, 1.0], [x, 1.0], 1)),
    "chosen_score heldout": (NO_NUMBER, lambda x: r.chosen_score([2.0, 1.0], [1.0, 1.0], 1, (x, 1.0))),
    "false_winner_rate": (NO_PASS, lambda x: r.false_winner_rate([[x]], [[3]])),
    "false_winner_rate of": ((*NO_COUNT, 0), lambda x: r.false_winner_rate([[True]], [[x]])),
    "EProcess a": ((*NO_NUMBER, 0), lambda x: r.EProcess(a=x)),
    "EProcess alpha": (NO_LEVEL, lambda x: r.EProcess(alpha=x)),
    "EProcess win": (NO_PASS, lambda x: r.EProcess().update(x)),
    "confidence_sequence": (NO_COUNT, lambda x: r.confidence_sequence(x, 1)),
    "confidence_sequence alpha": (NO_LEVEL, lambda x: r.confidence_sequence(1, 1, x)),
    "Futility": (NO_LEVEL, lambda x: r.Futility(low=x)),
    "Futility alpha": (NO_LEVEL, lambda x: r.Futility(alpha=x)),
    "Futility reason": (NO_COUNT, lambda x: r.Futility().reason(x, 1)),
    "Contrast": ((*NO_COUNT, 0), r.Contrast),
    "Contrast reason": (NO_COUNT, lambda x: r.Contrast().reason(9, x)),
    "StopRule": ((*NO_COUNT, 0), lambda x: r.StopRule(cap=x)),
    "StopRule outcome": (NO_PASS, lambda x: r.StopRule().decide([True, x])),
    "unbiased_rate": (NO_COUNT, lambda x: r.unbiased_rate(r.StopRule(2), x, 1)),
    "unbiased_rate missing": (NO_COUNT, lambda x: r.unbiased_rate(r.StopRule(2), 1, 1, x)),
    "round_robin_calls": (NO_COUNT, r.round_robin_calls),
    "halving_calls": (NO_COUNT, r.halving_calls),
    "halving_calls repeats": (NO_SHARE, lambda x: r.halving_calls(8, x)),
    **{
        f"{make.__name__} {what}": case
        for make in (r.Halving, r.Swiss, r.RoundRobin, r.TopTwo)
        for what, case in {
            "n": ((*NO_COUNT, 0), lambda x, make=make: make(x)),
            "calls": ((*NO_COUNT, 0), lambda x, make=make: make(8, x)),
        }.items()
    },
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_such_number_is_refused_by_name(name: str) -> None:
    values, call = CASES[name]
    for value in values:
        with pytest.raises(ValueError) as caught:  # RankingError is one; a TypeError is not
            call(value)
        assert len(str(caught.value)) < 400, value


def test_numbers_of_numpy_and_whole_floats_are_numbers() -> None:
    assert r.pass_at_k(np.int64(5), 2.0, np.float64(2)) == r.pass_at_k(5, 2, 2)
    assert r.mcnemar_exact(np.int32(3), 1.0) == r.mcnemar_exact(3, 1)
    assert r.report_power([np.True_, False]).passes == 1
    assert r.StopRule().decide([np.True_, 1, np.False_, None]).passes == 2
    assert r.false_winner_rate([[np.False_]], [[3]]).failed == 1


def test_the_largest_numbers_keep_their_tests() -> None:
    assert r.obuchowski([1e300, 1e300, 2e300]) == pytest.approx(r.obuchowski([1, 1, 2]))
    assert r.sign_flip([1e308, 1e308, -1e308]) == r.sign_flip([1, 1, -1])
