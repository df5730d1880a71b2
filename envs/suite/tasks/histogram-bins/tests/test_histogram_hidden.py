import pytest

from histogram import bin_index, histogram, outside, render


def test_one_bin_holds_all():
    assert histogram([1, 2, 3], bins=1) == [3]


def test_inner_edges_belong_to_the_upper_bin():
    assert histogram([0, 1, 2, 3, 4], bins=4) == [1, 1, 1, 2]


def test_explicit_range_includes_both_ends():
    assert histogram([0, 10], bins=5, low=0, high=10) == [1, 0, 0, 0, 1]


def test_values_outside_are_dropped():
    assert histogram([-1, 0, 10, 11], bins=2, low=0, high=10) == [1, 1]


def test_negative_values():
    assert histogram([-10, -5, 0], bins=2) == [1, 2]


@pytest.mark.parametrize("bins", [1, 2, 3, 7, 10])
def test_every_value_is_counted_once(bins):
    values = [(i * 31) % 101 for i in range(60)]
    assert sum(histogram(values, bins)) == 60


def test_bin_index_directly():
    assert bin_index(10, 0, 10, 5) == 4
    assert bin_index(9.99, 0, 10, 5) == 4
    assert bin_index(0, 0, 10, 5) == 0
    assert bin_index(2, 0, 10, 5) == 1
    assert bin_index(3, 3, 3, 5) == 0


def test_bad_range():
    with pytest.raises(ValueError):
        histogram([1], low=5, high=2)


def test_outside_ends_are_inside():
    assert outside([2, 10], 2, 10) == (0, 0)


def test_render_of_zeros():
    assert render([0, 0]) == "   0\n   0"
    assert render([]) == ""


def test_there_has_to_be_a_bin():
    with pytest.raises(ValueError):
        histogram([1, 2], bins=0)


def test_the_fullest_bin_is_as_wide_as_asked():
    assert render([1, 4]) == "   1 " + "#" * 5 + "\n   4 " + "#" * 20
    assert render([2, 8, 4], width=8) == "   2 ##\n   8 ########\n   4 ####"
