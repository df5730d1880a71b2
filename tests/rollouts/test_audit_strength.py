"""`rollouts audit verifier` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_tasks import write_task

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--exploit", "hard_exit_at_import", "--exploit", "deleted_tests", "--mutants", "2")


def audit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rollouts", "audit", "verifier", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    directory = write_task(tmp_path / "tasks")
    (directory / "solution").mkdir()
    (directory / "solution" / "solve.sh").write_text("#!/bin/bash\nsed -i 's/ + 1//' calc.py\n")
    return directory


def test_json_has_the_counts_and_a_sound_verifier_ends_with_0(task: Path) -> None:
    done = audit(task.parent, *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert {name: data[name] for name in ("exploits_tried", "exploits_passed")} == {
        "exploits_tried": 2,
        "exploits_passed": 0,
    }
    assert 0 < data["mutants_killed"] <= data["mutants"] <= 2
    assert data["tasks"][0]["task_id"] == "adder"
    assert "1/1 adder" in done.stderr


def test_a_weak_verifier_is_told_by_name_and_ends_with_1(task: Path) -> None:
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace('hidden_tests = "python -m pytest /tests"\n', ""))
    (task / "tests" / "test.sh").write_text(
        "python -m pytest -q /tests && r=1 || r=0; echo $r > /logs/verifier/reward.txt\n"
    )
    done = audit(task.parent, *QUICK)
    assert done.returncode == 1, done.stderr
    assert "passed adder: hard_exit_at_import" in done.stdout
    assert "2 hacks tried, 1 passed" in done.stdout


def test_an_audit_that_could_try_nothing_does_not_hold(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    done = audit(tmp_path / "tasks", *QUICK, "--json")
    assert done.returncode == 1
    assert "has no solution" in json.loads(done.stdout)["problems"]["adder"]


def test_wrong_names_are_wrong_calls(task: Path) -> None:
    assert "did you mean deleted_tests" in audit(task.parent, "--exploit", "delete_tests").stderr
    assert audit(task.parent, "--task", "absent").returncode == 2
    assert audit(task.parent, "--exploit", "delete_tests").returncode == 2
