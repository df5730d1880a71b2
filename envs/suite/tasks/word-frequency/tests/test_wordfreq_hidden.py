import subprocess

import pytest


@pytest.fixture(scope="module", autouse=True)
def built():
    subprocess.run(["make", "-s", "clean"], check=True)
    done = subprocess.run(["make", "-s", "wordfreq"], capture_output=True, text=True)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr


def count(data):
    if isinstance(data, str):
        data = data.encode()
    done = subprocess.run(["./wordfreq"], input=data, capture_output=True)
    assert done.returncode == 0
    return done.stdout.decode().splitlines()


def letters(n):
    name = ""
    while True:
        name = chr(97 + n % 26) + name
        n = n // 26 - 1
        if n < 0:
            return name


@pytest.mark.parametrize("length", [1, 30, 31, 32, 33, 63, 64, 65, 5000])
def test_words_of_any_length(length):
    word = "q" * length
    assert count(f"{word} a {word}") == [f"2 {word}", "1 a"]


@pytest.mark.parametrize("number", [63, 64, 65, 129, 700])
def test_many_words(number):
    words = [letters(n) for n in range(number)]
    assert count(" ".join(words)) == [f"1 {word}" for word in sorted(words)]


def test_long_words_do_not_overwrite_others():
    words = [c * 60 for c in "abcdef"]
    assert count("\n".join(words * 2)) == [f"2 {w}" for w in words]


def test_order_by_count_then_word():
    assert count("b b a a c c c d") == ["3 c", "2 a", "2 b", "1 d"]


def test_only_ascii_letters_count():
    assert count("na\xefve x2y \x00z".encode("latin-1")) == ["1 na", "1 ve", "1 x", "1 y", "1 z"]


def test_case_is_folded():
    assert count("Ab aB AB ab") == ["4 ab"]


def test_only_separators():
    assert count("... 123 \n\n") == []


def test_last_word_counts_with_earlier_ones():
    assert count("end the end") == ["2 end", "1 the"]


def test_two_words_are_sorted():
    assert count("b a") == ["1 a", "1 b"]
