"""The bundled suite in the eyes of the `harbor` package, which wrote the layout.

Harbor wants a newer Python than we do, so it may stand in an environment of its own: HARBOR_PYTHON names
its interpreter. Without one, and without harbor beside us, these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from envs.load import SUITE, load_tasks

PYTHON = os.environ.get("HARBOR_PYTHON") or (sys.executable if importlib.util.find_spec("harbor") else None)
CHECK = Path(__file__).parents[2] / "scripts" / "check_harbor.py"

pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="harbor 0.25 needs Python 3.12: set HARBOR_PYTHON to an interpreter that has it"
)


def check(*directories: Path) -> subprocess.CompletedProcess[str]:
    assert PYTHON
    command = [PYTHON, str(CHECK), *map(str, directories)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_every_bundled_task_loads_in_harbor_under_the_name_we_know_it_by() -> None:
    tasks = load_tasks("suite").tasks
    result = check(*(task.path for task in tasks if task.path))
    assert result.returncode == 0, result.stdout + result.stderr
    names = [line.removeprefix("ok ").rpartition("/")[2] for line in result.stdout.splitlines()]
    assert names == [task.id for task in tasks]


def test_the_check_can_fail(tmp_path: Path) -> None:
    (tmp_path / "instruction.md").write_text("x")
    (tmp_path / "task.toml").write_text('[agent]\ntimeout_sec = "soon"\n')
    result = check(tmp_path, next(iter(SUITE.iterdir())))
    assert result.returncode == 1
    assert result.stdout.startswith(f"error {tmp_path}: ") and "timeout_sec" in result.stdout
