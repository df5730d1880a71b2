import pytest

from daterange import DateRange, days_in_month, is_leap, next_day, weekday


def test_length_includes_both_ends():
    assert len(DateRange((2023, 5, 1), (2023, 5, 5))) == 5


def test_single_day():
    assert list(DateRange((2023, 5, 1), (2023, 5, 1))) == [(2023, 5, 1)]


def test_ordinary_leap_year():
    assert is_leap(2024) and days_in_month(2024, 2) == 29


def test_century_is_no_leap_year():
    assert not is_leap(1900)


def test_new_year():
    assert next_day((2023, 12, 31)) == (2024, 1, 1)


def test_known_weekday():
    assert weekday((2023, 5, 1)) == 0


def test_no_such_day():
    with pytest.raises(ValueError):
        DateRange((2023, 2, 29), (2023, 3, 1))


def test_contains():
    assert (2023, 5, 5) in DateRange((2023, 5, 1), (2023, 5, 5))
