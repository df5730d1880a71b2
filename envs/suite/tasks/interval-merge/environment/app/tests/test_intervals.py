import pytest

from intervals import covered, free_slots, merge, overlaps


def test_overlapping_bookings_are_one_block():
    assert merge([(9, 11), (10, 12)]) == [(9, 12)]


def test_touching_bookings_are_one_block():
    assert merge([(9, 11), (11, 12)]) == [(9, 12)]


def test_separate_bookings_stay_separate():
    assert merge([(13, 14), (9, 10)]) == [(9, 10), (13, 14)]


def test_free_slots_between_bookings():
    assert free_slots([(9, 10), (12, 13)], 8, 18) == [(8, 9), (10, 12), (13, 18)]


def test_covered_counts_overlaps_once():
    assert covered([(9, 11), (10, 12)]) == 3


def test_touching_is_not_overlapping():
    assert not overlaps((9, 11), (11, 12))


def test_empty_interval_is_refused():
    with pytest.raises(ValueError):
        merge([(9, 9)])
