import pytest

from poker import kind, parse, straight_top, winners

ASCENDING = [
    "2C 3D 5H 7S 9C",
    "2C 3D 5H 7S AC",
    "2C 2D 3H 4S 5C",
    "2C 2D KH QS JC",
    "3C 3D 2H 4S 5C",
    "2C 2D 3H 3S 4C",
    "2C 2D 3H 3S KC",
    "4C 4D 2H 2S 3C",
    "2C 2D 2H AS KC",
    "3C 3D 3H 2S 4C",
    "AC 2D 3H 4S 5C",
    "2C 3D 4H 5S 6C",
    "TC JD QH KS AC",
    "2C 4C 6C 8C TC",
    "2D 4D 6D 8D QD",
    "2C 2D 2H AS AC",
    "3C 3D 3H 2S 2C",
    "2C 2D 2H 2S AC",
    "3C 3D 3H 3S 2C",
    "AC 2C 3C 4C 5C",
    "2C 3C 4C 5C 6C",
    "TC JC QC KC AC",
]


def test_order_of_hands():
    for i, low in enumerate(ASCENDING):
        for high in ASCENDING[i + 1 :]:
            assert winners([low, high]) == [high], (low, high)


@pytest.mark.parametrize(
    ("hand", "expected"),
    [
        ("AC KD QH JS TC", "straight"),
        ("KC AD 2H 3S 4C", "high card"),
        ("2C 3D 4H 5S KC", "high card"),
        ("AC 2C 3C 4C 5C", "straight flush"),
        ("9C 9D 9H 9S 2C", "four of a kind"),
        ("9C 9D 9H 3S 2C", "three of a kind"),
    ],
)
def test_kinds(hand, expected):
    assert kind(hand) == expected


def test_straight_tops():
    assert straight_top([14, 2, 3, 4, 5]) == 5
    assert straight_top([2, 3, 4, 5, 13]) == 0
    assert straight_top([14, 13, 12, 11, 10]) == 14
    assert straight_top([2, 2, 3, 4, 5]) == 0


def test_order_of_cards_does_not_matter():
    assert winners(["5C 4S 3H 2D AC", "AD 2C 3S 4H 5D"]) == ["5C 4S 3H 2D AC", "AD 2C 3S 4H 5D"]


def test_several_winners_among_many():
    hands = ["2C 3D 5H 7S 9C", "KC KD 9H 4S 6C", "KH KS 9D 4C 6S", "QC QD 9S 4D 6D"]
    assert winners(hands) == ["KC KD 9H 4S 6C", "KH KS 9D 4C 6S"]


def test_kickers_decide_from_high_to_low():
    low, high = "AC AD 9H 4S 2C", "AH AS 9D 5C 2D"
    assert winners([low, high]) == [high]
    assert winners(["KC QD 9H 4S 3C", "KD QC 9S 4H 2D"]) == ["KC QD 9H 4S 3C"]


@pytest.mark.parametrize("text", ["", "2C 2C 3D 4D 5D", "2C 3C 4C 5C", "2X 3C 4C 5C 6C", "10C 3C 4C 5C 6C"])
def test_no_hand(text):
    with pytest.raises(ValueError):
        parse(text)
