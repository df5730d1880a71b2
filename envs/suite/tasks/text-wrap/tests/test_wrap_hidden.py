import pytest

from wrap import widest, wrap

TEXT = "the quick brown fox jumps over the lazy dog and runs away"


@pytest.mark.parametrize("width", range(1, 30))
def test_no_line_is_too_wide_and_nothing_is_lost(width):
    lines = wrap(TEXT, width)
    assert widest(lines) <= width
    assert "".join(lines).replace(" ", "") == TEXT.replace(" ", "")


@pytest.mark.parametrize("width", range(6, 30))
def test_lines_are_as_full_as_possible(width):
    lines = wrap(TEXT, width)
    for line, following in zip(lines, lines[1:]):
        assert len(line) + 1 + len(following.split()[0]) > width


def test_remainder_of_a_cut_word_is_filled():
    assert wrap("abcdefgh i", 5) == ["abcde", "fgh i"]


def test_indent_counts_towards_the_width():
    lines = wrap(TEXT, 12, indent="    ")
    assert widest(lines) <= 12
    assert all(line.startswith("    ") for line in lines[1:])
    assert wrap("aaaa bb cc dd", 7, indent="  ") == ["aaaa bb", "  cc dd"]


def test_word_of_exactly_the_width():
    assert wrap("abcde fghij", 5) == ["abcde", "fghij"]


def test_several_paragraphs_and_blank_lines():
    assert wrap("\n\na b\nc\n\n\n d\n", 3) == ["a b", "c", "", "d"]


def test_empty_text():
    assert wrap("", 5) == [] and wrap(" \n ", 5) == []


def test_bad_width():
    with pytest.raises(ValueError):
        wrap("a", 0)
