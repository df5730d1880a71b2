"""The verdict on a claimed difference: its decision table, its invariances, the published case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.claim_tables import PairedTable
from ranking.claims import audit
from ranking.errors import EmptyGroup

#: One item: right for A and B, cut off for A and B, right for A and B when read again; None is not known.
MAYBE = st.sampled_from([True, False, None])
ITEMS = st.lists(st.tuples(MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE), min_size=1, max_size=120).filter(
    lambda items: any(None not in item[:2] for item in items)
)


def audited(*groups, alpha=0.05, again=False):
    """Audit of (count, right A, right B, cut off A, cut off B[, again A, again B]) groups of items."""
    items = [group[1:] for group in groups for _ in range(group[0])]
    columns = [[item[i] for item in items] for i in range(4)]
    if again:
        second = [[(*item, None, None)[i] for item in items] for i in (4, 5)]
        return audit(*columns, reread_a=second[0], reread_b=second[1], alpha=alpha)
    return audit(*columns, alpha=alpha)


def columns(items, order=(0, 1, 2, 3, 4, 5)):
    return [[item[i] for item in items] for i in order]


def run(items, order=(0, 1, 2, 3, 4, 5), names=("A", "B")):
    *four, again_a, again_b = columns(items, order)
    return audit(*four, reread_a=again_a, reread_b=again_b, names=names)


@given(ITEMS)
def test_swapping_the_two_sides_mirrors_the_result(items):
    one, other = run(items), run(items, (1, 0, 3, 2, 5, 4), ("B", "A"))
    assert (one.table.b, one.table.c) == (other.table.c, other.table.b)
    assert one.table.p_exact == other.table.p_exact
    assert one.table.delta_pp == pytest.approx(-other.table.delta_pp)
    assert one.table.ci_low_pp == pytest.approx(-other.table.ci_high_pp)
    assert one.truncation.p_exact == other.truncation.p_exact
    assert one.worst_case.low_pp == pytest.approx(-other.worst_case.high_pp)
    assert one.worst_case.p_exact == other.worst_case.p_exact
    assert one.verdict == other.verdict


@given(ITEMS, st.randoms(use_true_random=False))
def test_the_order_of_the_items_is_irrelevant(items, random):
    shuffled = random.sample(items, len(items))
    assert run(items) == run(shuffled)


@given(ITEMS)
def test_ok_needs_the_difference_everywhere_and_truncation_known_and_alike(items):
    found = run(items)
    if found.verdict == "ok":
        assert found.table.p_exact < 0.05
        assert found.clean is not None
        assert found.clean.p_exact < 0.05
        assert (found.clean.c > found.clean.b) == (found.table.c > found.table.b)
        assert found.truncation.known
        assert found.truncation.p_exact >= 0.05
        assert found.reread is None or found.reread.table.p_exact < 0.05


@given(ITEMS)
def test_the_bounds_hold_every_way_the_missing_outcomes_could_have_gone(items):
    found = run(items)
    for filled in (True, False):
        right = [sum(filled if item[i] is None else item[i] for item in items) for i in (0, 1)]
        difference = 100 * (right[1] - right[0]) / len(items)
        assert found.missing_bound.low_pp - 1e-9 <= difference <= found.missing_bound.high_pp + 1e-9
    assert found.worst_case.low_pp <= found.missing_bound.low_pp + 1e-9
    assert found.worst_case.high_pp >= found.missing_bound.high_pp - 1e-9


def test_the_published_case_is_an_artefact_with_300_tokens():
    """n=200, b=21, c=41: only the counts are published; who was cut off is made up to fit the story."""
    found = audited(
        (78, True, True, False, False),
        (21, True, False, False, False),
        (25, False, True, True, False),
        (16, False, True, False, False),
        (30, False, False, True, True),
        (30, False, False, True, False),
    )
    assert (found.table.n, found.table.b, found.table.c) == (200, 21, 41)
    assert found.table.p_exact == pytest.approx(0.0151, abs=5e-5)
    assert found.table.delta_pp == 10.0
    assert found.verdict == "artefact"
    assert "A was cut off more often" in found.reason


def test_the_published_case_shows_nothing_with_768_tokens():
    """n=199, b=29, c=27: one item of the 200 ended in an error."""
    found = audited(
        (108, True, True, False, False),
        (29, True, False, False, False),
        (27, False, True, False, False),
        (35, False, False, False, False),
        (1, True, None, False, None),
    )
    assert (found.table.n, found.table.b, found.table.c) == (199, 29, 27)
    assert found.table.p_exact == pytest.approx(0.8939, abs=5e-5)
    assert found.table.delta_pp == pytest.approx(-1.005, abs=1e-3)
    assert found.missing_b == 1
    assert found.verdict == "inconclusive"
    assert found.mdd_pp == pytest.approx(10.8, abs=0.05)
    assert "only differences from 10.8 pp on" in found.reason


PLAIN = ((40, True, True, False, False), (40, False, False, False, False))
WIN = (30, False, True, False, False)
LOSS = (5, True, False, False, False)


def test_a_clear_difference_without_truncation_is_ok():
    found = audited(*PLAIN, WIN, LOSS)
    assert found.verdict == "ok"
    assert found.reason.startswith("B is ahead by 21.7 pp (p=2.2e-05)")
    assert found.clean == found.table


def test_balanced_truncation_that_leaves_the_difference_is_ok():
    assert audited(*PLAIN, WIN, LOSS, (10, False, False, True, True)).verdict == "ok"


def test_agreement_on_every_item_shows_nothing():
    found = audited(*PLAIN)
    assert found.verdict == "inconclusive"
    assert "agree on all 80 items" in found.reason
    assert found.table.p_exact == 1.0
    assert found.mdd_pp is None


def test_five_items_can_show_nothing():
    found = audited((5, False, True, False, False))
    assert found.verdict == "inconclusive"
    assert "too few for p < 0.05" in found.reason


def test_unknown_truncation_is_never_ok():
    for unknown in ((1, True, True, None, False), (1, True, True, False, None)):
        found = audited(*PLAIN, WIN, LOSS, unknown)
        assert found.verdict == "inconclusive"
        assert "truncation is unknown for 1 of 116 items" in found.reason
    found = audited((30, False, True, None, None), (5, True, False, None, None))
    assert found.clean is None
    assert found.truncation.p_exact is None
    assert "35 of 35 items of A and 35 of 35 items of B" in found.reason


def test_truncation_of_the_loser_that_leaves_the_difference_is_inconclusive():
    found = audited(*PLAIN, WIN, LOSS, (10, False, False, True, False))
    assert found.verdict == "inconclusive"
    assert "A was cut off more often" in found.reason


def test_truncation_of_the_winner_cannot_have_made_the_difference():
    found = audited(
        *PLAIN,
        (12, False, True, False, False),
        (12, False, True, False, True),
        (10, True, False, False, False),
    )
    assert found.verdict == "inconclusive"
    assert "B was cut off more often" in found.reason


def test_a_difference_that_turns_round_on_the_clean_items_is_an_artefact():
    found = audited(
        (20, True, False, False, False), (60, False, True, True, True), (5, False, True, False, False)
    )
    assert found.verdict == "artefact"
    assert "the opposite" in found.reason


def test_balanced_truncation_that_holds_the_whole_difference_is_inconclusive():
    found = audited(*PLAIN, (20, False, True, True, True), LOSS)
    assert found.verdict == "inconclusive"
    assert "cut off in neither" in found.reason


def test_nothing_left_to_compare_is_no_support():
    found = audited((40, False, True, True, False), (5, True, False, True, False))
    assert found.verdict == "artefact"
    assert "nothing is left to compare" in found.reason


def test_answers_of_one_side_that_the_scorer_did_not_see_are_an_artefact():
    found = audited(
        *PLAIN, (20, False, True, False, False, True, None), (10, False, True, False, False), LOSS, again=True
    )
    assert found.verdict == "artefact"
    assert "20 outcomes of A and 0 of B change" in found.reason
    assert (found.reread.table.b, found.reread.table.c) == (5, 10)


def test_a_second_reading_that_unsettles_both_sides_alike_is_inconclusive():
    seen_late = (6, False, True, False, False, True, None)
    taken_back = (6, False, True, False, False, None, False)
    found = audited(*PLAIN, seen_late, taken_back, (8, False, True, False, False), LOSS, again=True)
    assert found.table.p_exact < 0.05
    assert found.reread.p_exact == 1.0
    assert found.verdict == "inconclusive"
    assert "with every answer read again" in found.reason


def test_missing_outcomes_that_could_undo_the_difference_are_inconclusive():
    assert audited(*PLAIN, WIN, LOSS, (1, None, True, None, False)).verdict == "ok"
    found = audited(*PLAIN, WIN, LOSS, (10, None, False, None, False), (2, True, None, False, None))
    assert found.verdict == "inconclusive"
    assert "missing (10 of A, 2 of B) could undo it" in found.reason


def test_equality_is_not_claimed_where_truncation_differs():
    found = audited(*PLAIN, (20, False, True, False, False), (20, True, False, True, False))
    assert found.verdict == "inconclusive"
    assert "truncation differs" in found.reason


def test_outputs_cut_off_and_wrong_widen_the_worst_case():
    found = audited(*PLAIN, WIN, LOSS, (15, False, False, True, True))
    assert found.missing_bound.low_pp == found.missing_bound.high_pp == pytest.approx(found.table.delta_pp)
    assert found.worst_case.low_pp == pytest.approx(100 * (25 - 15) / 130)
    assert found.worst_case.high_pp == pytest.approx(100 * (25 + 15) / 130)


def test_nothing_passes_nothing():
    for items in ([], [None] * 3):
        with pytest.raises(EmptyGroup, match="outcome on both sides"):
            audit(items, items, items, items)
    with pytest.raises(ValueError, match="one entry per item"):
        audit([True], [True, False], [False], [False])
    with pytest.raises(ValueError, match="alpha"):
        audit([True], [True], [False], [False], alpha=1.0)
    assert PairedTable.of(0, 0, 0).delta_pp is None
