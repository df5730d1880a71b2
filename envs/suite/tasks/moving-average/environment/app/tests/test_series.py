import pytest

from series import exponential, moving_average, peaks, trend


def test_one_value_per_full_window():
    assert moving_average([1, 2, 3, 4], 2) == [1.5, 2.5, 3.5]


def test_window_as_long_as_the_series():
    assert moving_average([2, 4, 6], 3) == [4.0]


def test_window_longer_than_the_series():
    assert moving_average([1, 2], 3) == []


def test_window_below_one_is_refused():
    with pytest.raises(ValueError):
        moving_average([1], 0)


def test_exponential_follows_slowly():
    assert exponential([10, 20], 0.5) == [10, 15.0]


def test_peaks():
    assert peaks([1, 3, 2, 5, 4]) == [1, 3]


def test_trend_of_one_window_is_flat():
    assert trend([1, 2], 2) == "flat"
