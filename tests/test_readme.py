"""The README's Python, run as it is pasted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_readme_has_its_examples_and_its_picture() -> None:
    assert len(EXAMPLES) == 2
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (0, ["b000 ", "b003 ", " from step 2 ", "exports/transitions/transitions.parquet"]),
        (1, ["2 failed, 5 passed", "0.3870967741935484 True failed", "the action was not carried out: it is no JSON"]),
    ],
)
def test_an_example_prints_what_the_readme_says(tmp_path: Path, example: int, words: list[str]) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLES[example], encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for piece in words:
        assert piece in done.stdout
