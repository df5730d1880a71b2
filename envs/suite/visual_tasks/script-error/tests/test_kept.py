"""The page is still made of its parts."""

import json
from pathlib import Path

APP = Path("/app")


def test_the_items_stay_in_their_file():
    assert json.loads((APP / "items.json").read_text()) == {"items": ["Milk", "Apples"]}
    assert "items.json" in (APP / "list.js").read_text()


def test_the_page_still_loads_the_module():
    assert 'type="module"' in (APP / "index.html").read_text()
