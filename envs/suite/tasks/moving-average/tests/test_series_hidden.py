import pytest

from series import exponential, moving_average, peaks, trend


@pytest.mark.parametrize("n", [1, 2, 5, 9])
@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_against_the_definition(n, window):
    values = [(i * 37) % 11 for i in range(n)]
    expected = [sum(values[i : i + window]) / window for i in range(n - window + 1)]
    assert moving_average(values, window) == pytest.approx(expected)


def test_window_one_is_the_series():
    assert moving_average([3, 1, 2], 1) == [3, 1, 2]


def test_empty_series():
    assert moving_average([], 3) == []


def test_negative_window():
    with pytest.raises(ValueError):
        moving_average([1, 2], -2)


def test_trend_sees_the_last_value():
    assert trend([1, 1, 1, 9], 2) == "up"
    assert trend([9, 9, 9, 1], 2) == "down"
    assert trend([1, 9, 1, 9], 2) == "flat"


def test_trend_of_short_series():
    assert trend([1], 3) == "flat"


def test_exponential_weight_one_is_the_series():
    assert exponential([1, 5, 2], 1) == [1, 5, 2]


def test_exponential_refuses_zero():
    with pytest.raises(ValueError):
        exponential([1], 0)


def test_peaks_need_two_neighbours():
    assert peaks([5, 1, 5]) == []
    assert peaks([1, 2, 2, 1]) == []


def test_exponential_mixes_old_and_new():
    assert exponential([4, 8, 0], 0.25) == pytest.approx([4, 5, 3.75])
