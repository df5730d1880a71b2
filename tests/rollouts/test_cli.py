"""The command line as a user meets it: what it prints, and how it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from small_tasks import FAIL, SOLVE, call, write_task

from rollouts.plan import derive_seed

ROOT = Path(__file__).resolve().parents[2]


def rollouts(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rollouts", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run with winners and losers."""
    root = tmp_path_factory.mktemp("cli")
    write_task(root / "tasks")
    config = {
        "tasks": str(root / "tasks"),
        "branches": 8,
        "policy": {"name": "scripted", "options": {"branches": [SOLVE, FAIL]}},
        "engine": {"kind": "inline"},
    }
    (root / "config.yaml").write_text(yaml.safe_dump(config))
    done = rollouts("run", root / "config.yaml", "--out", root / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(root / "run")
    return root / "run"


def test_show_prints_a_line_per_task_and_the_totals(run_dir: Path) -> None:
    shown = rollouts("show", run_dir)
    assert shown.returncode == 0
    assert "adder" in shown.stdout
    assert "1 tasks, 8 branches" in shown.stdout


def test_show_json_has_the_documented_shape(run_dir: Path) -> None:
    data = json.loads(rollouts("show", run_dir, "--json").stdout)
    assert set(data["totals"]) == {"tasks", "branches", "solved", "failed", "missing"}
    assert set(data["tasks"][0]) == {"task_id", "branches", "solved", "failed", "missing", "winner"}
    assert data["totals"]["solved"] + data["totals"]["failed"] == 8


def test_show_task_draws_the_fork_tree(run_dir: Path) -> None:
    shown = rollouts("show", run_dir, "--task", "adder").stdout
    assert "b000" in shown
    assert "hidden tests" in shown


def test_a_finished_branch_is_forked_at_a_step_and_ranked_with_its_siblings(run_dir: Path) -> None:
    before = json.loads(rollouts("show", run_dir, "--json").stdout)["totals"]["branches"]
    done = rollouts("fork", run_dir, "--branch", "adder/b000", "--step", 1, "-n", 2)
    assert done.returncode == 0, done.stderr
    after = json.loads(rollouts("show", run_dir, "--json").stdout)["totals"]["branches"]
    assert after == before + 2
    ranked = json.loads(rollouts("rank", run_dir, "--json").stdout)[0]
    assert len(ranked["order"]) == after


def test_export_prints_rows_and_files(run_dir: Path) -> None:
    done = rollouts("export", run_dir, "--to", "dpo")
    assert done.returncode == 0, done.stderr
    files = [line for line in done.stdout.splitlines() if line.endswith((".jsonl", ".parquet"))]
    assert files
    assert all(Path(line).exists() for line in files)


def test_the_report_is_written_and_named(run_dir: Path) -> None:
    assert rollouts("report", run_dir).stdout.strip() == str(run_dir / "report.html")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nowhere.yaml"], 2, "nowhere.yaml: no such config file"),
        (["run", "configs/quickstart.yaml", "--set", "brances=2"], 2, "did you mean branches?"),
        (["run", "configs/quickstart.yaml", "--set", "tasks=nowhere"], 2, "nowhere"),
        (["run", "configs/anthropic.yaml"], 3, "ANTHROPIC_API_KEY"),
        (["run"], 2, "config"),
        (["rnu"], 2, "rnu"),
        (["show", "nowhere"], 2, "no such run directory"),
        (["show", "configs"], 2, "not a run directory"),
        (["export", "nowhere", "--to", "stf"], 2, "sft"),
    ],
)
def test_a_wrong_call_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    done = rollouts(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_forking_an_unknown_branch_or_step_says_what_there_is(run_dir: Path) -> None:
    assert "no such branch" in rollouts("fork", run_dir, "--branch", "adder/b999", "--step", 1).stderr
    assert "has steps 0 to" in rollouts("fork", run_dir, "--branch", "adder/b000", "--step", 99).stderr


@pytest.mark.slow
def test_the_doctor_finds_a_machine_that_passes_these_tests_fit() -> None:
    done = rollouts("doctor", "--clean", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert not any(finding["lacks"] for finding in found.values())
    assert "keeps its contract" in found["sandbox"]["detail"]
    held = " ".join(found["sandbox"]["notes"])
    assert "memory_mb is held by" in held and "disk_mb is held by" in held
    assert found["isolation"]["detail"].endswith("tried, none open")
    assert "removed" in found["left-overs of local"]["detail"]


@pytest.mark.slow
def test_the_doctor_ends_with_3_when_something_needed_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rollouts", "doctor"],
        env={**os.environ, "PATH": "/nowhere"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout.startswith("ok   python: 3.") and "\n     - " in done.stdout
    assert "LACK bash: missing" in done.stdout and "apt-get install bash" in done.stdout


def test_a_task_that_cannot_be_set_up_is_told_and_does_not_fail_the_batch(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks", "good")
    write_task(tmp_path / "tasks", "broken", setup="RUN false\n")
    config = {
        "tasks": str(tmp_path / "tasks"),
        "branches": 2,
        "policy": {"name": "scripted", "options": {"branches": [SOLVE, FAIL]}},
        "engine": {"kind": "inline"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = rollouts("run", tmp_path / "config.yaml", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "skipped broken" in done.stdout and "broken: set-up failed, task skipped" in done.stderr
    done = rollouts(
        "run", tmp_path / "config.yaml", "--set", "task_ids=[broken]", "--out", tmp_path / "other"
    )
    assert done.returncode == 1, "a run without any outcome is a problem"


def test_a_task_that_nothing_can_verify_is_told_at_the_start(tmp_path: Path) -> None:
    task = {"id": "blind", "instruction": "Do something.", "files": {"a.py": "x = 1\n"}}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(task) + "\n")
    config = {
        "tasks": str(tmp_path / "tasks.jsonl"),
        "branches": 1,
        "policy": {"name": "scripted", "options": {"replies": FAIL}},
        "engine": {"kind": "inline", "retries": 0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = rollouts("run", tmp_path / "config.yaml", "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "doubtful: blind: there are no hidden tests: nothing can be verified" in done.stderr
    totals = json.loads(rollouts("show", tmp_path / "run", "--json").stdout)["totals"]
    assert (totals["failed"], totals["missing"]) == (0, 1)


@pytest.mark.parametrize(
    ("engine", "number"),
    [
        ("inline", signal.SIGINT),
        pytest.param("ray", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("ray", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_says_so_in_one_line_and_goes_on_from_there(
    tmp_path: Path, engine: str, number: signal.Signals
) -> None:
    write_task(tmp_path / "tasks")
    slow = [call("bash", command="sleep 6"), *SOLVE]
    seed = next(s for s in range(99) if [derive_seed(s, "adder", i) % 2 for i in (0, 1)] == [0, 1])
    config = {
        "tasks": str(tmp_path / "tasks"),
        "branches": 2,
        "policy": {"name": "scripted", "options": {"branches": [SOLVE, slow]}},
        "engine": {"kind": engine},
        "seed": seed,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "rollouts", "run", tmp_path / "config.yaml", "--out", tmp_path / "run"]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: written(tmp_path / "run") == ["b000"])
        run.send_signal(number)
        told = run.communicate(timeout=30)[1]
    finally:
        run.kill()
    assert run.returncode == 130
    assert told.splitlines()[-1].startswith("rollouts: stopped; what was done is kept")
    assert "Traceback" not in told and "SIGTERM" not in told
    assert written(tmp_path / "run") == ["b000"]
    assert rollouts(*command[3:]).returncode == 0
    assert sorted(written(tmp_path / "run")) == ["b000", "b001"]


def written(run_dir: Path) -> list[str]:
    files = (run_dir / "branches").glob("*.jsonl")
    return [json.loads(line)["lineage"]["branch_id"] for f in files for line in f.read_text().splitlines()]


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.1)


@pytest.mark.slow
def test_modules_that_lie_in_the_current_directory_are_not_taken_for_ours(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    (tmp_path / "ranking.py").write_text("raise SystemExit('not yours')\n")
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            {"tasks": "tasks", "branches": 1, "policy": {"name": "scripted", "options": {"replies": SOLVE}}}
        )
    )
    command = [Path(sys.executable).with_name("rollouts"), "run", "config.yaml", "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert written(tmp_path / "run") == ["b000"]
