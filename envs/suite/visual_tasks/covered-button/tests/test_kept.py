"""What the page had before is still there."""

from pathlib import Path

PAGE = Path("/app/index.html").read_text()


def test_the_notice_keeps_its_text():
    assert "Notes are kept on this computer only." in PAGE


def test_the_form_keeps_its_fields():
    assert all(f'id="{name}"' in PAGE for name in ("title", "text", "save", "status"))
