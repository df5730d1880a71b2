import pytest

from histogram import histogram, outside, render


def test_maximum_is_in_the_last_bin():
    assert histogram([0, 5, 10], bins=2) == [1, 2]


def test_values_inside_a_wider_range():
    assert histogram([1, 2, 7], bins=2, low=0, high=10) == [2, 1]


def test_nothing_to_count():
    assert histogram([], bins=3) == [0, 0, 0]


def test_equal_values_share_the_first_bin():
    assert histogram([4, 4], bins=3) == [2, 0, 0]


def test_no_bins_is_an_error():
    with pytest.raises(ValueError):
        histogram([1], bins=0)


def test_outside():
    assert outside([1, 5, 9, 12], 2, 10) == (1, 1)


def test_render():
    assert render([1, 2], width=4) == "   1 ##\n   2 ####"
