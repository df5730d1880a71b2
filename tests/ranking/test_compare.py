"""Comparing two policies: design, test, interval, missing outcomes, and what must not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import (
    DuplicateKey,
    EmptyGroup,
    NonFiniteScore,
    UnpairedKeys,
    compare,
    mcnemar_exact,
    mcnemar_mdd,
    mcnemar_mid_p,
    obuchowski,
    sign_flip,
    tango,
)

Keyed = dict[tuple[str, int], float | None]
Sides = tuple[list[list[float | None]], ...]


def keyed(rows: list[list[float | None]]) -> Keyed:
    return {(f"t{i:03d}", s): value for i, row in enumerate(rows) for s, value in enumerate(row)}


def sides(shape: tuple[int, int]) -> st.SearchStrategy[Sides]:
    """Outcomes of both sides for (tasks, seeds); the first pair has both, so that there is something to say."""
    tasks, seeds = shape
    row = st.lists(st.sampled_from([0.0, 1.0, 1.0, None]), min_size=seeds, max_size=seeds)
    side = st.lists(row, min_size=tasks, max_size=tasks)
    return st.tuples(side, side).map(_first_pair_known)


def _first_pair_known(both: Sides) -> Sides:
    for side in both:
        side[0][0] = side[0][0] or 0.0
    return both


SIDES = st.tuples(st.integers(2, 25), st.integers(1, 4)).flatmap(sides)
SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30)


def test_one_seed_a_task_is_the_mid_p_mcnemar_test_with_tangos_interval() -> None:
    a = keyed([[1.0]] * 14 + [[0.0]] * 26)
    b = keyed([[1.0]] * 8 + [[0.0]] * 6 + [[1.0]] * 16 + [[0.0]] * 10)
    found = compare(a, b)
    assert (found.b, found.c, found.n_pairs, found.seeds) == (6, 16, 40, 1)
    assert (found.test, found.interval) == ("mcnemar_mid_p", "tango")
    assert found.p == mcnemar_mid_p(6, 16)
    assert found.p_exact_pooled == mcnemar_exact(6, 16)
    assert found.delta_pp == pytest.approx(25.0)
    assert (found.ci_low_pp, found.ci_high_pp) == pytest.approx([100 * end for end in tango(40, 6, 16)])
    assert found.mdd_pp == pytest.approx(100 * mcnemar_mdd(40, 22 / 40))


def test_the_case_the_seed_tells_keeps_its_numbers_and_its_sign() -> None:
    rows_a = [[1.0]] * (108 + 29) + [[0.0]] * (27 + 35)
    rows_b = [[1.0]] * 108 + [[0.0]] * 29 + [[1.0]] * 27 + [[0.0]] * 35
    found = compare(keyed(rows_a), keyed(rows_b))
    assert (found.n_pairs, found.b, found.c) == (199, 29, 27)
    assert found.delta_pp == pytest.approx(-1.005, abs=0.001)
    assert found.p_exact_pooled == pytest.approx(0.8939, abs=5e-5)
    assert found.ci_low_pp is not None and found.ci_low_pp < 0 < found.ci_high_pp


@pytest.mark.parametrize(("tasks", "test"), [(19, "sign_flip"), (20, "obuchowski")])
def test_several_seeds_a_task_are_tested_with_the_task_as_the_unit(tasks: int, test: str) -> None:
    rng = np.random.default_rng(tasks)
    a, b = rng.integers(0, 2, (tasks, 4)), rng.integers(0, 2, (tasks, 4))
    found = compare(keyed(a.tolist()), keyed(b.tolist()))
    differences = list((b - a).mean(axis=1))
    assert found.test == test
    assert found.p == pytest.approx((obuchowski if test == "obuchowski" else sign_flip)(differences))
    assert found.delta_pp == pytest.approx(100 * np.mean(differences))


def test_a_task_that_decides_everything_is_one_task() -> None:
    """Pooled over 8 seeds, one odd task is p = 0.008; of 20 tasks, it is nothing."""
    a = keyed([[0.0] * 8] * 20)
    b = keyed([[1.0] * 8] + [[0.0] * 8] * 19)
    found = compare(a, b)
    assert found.p_exact_pooled == pytest.approx(2 * 0.5**8)
    assert found.p > 0.3


def test_equal_outcomes_have_p_1_and_an_interval_with_a_width() -> None:
    for rows in ([[1.0]] * 10, [[0.0, 0.0]] * 10, [[1.0, 0.0]] * 30, [[0.25]] * 12):
        found = compare(keyed(rows), keyed(rows))
        assert (found.delta_pp, found.p) == (0.0, 1.0)
        assert found.ci_low_pp is not None and found.ci_low_pp < -1 < 1 < found.ci_high_pp


def test_a_difference_of_0_between_unequal_outcomes_is_never_significant() -> None:
    """The predecessor's bootstrap gave p near 0 for a difference of 0."""
    rows = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]] * 15
    found = compare(keyed(rows), keyed(rows[::-1]))
    assert found.delta_pp == pytest.approx(0.0)
    assert found.p == pytest.approx(1.0)
    assert found.ci_low_pp is not None and found.ci_low_pp < 0 < found.ci_high_pp


def test_scores_are_compared_by_flipping_signs_task_by_task() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((30, 1)), rng.random((30, 1))
    found = compare(keyed(a.tolist()), keyed(b.tolist()))
    assert (found.test, found.interval, found.p_exact_pooled) == ("sign_flip", "sign_flip", None)
    assert found.p == sign_flip(list((b - a)[:, 0]))
    assert (found.b, found.c) == (int((a > b).sum()), int((a < b).sum()))


def test_one_task_tells_nothing_about_others() -> None:
    found = compare(keyed([[0.0] * 6]), keyed([[1.0] * 6]))
    assert (found.delta_pp, found.p, found.ci_low_pp, found.mdd_pp) == (100.0, 1.0, None, None)


def test_keys_that_differ_are_an_error_that_names_them() -> None:
    a = keyed([[1.0, 1.0], [1.0, 1.0]])
    b = {key: value for key, value in a.items() if key != ("t001", 1)} | {("t002", 0): 1.0}
    with pytest.raises(UnpairedKeys, match="only the second has t002"):
        compare(a, b)
    b = {key: value for key, value in a.items() if key != ("t001", 1)}
    with pytest.raises(UnpairedKeys, match="only the first has t001 1; only the second has none"):
        compare(a, b)


def test_long_lists_of_keys_are_cut() -> None:
    many = keyed([[1.0]] * 1000)
    with pytest.raises(UnpairedKeys, match="and 997 more") as caught:
        compare(many, {("other", 0): 1.0})
    assert len(str(caught.value)) < 300


def test_duplicates_emptiness_and_values_that_are_none_are_refused() -> None:
    with pytest.raises(DuplicateKey, match="the second side has two outcomes for t 1"):
        compare([(("t", 1), 1.0)], [(("t", 1), 1.0), (("t", 1), 0.0)])
    with pytest.raises(EmptyGroup, match="first side has no outcomes"):
        compare({}, keyed([[1.0]]))
    with pytest.raises(EmptyGroup, match="no pair has an outcome on both sides"):
        compare(keyed([[None, 1.0]]), keyed([[1.0, None]]))
    for value in (1.5, -0.1, math.nan, math.inf):
        with pytest.raises(NonFiniteScore, match="t000 0"):
            compare(keyed([[value]]), keyed([[1.0]]))


def test_missing_outcomes_are_in_no_rate_and_bound_what_they_could_change() -> None:
    a = keyed([[0.0, 0.0], [1.0, None], [0.0, 0.0], [1.0, 1.0]])
    b = keyed([[1.0, 1.0], [1.0, 0.0], [None, None], [1.0, 1.0]])
    found = compare(a, b)
    assert (found.n_tasks, found.n_pairs) == (3, 5)
    assert (found.n_missing_a, found.n_missing_b) == (1, 2)
    assert found.delta_pp == pytest.approx(100 * (1 + 0 + 0) / 3)
    assert found.delta_low_worst_pp == pytest.approx(100 * (1 - 0.5 + 0 + 0) / 4)
    assert found.delta_high_worst_pp == pytest.approx(100 * (1 + 0 + 1 + 0) / 4)
    assert found.sign_survives
    assert [line.delta_pp for line in found.tasks] == [100.0, 0.0, None, 0.0]


def test_a_sign_that_missing_outcomes_could_turn_does_not_survive() -> None:
    found = compare(keyed([[0.0], [None], [1.0]]), keyed([[1.0], [1.0], [1.0]]))
    assert found.delta_pp > 0
    assert found.delta_low_worst_pp > 0
    found = compare(keyed([[0.0], [None], [1.0]]), keyed([[1.0], [0.0], [None]]))
    assert found.delta_pp > 0 > found.delta_low_worst_pp
    assert not found.sign_survives


def test_several_comparisons_have_a_wider_interval_that_holds_for_all() -> None:
    a, b = keyed([[1.0]] * 30 + [[0.0]] * 30), keyed([[1.0]] * 40 + [[0.0]] * 20)
    alone, together = compare(a, b), compare(a, b, comparisons=5)
    assert alone.simultaneous_pp is None
    assert (together.ci_low_pp, together.p) == (alone.ci_low_pp, alone.p)
    assert together.simultaneous_pp is not None
    assert together.simultaneous_pp == pytest.approx(
        [100 * end for end in tango(60, 0, 10, z=2.5758293)], abs=1e-6
    )


def test_task_means_are_compared_when_seeds_do_not_correspond() -> None:
    a = keyed([[1.0, 0.0], [1.0, 1.0], [None, None], [0.0, 0.0]])
    b = {
        (f"t{i:03d}", s + 100): v
        for i, row in enumerate([[1.0] * 3, [1.0, 0.0, 0.5], [1.0], [1.0, 0.0]])
        for s, v in enumerate(row)
    }
    found = compare(a, b, by="task")
    assert found.delta_pp == pytest.approx(100 * (0.5 - 0.5 + 0.5) / 3)
    assert (found.test, found.n_tasks, found.n_pairs, found.b, found.c) == ("sign_flip", 3, 3, None, None)
    assert found.n_missing_a == 2
    with pytest.raises(UnpairedKeys, match="same task keys"):
        compare(a, keyed([[1.0]]), by="task")


@settings(max_examples=60, deadline=None)
@given(SIDES)
def test_exchanging_the_policies_turns_the_sign_and_keeps_p(
    both: Sides,
) -> None:
    a, b = map(keyed, both)
    one, other = compare(a, b), compare(b, a)
    assert other.delta_pp == pytest.approx(-one.delta_pp, abs=1e-9)
    assert other.p == pytest.approx(one.p)
    assert (other.b, other.c) == (one.c, one.b)
    assert other.delta_low_worst_pp == pytest.approx(-one.delta_high_worst_pp, abs=1e-9)
    if one.ci_low_pp is not None:
        assert other.ci_high_pp == pytest.approx(-one.ci_low_pp, abs=1e-6)
        assert one.ci_low_pp - 1e-9 <= one.delta_pp <= one.ci_high_pp + 1e-9
    assert 0 < one.p <= 1


@settings(max_examples=60, deadline=None)
@given(SIDES, st.randoms(use_true_random=False))
def test_names_and_the_order_of_tasks_and_seeds_do_not_matter(both: Sides, random: object) -> None:
    a, b = map(keyed, both)
    names = {key: (f"x{hash(key[0]) % 10**9}-{key[0]}", f"seed {7 * key[1]}") for key in a}
    shuffled = list(a)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = compare(a, b)
    other = compare([(names[k], a[k]) for k in shuffled], {names[k]: b[k] for k in reversed(shuffled)})
    for name in ("delta_pp", "ci_low_pp", "ci_high_pp", "p", "mdd_pp", "delta_low_worst_pp"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(SIDES, st.data())
def test_one_more_win_never_lowers_the_difference(both: Sides, data: st.DataObject) -> None:
    a, b = map(keyed, both)
    failed = [key for key, value in b.items() if value == 0.0]
    if failed:
        better = b | {data.draw(st.sampled_from(failed)): 1.0}
        assert compare(a, better).delta_pp >= compare(a, b).delta_pp - 1e-9


@settings(max_examples=40, deadline=None)
@given(SCORES)
def test_scores_keep_the_same_symmetries(pairs: list[tuple[float, float]]) -> None:
    a, b = keyed([[x] for x, _ in pairs]), keyed([[y] for _, y in pairs])
    one, other = compare(a, b), compare(b, a)
    assert other.delta_pp == pytest.approx(-one.delta_pp, abs=1e-9)
    assert other.p == pytest.approx(one.p)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(2, 12), st.integers(2, 4)).flatmap(sides))
def test_below_20_tasks_interval_and_test_say_the_same(both: Sides) -> None:
    """The t interval said -55.0 to -11.7 where the signs said p = 0.12."""
    found = compare(*map(keyed, both))
    if found.test == "sign_flip" and found.ci_low_pp is not None:
        assert (found.ci_low_pp > 0 or found.ci_high_pp < 0) == (found.p < 0.05)


@pytest.mark.parametrize(("tasks", "seeds", "attainable"), [(5, 2, False), (6, 2, True), (4, 1, False)])
def test_too_few_tasks_for_any_p_below_the_level_are_told(tasks: int, seeds: int, attainable: bool) -> None:
    found = compare(keyed([[0.0] * seeds] * tasks), keyed([[1.0] * seeds] * tasks))
    assert found.attainable == attainable == (found.p < 0.05)
    if not attainable and seeds > 1:
        assert (found.ci_low_pp, found.ci_high_pp) == (-100.0, 100.0)


def test_seeds_that_only_look_alike_are_paired_with_themselves() -> None:
    side = [(("t", 0), 1.0), (("t", "0"), 0.0), ((1, 0), 1.0), (("1", 0), 0.0)]
    found = compare(side, side[::-1])
    assert (found.b, found.c, found.n_tasks) == (0, 0, 3)
    assert compare(side[::-1], side).tasks == found.tasks
