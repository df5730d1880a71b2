"""The function behind `rollouts comply`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_comply import TASKS

from rollouts.errors import ConfigError
from rollouts.exports import export
from rollouts.repair import RepairSettings
from rollouts.repair.command import run_comply
from rollouts.store import RunStore

SCRIPT = {
    "branches": [["See you on Friday in the kitchen"], ["I would rather talk about Zebras, sorry."]],
}


async def test_it_runs_tasks_by_path_and_tells_rates_with_their_intervals(tmp_path: Path):
    plan = {
        "modes": ("direct", "prompt_retry", "full_pcl"),
        "policy": "scripted",
        "options": SCRIPT,
        "ids": ("stair-notice", "platform-sign"),
        "seeds": (1,),
    }
    report = await run_comply(str(TASKS), tmp_path / "out", **plan)
    assert (report.result.written, report.result.resumed, report.unreadable) == (6, 0, ())
    rates = {mode.mode: mode.pass_rate.mean for mode in report.figures.modes}
    assert rates == {"direct": 0.0, "prompt_retry": 0.5, "full_pcl": 0.5}
    assert report.lines()[0].startswith("mode")
    assert "full_pcl against prompt_retry on 2 tasks: 0 better, 0 worse, 2 equal" in report.lines()[-1]
    assert json.loads(json.dumps(report.as_dict()))["written"] == 6
    again = await run_comply(str(TASKS), tmp_path / "out", **plan)
    assert (again.result.written, again.result.resumed, again.branches) == (0, 6, 0)
    assert again.figures == report.figures


async def test_what_it_wrote_goes_through_the_ordinary_gate_and_exports(tmp_path: Path):
    quiet = RepairSettings(patches=False)
    given = {
        "policy": "scripted",
        "options": SCRIPT,
        "ids": ("stair-notice",),
        "seeds": (1,),
        "settings": quiet,
    }
    await run_comply(str(TASKS), tmp_path, **given)
    with RunStore.open(tmp_path / "run") as store:
        assert export(store, "sft", tmp_path / "data", fmt=("jsonl",)).rows == 1
        assert export(store, "dpo", tmp_path / "data", fmt=("jsonl",)).rows == 1


async def test_an_unknown_mode_and_broken_tasks_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="mode 'full': unknown; known: direct, prompt_retry, full_pcl"):
        await run_comply(str(TASKS), tmp_path, modes=("full",), policy="scripted")
    broken = tmp_path / "tasks" / "one"
    broken.mkdir(parents=True)
    (broken / "instruction.md").write_text("x")
    (broken / "task.toml").write_text('[[metadata.rollout_fork.constraints]]\nid = "a"\nmethod = "b"\n')
    with pytest.raises(
        ConfigError, match=r"task\.toml:1: constraint 1 \(a\): no constraint method named 'b'"
    ):
        await run_comply(str(tmp_path / "tasks"), tmp_path / "out", policy="scripted")
