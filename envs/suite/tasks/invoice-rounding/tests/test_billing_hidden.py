from fractions import Fraction

import pytest

from billing import Invoice, allocate, parse, round_half_even, show


@pytest.mark.parametrize("denominator", [1, 2, 3, 4, 10, 1000])
def test_rounding_against_exact_arithmetic(denominator):
    for numerator in range(-41, 42):
        assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


def test_large_amounts_stay_exact():
    assert round_half_even(10**30 + 1, 2) == 5 * 10**29
    assert round_half_even(3 * 10**30 + 3, 2) == 15 * 10**29 + 2


@pytest.mark.parametrize("total", [0, 1, 2, 5, 99, 100, 101, 12345])
@pytest.mark.parametrize("weights", [[1], [1, 1], [1, 2, 3], [5, 0, 5], [7, 11, 13, 17], [1] * 7])
def test_parts_add_up_and_are_close(total, weights):
    parts = allocate(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
    assert allocate(-total, weights) == [-part for part in parts]


def test_largest_remainder_first():
    assert allocate(10, [1, 2, 4]) == [1, 3, 6]
    assert allocate(101, [1, 1]) == [51, 50]
    assert allocate(7, [3, 3, 1]) == [3, 3, 1]
    assert allocate(5, [0, 3, 3, 3]) == [0, 2, 2, 1]


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [3, -1]])
def test_bad_weights(weights):
    with pytest.raises(ValueError):
        allocate(5, weights)


def invoice():
    inv = Invoice(discount=100)
    inv.add("book", 2, 1250, 70)
    inv.add("lamp", 1, 3333, 190)
    inv.add("cable", 3, 299, 190)
    return inv


def test_discount_is_spread():
    assert invoice().discounted() == [2463, 3283, 884]
    assert invoice().net() == 6630


def test_tax_after_discount():
    assert invoice().tax() == {70: 172, 190: 792}
    assert invoice().total() == 6630 + 172 + 792


def test_half_cents_of_tax():
    inv = Invoice()
    inv.add("a", 1, 50, 50)
    assert inv.tax() == {50: 2}
    inv.add("b", 1, 20, 50)
    assert inv.tax() == {50: 4}


def test_empty_invoice():
    assert Invoice().total() == 0 and Invoice().tax() == {}


def test_amounts_as_text():
    for text, cents in [("0", 0), ("-0.05", -5), ("7.1", 710), ("100.00", 10000)]:
        assert parse(text) == cents
    assert show(710) == "7.10" and show(0) == "0.00"
    for bad in ("", "1.234", "x", "1.x"):
        with pytest.raises(ValueError):
            parse(bad)
