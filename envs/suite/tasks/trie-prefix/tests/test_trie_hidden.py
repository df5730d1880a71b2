from trie import Trie

WORDS = ["a", "an", "and", "ant", "banana", "band", "bandana"]


def test_only_stored_words_are_listed():
    assert Trie(WORDS).with_prefix("") == WORDS


def test_words_inside_words():
    trie = Trie(["band", "bandana"])
    assert "band" in trie and "bandana" in trie and "bandan" not in trie
    assert trie.with_prefix("band") == ["band", "bandana"]


def test_shorter_word_added_later():
    trie = Trie(["cart"])
    assert "car" not in trie
    trie.add("car")
    assert "car" in trie and len(trie) == 2


def test_size_counts_words_once():
    trie = Trie(["cat", "cat", "cart"])
    assert len(trie) == 2


def test_limit():
    assert Trie(WORDS).with_prefix("an", limit=2) == ["an", "and"]
    assert Trie(WORDS).with_prefix("an", limit=0) == []


def test_empty_trie():
    assert Trie().with_prefix("") == [] and len(Trie()) == 0 and "" not in Trie()


def test_longest_prefix():
    trie = Trie(["foo", "foobar"])
    assert trie.longest_prefix_of("foobarbaz") == "foobar"
    assert trie.longest_prefix_of("foobaz") == "foo"
    assert trie.longest_prefix_of("fo") == ""


def test_absent_words():
    trie = Trie(WORDS)
    for word in ("b", "ba", "bananas", "x"):
        assert word not in trie
