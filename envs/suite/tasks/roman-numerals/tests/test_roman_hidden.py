import pytest

from roman import is_roman, numeral_value, parse_roman, to_roman


@pytest.mark.parametrize("number", [1, 4, 9, 14, 40, 49, 90, 99, 400, 444, 900, 999, 1666, 2024, 3999])
def test_round_trip(number):
    assert parse_roman(to_roman(number)) == number


def test_every_number_reads_back():
    assert [parse_roman(to_roman(n)) for n in range(1, 400)] == list(range(1, 400))


def test_lower_case_and_space():
    assert parse_roman("  xiv ") == 14


def test_empty_is_refused():
    with pytest.raises(ValueError):
        parse_roman("  ")


@pytest.mark.parametrize("text", ["IIII", "VX", "IC", "", "Q", "XM"])
def test_improper(text):
    assert not is_roman(text)


@pytest.mark.parametrize("text", ["IV", "ix", "CDXLIV", "MMMCMXCIX"])
def test_proper(text):
    assert is_roman(text)


def test_value_of_single_letters():
    assert [numeral_value(c) for c in "IVXLCDM"] == [1, 5, 10, 50, 100, 500, 1000]


def test_zero_is_out_of_range():
    with pytest.raises(ValueError):
        to_roman(0)


def test_the_largest_is_3999():
    with pytest.raises(ValueError):
        to_roman(4000)
