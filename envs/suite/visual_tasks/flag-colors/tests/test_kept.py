"""The flag is drawn, not shown from a file."""

from pathlib import Path

PAGE = Path("/app/index.html").read_text()


def test_there_is_no_picture_in_the_page():
    assert "<img" not in PAGE and "url(" not in PAGE and "<canvas" not in PAGE
