import pytest

from units import UNITS, UnitError, convert, format_quantity, parse_quantity

PAIRS = [(a, b) for a in UNITS for b in UNITS if UNITS[a][0] == UNITS[b][0]]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_there_and_back(a, b):
    assert convert(convert(17.5, a, b), b, a) == pytest.approx(17.5)


def test_kelvin():
    assert convert(0, "C", "K") == pytest.approx(273.15)
    assert convert(300, "K", "C") == pytest.approx(26.85)


def test_fahrenheit_points():
    assert convert(-40, "C", "F") == pytest.approx(-40)
    assert convert(37, "C", "F") == pytest.approx(98.6)
    assert convert(0, "K", "F") == pytest.approx(-459.67)


def test_lengths_and_weights():
    assert convert(1, "ft", "in") == pytest.approx(12)
    assert convert(1, "lb", "g") == pytest.approx(453.59237)


def test_unknown_unit():
    with pytest.raises(UnitError):
        convert(1, "parsec", "m")
    with pytest.raises(UnitError):
        parse_quantity("3 parsec")


def test_format():
    assert format_quantity(100, "C", 0) == "100 C"
    assert format_quantity(0.125, "m", 2) in ("0.12 m", "0.13 m")
    assert format_quantity(3.0, "m") == "3 m"


def test_kinds_do_not_mix():
    with pytest.raises(UnitError):
        convert(1, "m", "C")


def test_quantities_are_read():
    assert parse_quantity(" 3.5 km ") == (3.5, "km")
