"""A task that takes milliseconds, written to a directory, and scripts that solve it, fail it or misbehave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TOML = """schema_version = "1.4"
[task]
name = "test/{name}"
version = "1"
description = "an off-by-one"
[metadata.rollout_fork]
visible_tests = "python -m pytest -q tests"
hidden_tests = "python -m pytest /tests"
language = "python"
difficulty = "easy"
group = "tiny"
"""


def write_task(root: Path, name: str = "adder", *, setup: str = "") -> Path:
    """Write the task directory `root/name`; `setup` is added to its Dockerfile."""
    task = root / name
    files = {
        "instruction.md": "`add` in calc.py returns a wrong sum. Mend it.\n",
        "task.toml": TOML.format(name=name),
        "environment/Dockerfile": f"FROM python:3.11-slim\nWORKDIR /app\nCOPY app/ /app/\n{setup}",
        "environment/app/calc.py": "def add(a, b):\n    return a + b + 1\n",
        "environment/app/tests/test_calc.py": "from calc import add\n\n\ndef test_one():\n    assert add(1, 1) == 2\n",
        "tests/test_hidden.py": "from calc import add\n\n\ndef test_two():\n    assert add(2, 3) == 5\n\n\n"
        "def test_zero():\n    assert add(0, 0) == 0\n",
        "tests/test.sh": "python -m pytest -q /tests && echo 1 > /logs/verifier/reward.txt\n",
    }
    for path, text in files.items():
        target = task / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return task


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """One scripted reply with one tool call."""
    return {"tool": tool, "arguments": arguments}


EDIT = call("edit_file", path="calc.py", old="a + b + 1", new="a + b")
SOLVE = [call("run_tests"), EDIT, call("run_tests"), call("submit", answer="mended")]
FAIL = [call("run_tests"), call("submit", answer="looks fine to me")]
