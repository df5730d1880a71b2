import pytest

from calc import CalcError, evaluate, tokenize


def test_precedence():
    assert evaluate("2 + 3 * 4") == 14


def test_subtraction_goes_from_the_left():
    assert evaluate("10 - 3 - 2") == 5


def test_division_goes_from_the_left():
    assert evaluate("100 / 10 / 5") == 2


def test_powers_go_from_the_right():
    assert evaluate("2 ^ 3 ^ 2") == 512


def test_parentheses():
    assert evaluate("(2 + 3) * 4") == 20


def test_unary_minus_is_weaker_than_power():
    assert evaluate("-2 ^ 2") == -4


def test_position_of_an_error():
    with pytest.raises(CalcError) as caught:
        evaluate("1 + * 2")
    assert caught.value.position == 4


def test_tokens():
    assert [kind for kind, _, _ in tokenize("1+(2)")] == ["number", "+", "(", "number", ")", "end"]
