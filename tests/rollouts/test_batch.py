"""Batches: each branch once, whatever is killed; tasks that cannot be set up are skipped; retries are kept."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_tasks import EDIT, FAIL, SOLVE, call, write_task

from rollouts.batch import run_batch
from rollouts.config import parse_config
from rollouts.errors import ConfigError, EnvironmentLacks, RunDirError
from rollouts.memory import open_memory
from rollouts.records import BranchRecord
from rollouts.store import RunStore
from rollouts.views import summary
from rollouts.views.summary import figures
from rollouts.views.tables import totals

ROOT = Path(__file__).resolve().parents[2]


def config_text(tasks: Path, replies: Any = SOLVE, **settings: Any) -> str:
    """A config for scripted branches in this process."""
    options = replies if isinstance(replies, dict) else {"replies": replies}
    base: dict[str, Any] = {
        "tasks": str(tasks),
        "branches": 3,
        "policy": {"name": "scripted", "options": options},
        "engine": {"kind": "inline"},
        "report": False,
    }
    return yaml.safe_dump(base | settings)


def records(path: Path) -> list[BranchRecord]:
    with RunStore.open(path) as store:
        return list(store.branches())


async def test_a_batch_writes_every_branch_once_and_ranks_every_rollout(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_task(tmp_path / "tasks", name)
    result = await run_batch(parse_config(config_text(tmp_path / "tasks")), tmp_path / "runs" / "a")
    found = records(tmp_path / "runs" / "a")
    assert result.branches == len(found) == 6
    assert len({r.key for r in found}) == 6
    with RunStore.open(tmp_path / "runs" / "a") as store:
        assert set(store.rankings()) == {"one", "two"}


async def test_the_same_command_again_does_nothing_twice(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    config = parse_config(config_text(tmp_path / "tasks"))
    await run_batch(config, tmp_path / "runs" / "a")
    again = await run_batch(config, tmp_path / "runs" / "a")
    assert (again.branches, again.resumed) == (0, 3)
    assert len(records(tmp_path / "runs" / "a")) == 3


async def test_another_config_on_the_same_run_is_refused_with_the_difference(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    await run_batch(parse_config(config_text(tmp_path / "tasks")), tmp_path / "a")
    with pytest.raises(RunDirError, match=r"branches.*3.*4"):
        await run_batch(parse_config(config_text(tmp_path / "tasks", branches=4)), tmp_path / "a")


async def test_a_task_whose_setup_fails_is_skipped_and_told(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks", "good")
    write_task(tmp_path / "tasks", "bad", setup="RUN echo no luck >&2; exit 7\n")
    result = await run_batch(parse_config(config_text(tmp_path / "tasks")), tmp_path / "a")
    assert list(result.skipped_tasks) == ["bad"]
    assert "no luck" in result.skipped_tasks["bad"]
    assert {r.task.task_id for r in records(tmp_path / "a")} == {"good"}


async def test_a_task_that_cannot_be_read_is_reported_and_the_others_run(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks", "good")
    (write_task(tmp_path / "tasks", "bad") / "task.toml").write_text("schema_version = [\n")
    result = await run_batch(parse_config(config_text(tmp_path / "tasks")), tmp_path / "a")
    assert len(result.problems) == 1
    assert "task.toml" in result.problems[0]
    assert result.branches == 3


async def test_what_the_machinery_failed_is_tried_again_and_every_attempt_is_kept(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    config = parse_config(
        config_text(tmp_path / "tasks", {"replies": SOLVE, "errors": {0: "overloaded"}}, branches=1)
    )
    await run_batch(config, tmp_path / "a")
    (record,) = records(tmp_path / "a")
    assert (record.result.ending, record.lineage.attempt) == ("policy_error", 1)
    with RunStore.open(tmp_path / "a") as store:
        assert [a["attempt"] for a in store.attempts()] == [0, 1]
        ranking = store.rankings()["adder"]
    assert (ranking.winner, ranking.missing) == (None, ["b000"])


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"tasks": "no/such/dir"}, Exception, "no/such/dir"),
        ({"policy": {"name": "mutatoin"}}, ConfigError, "mutation"),
        (
            {"policy": {"name": "anthropic", "options": {"model": "claude-opus-5"}}},
            EnvironmentLacks,
            "ANTHROPIC_API_KEY",
        ),
        ({"exports": ["stf"]}, ConfigError, "sft"),
        ({"task_ids": ["ader"]}, ConfigError, "adder"),
        ({"backend": {"name": "subprocess"}}, Exception, "allow_unsandboxed"),
        ({"backend": {"name": "locla"}}, Exception, "local"),
        ({"engine": {"kind": "ray", "address": "127.0.0.1:9"}}, EnvironmentLacks, "no Ray cluster at 127"),
    ],
)
async def test_what_is_wrong_with_a_call_is_found_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    write_task(tmp_path / "tasks")
    with pytest.raises(error, match=words):
        await run_batch(
            parse_config(config_text(**({"tasks": tmp_path / "tasks"} | settings))), tmp_path / "a"
        )
    assert not (tmp_path / "a").exists()


async def test_winners_are_remembered_and_shown_to_later_batches_of_other_tasks_only(tmp_path: Path) -> None:
    write_task(tmp_path / "first", "adder")
    similar = write_task(tmp_path / "second", "summer")
    instruction = "`add` in calc.py returns a wrong sum for every pair. Mend it.\n"
    (similar / "instruction.md").write_text(instruction)
    runs = tmp_path / "runs"
    await run_batch(parse_config(config_text(tmp_path / "first")), runs / "a")
    memory = open_memory("sqlite", runs / "memory.sqlite")
    assert memory.count() == 1
    memory.close()
    await run_batch(parse_config(config_text(tmp_path / "first", branches=1)), runs / "b")
    assert records(runs / "b")[0].sampling.memories == []
    await run_batch(parse_config(config_text(tmp_path / "second", branches=1)), runs / "c")
    shown = records(runs / "c")[0]
    assert len(shown.sampling.memories) == 1
    assert "return a + b" in shown.trajectory.messages[1].content
    assert "return a + b" not in shown.trajectory.messages[0].content


async def test_exports_and_report_are_written_when_asked_for(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    mixed = {"branches": [SOLVE, FAIL]}
    config = parse_config(
        config_text(tmp_path / "tasks", mixed, branches=8, exports=["transitions", "sft", "dpo"], report=True)
    )
    await run_batch(config, tmp_path / "a")
    endings = Counter(r.result.ending for r in records(tmp_path / "a"))
    assert set(endings) == {"solved", "failed"}
    for name in ("transitions", "sft", "dpo"):
        files = {p.suffix for p in (tmp_path / "a" / "exports" / name).iterdir()}
        assert {".jsonl", ".parquet"} <= files
    page = (tmp_path / "a" / "report.html").read_text()
    assert "adder" in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")


async def test_an_unwritable_run_directory_stops_cleanly(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    (tmp_path / "a").write_text("a file, not a directory")
    with pytest.raises(RunDirError):
        await run_batch(parse_config(config_text(tmp_path / "tasks")), tmp_path / "a")


@pytest.mark.slow
def test_a_batch_on_ray_killed_half_way_is_finished_by_the_same_command(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        write_task(tmp_path / "tasks", name)
    slow = [call("bash", command="sleep 0.3"), *SOLVE]
    config = tmp_path / "config.yaml"
    config.write_text(config_text(tmp_path / "tasks", slow, branches=6, engine={"kind": "ray"}))
    out = tmp_path / "run"
    command = [sys.executable, "-m", "rollouts", "run", str(config), "--out", str(out)]
    first = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 90
    while _lines(out) < 3 and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = _lines(out)
    assert 3 <= before < 18
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines()[-1] == str(out)
    found = records(out)
    assert len(found) == len({r.key for r in found}) == 18
    assert {r.result.ending for r in found} == {"solved"}
    shown = subprocess.run(
        [sys.executable, "-m", "rollouts", "show", str(out), "--json"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert json.loads(shown.stdout)["totals"] == {
        "tasks": 3,
        "branches": 18,
        "solved": 18,
        "failed": 0,
        "missing": 0,
    }


def _lines(run: Path) -> int:
    return sum(p.read_bytes().count(b"\n") for p in run.glob("branches/*.jsonl"))


async def test_a_batch_grows_trees_as_its_config_says(tmp_path: Path) -> None:
    """Forks start from the states their parents went through, and share their first steps with them."""
    write_task(tmp_path / "tasks")
    text = config_text(tmp_path / "tasks", branches=2, fork={"at": "step", "step": 2, "branches": 2})
    result = await run_batch(parse_config(text), tmp_path / "a")
    found = sorted(records(tmp_path / "a"), key=lambda r: r.lineage.index)
    assert result.branches == 6
    assert [(r.lineage.parent, r.lineage.fork_step) for r in found[2:]] == [("b000", 2)] * 2 + [
        ("b001", 2)
    ] * 2
    by_name = {r.lineage.branch_id: r for r in found}
    for child in found[2:]:
        parent = by_name[child.lineage.parent or ""]
        assert child.lineage.fork_state == parent.trajectory.steps[1].state
        assert child.trajectory.steps[:2] == parent.trajectory.steps[:2]
        assert (child.result.steps, child.result.ending) == (2, "solved")
    with RunStore.open(tmp_path / "a") as store:
        assert len(store.rankings()["adder"].order) == 6


async def test_a_tree_that_was_interrupted_is_finished_as_it_was_planned(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    text = config_text(tmp_path / "tasks", branches=2, fork={"at": "step", "step": 2, "branches": 2})
    await run_batch(parse_config(text), tmp_path / "whole")
    await run_batch(parse_config(text), tmp_path / "torn")
    file = tmp_path / "torn" / "branches" / "driver.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]) + lines[3][:100])
    (tmp_path / "torn" / "rankings.jsonl").unlink()
    again = await run_batch(parse_config(text), tmp_path / "torn")
    assert (again.resumed, again.branches) == (3, 3)

    def shape(name: str) -> set[tuple[Any, ...]]:
        return {
            (r.lineage.branch_id, r.lineage.parent, r.sampling.requested) for r in records(tmp_path / name)
        }

    planned = {(name, parent) for name, parent, _ in shape("whole")}
    assert {(name, parent) for name, parent, _ in shape("torn")} == planned
    assert {s.seed for _, _, s in shape("torn")} == {s.seed for _, _, s in shape("whole")}


async def test_a_fork_whose_state_is_gone_is_missing_and_ends_nothing(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    text = config_text(tmp_path / "tasks", branches=1)
    await run_batch(parse_config(text), tmp_path / "a")
    for path in (tmp_path / "a" / "snapshots").iterdir():
        path.unlink()
    forked = parse_config(text, ["fork={at: step, step: 2}"])
    (tmp_path / "a" / "config.yaml").write_text(forked.yaml())
    await run_batch(forked, tmp_path / "a")
    forks = [r for r in records(tmp_path / "a") if r.lineage.parent]
    assert [r.result.ending for r in forks] == ["infra_error"] * 2
    assert "could not be kept" in forks[0].result.error
    assert {r.result.reward for r in forks} == {None}


async def test_forks_at_uncertain_replies_need_a_policy_that_tells_how_sure_it_was(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    trajectory = {"name": "openai", "options": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    text = config_text(tmp_path / "tasks", policy=trajectory, fork={"at": "uncertain"})
    with pytest.raises(ConfigError, match=r"needs log-probabilities.*policy\.options\.logprobs: true"):
        await run_batch(parse_config(text), tmp_path / "a")
    scripted = config_text(tmp_path / "tasks", fork={"at": "uncertain"})
    result = await run_batch(parse_config(scripted), tmp_path / "b")
    assert result.branches == 3
    with RunStore.open(tmp_path / "b") as store:
        told = [event for event in store.events() if event["kind"] == "not_forked"]
    assert len(told) == 1
    assert "log-probabilities" in told[0]["reason"]


async def test_forks_are_in_no_rate_of_the_run(tmp_path: Path) -> None:
    """They share steps with their parent, and its luck."""
    write_task(tmp_path / "tasks")
    replies = {"branches": [[EDIT, call("submit")], [call("read_file", path="calc.py"), call("submit")]]}
    text = config_text(tmp_path / "tasks", replies, branches=5, fork={"at": "step", "step": 1, "parents": 1})
    await run_batch(parse_config(text), tmp_path / "a")
    solved = [r.result.ending == "solved" for r in records(tmp_path / "a") if r.lineage.parent is None]
    assert len(solved) == 5
    with RunStore.open(tmp_path / "a") as store:
        told, run = summary(store), figures(store)
    assert (told["totals"]["branches"], told["forks"]) == (7, 2)
    assert told["pass_rate"]["mean"] == pytest.approx(sum(solved) / 5)
    assert sorted(run.tasks[0].sample) == sorted(solved)
    assert len(run.tasks[0].forks) == 2
    assert "its 2 forks left out" in totals(run)


async def test_an_export_that_the_run_cannot_give_spoils_nothing_else(tmp_path: Path) -> None:
    """Scripted replies have no tokens: verl's rollouts cannot be written, the rest is."""
    write_task(tmp_path / "tasks")
    text = config_text(tmp_path / "tasks", exports=["verl_rollouts", "sft"], report=True)
    result = await run_batch(parse_config(text), tmp_path / "a")
    assert len(result.problems) == 1
    assert "trajectory.turns[].tokens.completion_ids" in result.problems[0]
    assert (tmp_path / "a" / "exports" / "sft" / "sft.jsonl").exists()
    assert not (tmp_path / "a" / "exports" / "verl_rollouts" / "manifest.json").exists()
    assert (tmp_path / "a" / "report.html").exists()


@pytest.mark.skipif(importlib.util.find_spec("minari") is not None, reason="Minari is installed here")
async def test_an_export_whose_library_is_not_there_is_told_before_anything_runs(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    with pytest.raises(EnvironmentLacks, match=r"rollout-fork\[minari\]"):
        await run_batch(parse_config(config_text(tmp_path / "tasks", exports=["minari"])), tmp_path / "a")
    assert not (tmp_path / "a").exists()
