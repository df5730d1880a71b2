import pytest

from wordcount import average_length, counts, is_joiner, top, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'quoted' words", ["quoted", "words"]),
        ("rock - paper", ["rock", "paper"]),
        ("-x-", ["x"]),
        ("mother-in-law's", ["mother-in-law's"]),
        ("dogs' tails", ["dogs", "tails"]),
        ("a--b", ["a", "b"]),
        ("", []),
        ("'", []),
        ("1-2 x2y", ["x", "y"]),
        ("Don't DON'T", ["don't", "don't"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_joiner_needs_letters_on_both_sides():
    assert is_joiner("a-b", 1)
    assert not is_joiner("a-1", 1)
    assert not is_joiner("1-a", 1)
    assert not is_joiner("-ab", 0)
    assert not is_joiner("ab-", 2)
    assert not is_joiner("a.b", 1)


def test_counts_fold_case():
    assert counts("It's it's IT") == {"it's": 2, "it": 1}


def test_top_limits_and_ties():
    assert top("c b a") == [("a", 1), ("b", 1), ("c", 1)]
    assert top("x", 0) == []
    assert top("don't don't do", 1) == [("don't", 2)]


def test_average_length_counts_joiners():
    assert average_length("it's") == 4.0


def test_ignored_words_may_have_joiners():
    assert counts("don't stop, don't", ignore={"don't"}) == {"stop": 1}


def test_joiner_across_a_line_break():
    assert words("semi-\nfinal o'\nclock") == ["semi", "final", "o", "clock"]


def test_top_gives_three_unless_asked():
    assert [word for word, _ in top("d c b a")] == ["a", "b", "c"]
