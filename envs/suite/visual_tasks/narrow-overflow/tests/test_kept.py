"""The page keeps its content, and nothing is cut off to make it fit."""

from pathlib import Path

PAGE, STYLE = Path("/app/prices.html").read_text(), Path("/app/prices.css").read_text()


def test_every_plan_is_still_offered():
    assert all(f"Choose {name}" in PAGE for name in ("Small", "Team", "House"))


def test_nothing_is_hidden_to_make_the_page_fit():
    assert "overflow" not in STYLE.replace(" ", "") and "display:none" not in STYLE.replace(" ", "")
