import pytest

from units import UnitError, convert, format_quantity, parse_quantity


def test_length():
    assert convert(2, "km", "m") == 2000


def test_boiling_water_in_fahrenheit():
    assert convert(100, "C", "F") == pytest.approx(212)


def test_fahrenheit_to_celsius():
    assert convert(32, "F", "C") == pytest.approx(0)


def test_same_unit():
    assert convert(5, "K", "K") == 5


def test_kinds_do_not_mix():
    with pytest.raises(UnitError):
        convert(1, "kg", "m")


def test_reading_and_writing():
    assert parse_quantity("3.5 km") == (3.5, "km")
    assert format_quantity(2.50, "kg") == "2.5 kg"
