import subprocess

import pytest


@pytest.fixture(scope="module", autouse=True)
def built():
    subprocess.run(["make", "-s", "wordfreq"], check=True)


def count(text):
    done = subprocess.run(["./wordfreq"], input=text.encode(), capture_output=True)
    assert done.returncode == 0
    return done.stdout.decode().splitlines()


def test_counts():
    assert count("The cat. The dog, the end.\n")[0] == "3 the"


def test_last_word_without_line_break():
    assert count("one") == ["1 one"]


def test_long_word():
    assert count("x" * 200 + "\n") == ["1 " + "x" * 200]


def test_ties_are_sorted():
    assert count("pear fig apple kiwi plum date\n") == [f"1 {w}" for w in "apple date fig kiwi pear plum".split()]


def test_nothing():
    assert count("") == []
