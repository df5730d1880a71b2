"""Ranking a group: tiers, winners, ties, missing candidates."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import (
    Candidate,
    Comparison,
    EmptyGroup,
    NonFiniteScore,
    Ranking,
    UnknownCandidate,
    objective_comparisons,
    rank,
)

PASS = Candidate(True, 1.0)
FAIL = Candidate(False, 0.0)

CANDIDATES = st.one_of(
    st.none(),
    st.builds(
        Candidate,
        st.sampled_from([True, False, None]),
        st.sampled_from([None, 0.0, 0.5, 1.0]),
        st.sampled_from([(), (3.0,), (3.0, 1.0), (7.0, 1.0)]),
    ),
)


def ranks(ranking: Ranking) -> dict[int, int]:
    return {line.index: line.rank for line in ranking.order}


def test_the_graded_objective_decides_score_first_and_then_the_costs_in_order():
    group = [
        Candidate(False, 0.2, (1.0,)),
        Candidate(True, 1.0, (9.0, 5.0)),
        Candidate(False, 0.7, (50.0,)),
        Candidate(True, 1.0, (4.0, 8.0)),
        Candidate(True, 1.0, (4.0, 2.0)),
    ]
    ranking = rank(group)
    assert [line.index for line in ranking.order] == [4, 3, 1, 2, 0]
    assert [line.rank for line in ranking.order] == [1, 2, 3, 4, 5]
    assert ranking.winner == 4
    assert ranking.comparisons == 3 + 1


def test_no_comparison_lifts_a_failing_candidate_above_a_passing_one():
    comparisons = [Comparison(1, 0, "first", f"judge {k}") for k in range(50)]
    ranking = rank([PASS, FAIL], comparisons)
    assert ranks(ranking) == {0: 1, 1: 2}
    assert ranking.winner == 0
    assert ranking.comparisons == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(CANDIDATES, min_size=1, max_size=7), st.data())
def test_whatever_the_comparisons_say_passing_comes_first_and_only_a_pass_can_win(group, data):
    n = len(group)
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] != p[1])
    outcome = st.sampled_from(["first", "second", "tie", "invalid"])
    drawn = data.draw(st.lists(st.tuples(pairs, outcome), max_size=15)) if n > 1 else []
    ranking = rank(group, [Comparison(i, j, o, "judge") for (i, j), o in drawn])
    place = ranks(ranking)
    assert set(place) | set(ranking.missing) == set(range(n))
    assert not set(place) & set(ranking.missing)
    for good in place:
        for bad in place:
            if group[good].passed is True and group[bad].passed is not True:
                assert place[good] < place[bad]
    if ranking.winner is not None:
        assert group[ranking.winner].passed is True
        assert place[ranking.winner] == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(CANDIDATES, min_size=1, max_size=7), st.randoms(use_true_random=False))
def test_the_order_in_which_candidates_are_given_does_not_matter(group, random):
    label = list(range(len(group)))
    random.shuffle(label)
    moved = [None] * len(group)
    for old, new in enumerate(label):
        moved[new] = group[old]
    before, after = rank(group), rank(moved)
    assert {label[i]: r for i, r in ranks(before).items()} == ranks(after)
    assert after.winner == (None if before.winner is None else label[before.winner])
    assert (after.components, after.comparisons, after.power) == (
        before.components,
        before.comparisons,
        before.power,
    )


def test_nobody_passed_means_no_winner_and_says_so():
    ranking = rank([FAIL, Candidate(False, 0.9), Candidate(None)])
    assert ranking.winner is None
    assert ranking.winner_reason == "none of 3 passed"
    assert ranking.order[0].tier == 1


def test_equals_at_the_top_share_the_first_rank_and_nobody_wins():
    ranking = rank(
        [FAIL, Candidate(True, 1.0, (3.0,)), Candidate(True, 1.0, (3.0,)), Candidate(True, 1.0, (5.0,))]
    )
    assert ranks(ranking) == {1: 1, 2: 1, 3: 3, 0: 4}
    assert ranking.winner is None
    assert ranking.winner_reason == "tie of 2 at the top of 3 that passed"


def test_many_exact_equals_stay_exactly_equal():
    ranking = rank([Candidate(True, 1.0, (float(k % 3),)) for k in range(24)])
    assert sorted(ranks(ranking).values()) == [1] * 8 + [9] * 8 + [17] * 8


def test_a_single_pass_wins_without_a_strength():
    ranking = rank([FAIL, PASS, FAIL])
    assert ranking.winner == 1
    assert ranking.order[0].theta is None
    assert ranking.winner_reason == "the only one of 3 that passed"


def test_unknown_is_tiered_with_the_failures_and_cannot_win():
    ranking = rank([Candidate(None, 1.0), FAIL])
    assert ranking.winner is None
    assert {line.tier for line in ranking.order} == {1}
    assert (ranking.power.n, ranking.power.passes) == (2, 0)


def test_missing_candidates_are_listed_and_neither_ranked_nor_counted():
    ranking = rank([None, PASS, None])
    assert ranking.missing == (0, 2)
    assert [line.index for line in ranking.order] == [1]
    assert ranking.power.n == 1
    nothing = rank([None, None])
    assert (nothing.winner, nothing.winner_reason, nothing.power.pass_rate) == (
        None,
        "no candidate has an outcome",
        None,
    )


def test_passing_candidates_never_compared_with_each_other_have_no_winner():
    ranking = rank([PASS, PASS, PASS], [Comparison(0, 1, "first", "judge")])
    assert ranking.components == 2
    assert ranking.winner is None
    assert ranks(ranking) == {0: 1, 1: 2, 2: 1}  # nothing is known against the third


def test_a_missing_score_is_not_compared_as_a_low_one():
    group = [Candidate(False, None, (9.0,)), Candidate(False, 0.0, (1.0,))]
    assert objective_comparisons(group) == []
    assert rank(group).components == 2


def test_bad_input_is_a_named_error():
    with pytest.raises(EmptyGroup):
        rank([])
    with pytest.raises(NonFiniteScore, match="candidate 1"):
        rank([PASS, Candidate(False, math.nan)])
    with pytest.raises(NonFiniteScore):
        rank([Candidate(True, 1.0, (math.inf,))])
    with pytest.raises(UnknownCandidate):
        rank([PASS, FAIL], [Comparison(0, 7, "first")])
    with pytest.raises(UnknownCandidate):
        rank([PASS, FAIL], [Comparison(0, -1, "invalid")])


def test_the_p_value_of_the_ranking_itself_is_labelled_as_no_evidence():
    group = [PASS] * 6 + [FAIL] * 6
    power = rank(group).power
    assert (power.mcnemar_basis, power.mcnemar_p) == ("in_sample", pytest.approx(0.03125))
    held = rank(group, heldout=[True, False] * 6).power
    assert (held.mcnemar_basis, held.mcnemar_p) == ("heldout", 1.0)
