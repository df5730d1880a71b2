import pytest

from poker import kind, parse, winners


def test_kinds():
    assert kind("2C 2D 5H 5S KC") == "two pairs"
    assert kind("2C 2D 2H 5S 5C") == "full house"
    assert kind("2C 9C JC 5C KC") == "flush"


def test_straight():
    assert kind("5C 6D 7H 8S 9C") == "straight"


def test_small_straight():
    assert kind("AC 2D 3H 4S 5C") == "straight"


def test_better_kind_wins():
    pair, three = "2C 2D 5H 6S KC", "3C 3D 3H 6D KD"
    assert winners([pair, three]) == [three]


def test_higher_pair_wins():
    aces, kings = "AC AD 5H 3S 2C", "KC KD 9H 4S 6C"
    assert winners([kings, aces]) == [aces]


def test_tie():
    a, b = "AC AD 5H 3S 2C", "AH AS 5D 3C 2D"
    assert winners([a, b]) == [a, b]


def test_bad_card():
    with pytest.raises(ValueError):
        parse("1C 2C 3C 4C 5C")
