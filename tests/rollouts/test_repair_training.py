"""Compliance records as training data: through the gate, without checker edits, with their provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from repair_support import CALM, FRIDAY, LONG, NO_COMMA, TASK, constraints, says

from rollouts.exports import export
from rollouts.governance import Gate, GatePolicy
from rollouts.records import TaskLayer
from rollouts.repair import ComplianceRecord, RepairSettings, run_compliance
from rollouts.repair.training import branches_of, training_rows, write_run
from rollouts.store import RunStore

LAYER = TaskLayer(task_id="note", digest="d" * 64, instruction=TASK)
ONLY_MODEL = RepairSettings(patches=False)


async def run(mode: Any, policy: Any, *tables: Any, **more: Any) -> ComplianceRecord:
    return await run_compliance(LAYER, constraints(*tables), policy, mode, **more)


async def test_a_pass_is_a_row_from_the_bare_task_to_the_final_text():
    record = await run("full_pcl", says("See you all", "Friday it is"), FRIDAY, settings=ONLY_MODEL)
    (row,) = training_rows([record]).sft
    assert row["messages"] == [
        {"role": "user", "content": TASK},
        {"role": "assistant", "content": "Friday it is"},
    ]
    assert row["compliance"] == {
        "mode": "full_pcl",
        "seed": 0,
        "attempt": 1,
        "strategies": ["first", "regenerate"],
        "checker_edit": False,
        "kept": True,
        "constraints_digest": record.constraints_digest,
    }


async def test_each_failing_attempt_is_set_against_the_repaired_text():
    policy = says("See you all", "urgent: Friday", "Friday it is")
    record = await run("full_pcl", policy, FRIDAY, CALM, settings=ONLY_MODEL)
    rows = training_rows([record]).dpo
    assert [row["prompt"] for row in rows] == [[{"role": "user", "content": TASK}]] * 2
    assert {row["chosen"][0]["content"] for row in rows} == {"Friday it is"}
    assert [row["rejected"][0]["content"] for row in rows] == ["See you all", "urgent: Friday"]
    assert [row["compliance"]["rejected"]["kept"] for row in rows] == [True, False]


async def test_texts_that_a_checker_edit_touched_are_left_out_unless_they_are_asked_for():
    record = await run("full_pcl", says("Friday, all"), NO_COMMA)
    assert record.final_pass is True
    without, asked = training_rows([record]), training_rows([record], exclude_checker_edits=False)
    assert (without.sft, without.dpo, without.excluded["checker_edit"]) == ([], [], 1)
    assert [row["messages"][1]["content"] for row in asked.sft] == ["Friday all"]
    assert asked.sft[0]["compliance"]["checker_edit"] is True
    assert len(asked.dpo) == 1


async def test_failures_and_missing_records_teach_nothing_by_themselves():
    failed = await run("full_pcl", says("short"), LONG)
    missing = await run("prompt_retry", says("no day", {"error": "down"}), FRIDAY)
    rows = training_rows([failed, missing])
    assert (rows.sft, rows.dpo) == ([], [])
    assert rows.excluded["missing_policy_error"] == 1
    assert branches_of(missing) == []


async def test_the_gate_stands_before_it_held_out_tasks_stay_out_and_secrets_go():
    secret = "ghp_" + "a1" * 18
    record = await run("direct", says(f"Friday {secret}"), FRIDAY)
    held = training_rows([record], Gate(GatePolicy(evaluation=frozenset({"note"}))))
    assert (held.sft, held.excluded["held_out"]) == ([], 1)
    open_rows = training_rows([record])
    assert secret not in json.dumps(open_rows.sft)
    assert open_rows.redactions["github_token"] >= 1


async def test_the_same_text_in_several_modes_is_written_once():
    records = [
        await run(mode, says("Friday it is"), FRIDAY) for mode in ("direct", "prompt_retry", "full_pcl")
    ]
    rows = training_rows(records)
    assert (len(rows.sft), rows.excluded["duplicate"]) == (1, 2)


async def test_the_branches_make_a_run_that_the_ordinary_exports_read(tmp_path: Path):
    record = await run("full_pcl", says("See you all", "Friday it is"), FRIDAY, settings=ONLY_MODEL)
    assert write_run([record], tmp_path / "run") == 2
    assert write_run([record], tmp_path / "run") == 0, "nothing twice"
    with RunStore.open(tmp_path / "run") as store:
        summary = export(store, "dpo", tmp_path / "out", fmt=("jsonl",))
    (line,) = (tmp_path / "out" / "dpo.jsonl").read_text().splitlines()
    assert summary.rows == 1
    assert json.loads(line)["chosen"][0]["content"] == "Friday it is"
