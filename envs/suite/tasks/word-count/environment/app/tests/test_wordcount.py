from wordcount import average_length, counts, top, words


def test_plain_words():
    assert words("The cat, the dog.") == ["the", "cat", "the", "dog"]


def test_apostrophe_inside_a_word():
    assert words("I don't know") == ["i", "don't", "know"]


def test_hyphen_inside_a_word():
    assert words("a well-known fact") == ["a", "well-known", "fact"]


def test_top_words():
    assert top("b a b c a d", 2) == [("a", 2), ("b", 2)]


def test_ignored_words():
    assert counts("the cat the", ignore={"the"}) == {"cat": 1}


def test_average_length():
    assert average_length("ab abcd") == 3.0
    assert average_length("") == 0.0
