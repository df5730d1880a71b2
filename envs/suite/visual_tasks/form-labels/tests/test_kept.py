"""The page keeps its ids."""

from pathlib import Path

PAGE = Path("/app/index.html").read_text()


def test_the_ids_are_kept():
    assert all(PAGE.count(f'id="{name}"') == 1 for name in ("email", "send", "answer"))


def test_the_words_are_kept():
    assert all(word in PAGE for word in ("Email address", "Every day", "Every week", "Subscribe"))
