import pytest

from roman import is_roman, parse_roman, to_roman


def test_writing():
    assert to_roman(1994) == "MCMXCIV"


def test_reading_falling_numerals():
    assert parse_roman("XII") == 12


def test_reading_a_subtractive_pair():
    assert parse_roman("IV") == 4


def test_reading_a_long_numeral():
    assert parse_roman("MCMXCIV") == 1994


def test_out_of_range():
    with pytest.raises(ValueError):
        to_roman(4000)


def test_foreign_letters_are_refused():
    with pytest.raises(ValueError):
        parse_roman("ABC")


def test_proper_numeral():
    assert is_roman("XII") and not is_roman("IIII")
