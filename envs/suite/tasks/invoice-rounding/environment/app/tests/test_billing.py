import pytest

from billing import Invoice, allocate, parse, round_half_even, show


def test_rounding_up():
    assert round_half_even(18, 10) == 2


def test_half_goes_to_even():
    assert [round_half_even(n, 2) for n in (1, 3, 5)] == [0, 2, 2]


def test_parts_add_up():
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]


def test_even_split():
    assert allocate(90, [1, 2]) == [30, 60]


def test_amounts_as_text():
    assert parse("12.5") == 1250 and show(-5) == "-0.05"


def test_tax_per_rate():
    invoice = Invoice()
    invoice.add("pen", 1, 33, 190)
    invoice.add("ink", 1, 33, 190)
    invoice.add("cap", 1, 33, 190)
    assert invoice.tax() == {190: 19}


def test_discount_too_large():
    invoice = Invoice(discount=500)
    invoice.add("pen", 1, 100, 190)
    with pytest.raises(ValueError):
        invoice.total()
