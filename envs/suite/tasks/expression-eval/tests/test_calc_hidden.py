import random

import pytest

from calc import CalcError, evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 - 2 + 3", 2),
        ("1 - 2 - 3 - 4", -8),
        ("2 * 3 / 4 * 2", 3),
        ("8 / 2 / 2 / 2", 1),
        ("2 ^ 2 ^ 3", 256),
        ("2 * 3 ^ 2", 18),
        ("(2 * 3) ^ 2", 36),
        ("10 - (3 - 2)", 9),
        ("-3 - -3", 0),
        ("-(2 + 3) * 2", -10),
        ("2 ^ -1", 0.5),
        ("-2 ^ 2 - 1", -5),
        ("-2 * 3 - 4", -10),
        ("1.5 * 4", 6),
        ("  7 ", 7),
        ("2-3*4-5/5", -11),
    ],
)
def test_values(text, value):
    assert evaluate(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "position"),
    [("", 0), ("1 +", 3), ("(1", 2), ("1)", 1), ("2 & 3", 2), ("1 2", 2), ("1 / 0", 2), ("()", 1)],
)
def test_errors(text, position):
    with pytest.raises(CalcError) as caught:
        evaluate(text)
    assert caught.value.position == position


def test_long_chains():
    assert evaluate(" - ".join(["100", *["1"] * 50])) == 50
    assert evaluate(" / ".join(["1024", *["2"] * 10])) == 1


def test_random_expressions_against_python():
    rng = random.Random(5)
    for _ in range(200):
        parts = [str(rng.randint(1, 9))]
        for _ in range(rng.randrange(1, 7)):
            parts += [rng.choice("+-*/"), str(rng.randint(1, 9))]
        text = " ".join(parts)
        assert evaluate(text) == pytest.approx(eval(text)), text


def test_spaces_do_not_matter():
    assert evaluate("8-2 - 1") == evaluate("8 - 2-1") == evaluate(" 8-2-1 ") == 5


def test_nested_parentheses():
    assert evaluate("20 - (9 - (4 - 1) - 1) - 1") == 14


def test_message_names_the_place():
    with pytest.raises(CalcError, match="division by zero at 6"):
        evaluate("4 - 1 / (2 - 1 - 1)")
