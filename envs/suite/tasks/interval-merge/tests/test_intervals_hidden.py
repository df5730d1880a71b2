import pytest

from intervals import covered, free_slots, merge, overlaps


def test_a_chain_of_touching_bookings():
    assert merge([(11, 12), (8, 9), (9, 10), (10, 11)]) == [(8, 12)]


def test_gap_of_one_stays():
    assert merge([(8, 9), (10, 11)]) == [(8, 9), (10, 11)]


def test_contained_booking_does_not_shorten():
    assert merge([(8, 18), (9, 10), (18, 19)]) == [(8, 19)]


def test_merge_of_nothing():
    assert merge([]) == []


def test_fractions_of_hours():
    assert merge([(9.5, 10.25), (10.25, 11.0)]) == [(9.5, 11.0)]


def test_equal_starts():
    assert merge([(9, 12), (9, 10)]) == [(9, 12)]


def test_no_empty_slot_between_touching_bookings():
    assert free_slots([(9, 11), (11, 12)], 9, 13) == [(12, 13)]


def test_fully_booked_day():
    assert free_slots([(8, 12), (12, 18)], 8, 18) == []


def test_bookings_outside_opening_hours():
    assert free_slots([(5, 7), (19, 20)], 8, 18) == [(8, 18)]


def test_booking_that_begins_before_opening():
    assert free_slots([(6, 9)], 8, 18) == [(9, 18)]


def test_covered_of_touching():
    assert covered([(1, 2), (2, 3), (5, 6)]) == 3


def test_overlaps_is_symmetric():
    assert overlaps((1, 5), (4, 6)) and overlaps((4, 6), (1, 5))
    assert not overlaps((1, 2), (2, 3)) and not overlaps((2, 3), (1, 2))


def test_backward_interval_is_refused():
    with pytest.raises(ValueError):
        merge([(5, 4)])


def test_empty_interval_is_refused():
    with pytest.raises(ValueError):
        merge([(5, 5)])
