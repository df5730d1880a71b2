"""The page keeps its panels."""

from pathlib import Path

PAGE = Path("/app/index.html").read_text()


def test_the_panels_are_kept():
    assert all(PAGE.count(f'id="{name}"') == 1 for name in ("kitchen", "study", "garden"))


def test_the_words_are_kept():
    assert all(words in PAGE for words in ("The stove is off.", "The lamp is on.", "It has been watered."))
