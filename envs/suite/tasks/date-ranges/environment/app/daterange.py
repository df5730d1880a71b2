"""Ranges of days, both ends included, without the datetime module (the device has none)."""

MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def is_leap(year):
    return year % 4 == 0 and (year % 100 == 0 or year % 400 == 0)


def days_in_month(year, month):
    if month == 2 and is_leap(year):
        return 29
    return MONTH_DAYS[month - 1]


def ordinal(day):
    """Days since 0001-01-01, which is 1."""
    year, month, dom = day
    if not 1 <= month <= 12 or not 1 <= dom <= days_in_month(year, month):
        raise ValueError(f"no such day: {day}")
    before = year - 1
    total = before * 365 + before // 4 - before // 100 + before // 400
    for earlier in range(1, month):
        total += days_in_month(year, earlier)
    return total + dom


def next_day(day):
    year, month, dom = day
    if dom < days_in_month(year, month):
        return (year, month, dom + 1)
    if month < 12:
        return (year, month + 1, 1)
    return (year + 1, 1, 1)


def weekday(day):
    """0 is Monday, 6 is Sunday."""
    return (ordinal(day) - 1) % 7


class DateRange:
    """From `first` to `last`, both included; days are (year, month, day)."""

    def __init__(self, first, last):
        if ordinal(first) > ordinal(last):
            raise ValueError("the range ends before it starts")
        self.first = first
        self.last = last

    def __len__(self):
        return ordinal(self.last) - ordinal(self.first)

    def __iter__(self):
        day = self.first
        for _ in range(len(self)):
            yield day
            day = next_day(day)

    def __contains__(self, day):
        return ordinal(self.first) <= ordinal(day) <= ordinal(self.last)

    def workdays(self, holidays=()):
        return sum(1 for day in self if weekday(day) < 5 and day not in holidays)

    def split_by_month(self):
        """{(year, month): number of days}."""
        months = {}
        for year, month, _ in self:
            months[year, month] = months.get((year, month), 0) + 1
        return months
