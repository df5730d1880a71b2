import pytest

from trie import Trie


def test_stored_words_are_found():
    trie = Trie(["cat", "dog"])
    assert "cat" in trie and "dog" in trie


def test_prefix_of_a_word_is_no_word():
    assert "ca" not in Trie(["cat"])


def test_suggestions():
    assert Trie(["cart", "cat", "dog"]).with_prefix("ca") == ["cart", "cat"]


def test_unknown_prefix():
    assert Trie(["cat"]).with_prefix("x") == []


def test_empty_word_is_refused():
    with pytest.raises(ValueError):
        Trie([""])


def test_longer_text_than_the_word():
    assert Trie(["cat"]).longest_prefix_of("cats") == "cat"
