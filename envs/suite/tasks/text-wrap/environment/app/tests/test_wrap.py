import pytest

from wrap import wrap, widest


def test_line_is_filled_to_the_width():
    assert wrap("aaa bb cc", 6) == ["aaa bb", "cc"]


def test_short_text_is_one_line():
    assert wrap("one two", 20) == ["one two"]


def test_long_word_is_cut():
    assert wrap("abcdefgh", 5) == ["abcde", "fgh"]


def test_paragraphs_stay_apart():
    assert wrap("a\n\nb", 5) == ["a", "", "b"]


def test_indent():
    assert wrap("aaaa bbb", 5, indent="> ") == ["aaaa", "> bbb"]


def test_no_room_is_an_error():
    with pytest.raises(ValueError):
        wrap("a", 2, indent="> ")


def test_widest():
    assert widest(["a", "abc"]) == 3 and widest([]) == 0
