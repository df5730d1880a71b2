import datetime

import pytest

from daterange import DateRange, days_in_month, is_leap, next_day, ordinal, weekday


def test_leap_years_against_the_calendar():
    for year in [1, 4, 100, 400, 1600, 1700, 1800, 1900, 2000, 2023, 2024, 2100, 2400]:
        expected = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        assert is_leap(year) is expected, year


@pytest.mark.parametrize("day", [(1, 1, 1), (1900, 3, 1), (2000, 2, 29), (2023, 12, 31), (2024, 2, 29), (2024, 3, 1)])
def test_ordinals_and_weekdays(day):
    real = datetime.date(*day)
    assert ordinal(day) == real.toordinal()
    assert weekday(day) == real.weekday()


def test_range_over_leap_day():
    days = list(DateRange((2024, 2, 28), (2024, 3, 1)))
    assert days == [(2024, 2, 28), (2024, 2, 29), (2024, 3, 1)]


def test_year_lengths():
    assert len(DateRange((2024, 1, 1), (2024, 12, 31))) == 366
    assert len(DateRange((2023, 1, 1), (2023, 12, 31))) == 365
    assert len(DateRange((1900, 1, 1), (1900, 12, 31))) == 365


def test_workdays_of_a_week():
    week = DateRange((2023, 5, 1), (2023, 5, 7))
    assert week.workdays() == 5
    assert week.workdays(holidays={(2023, 5, 1)}) == 4


def test_workdays_of_a_single_friday():
    assert DateRange((2023, 5, 5), (2023, 5, 5)).workdays() == 1


def test_split_by_month():
    leave = DateRange((2024, 1, 30), (2024, 3, 2))
    assert leave.split_by_month() == {(2024, 1): 2, (2024, 2): 29, (2024, 3): 2}


def test_ends_are_contained():
    leave = DateRange((2023, 5, 1), (2023, 5, 5))
    assert (2023, 5, 1) in leave and (2023, 5, 6) not in leave and (2023, 4, 30) not in leave


def test_backwards_is_refused():
    with pytest.raises(ValueError):
        DateRange((2023, 5, 2), (2023, 5, 1))


def test_february():
    assert [days_in_month(y, 2) for y in (1900, 2000, 2023, 2024)] == [28, 29, 28, 29]
    assert next_day((1900, 2, 28)) == (1900, 3, 1)


@pytest.mark.parametrize("day", [(101, 3, 1), (401, 1, 1), (1201, 12, 31), (9999, 12, 31)])
def test_ordinals_after_centuries(day):
    assert ordinal(day) == datetime.date(*day).toordinal()


@pytest.mark.parametrize("day", [(2023, 2, 29), (2024, 2, 30), (2024, 13, 1), (2024, 4, 0)])
def test_days_that_do_not_exist_are_refused(day):
    with pytest.raises(ValueError):
        DateRange(day, (2025, 1, 1))
