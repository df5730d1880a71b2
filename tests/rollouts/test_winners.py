"""Winners that are verified again, and rollouts that end early: what was chosen, what it is worth, and by which rule."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_tasks import FAIL, SOLVE, call, write_task
from test_judge_rewards import both
from test_judging import config
from typer.testing import CliRunner

from rollouts.audits import compare_runs
from rollouts.batch import run_batch
from rollouts.cli import app
from rollouts.config import parse_config
from rollouts.errors import ConfigError
from rollouts.memory import open_memory
from rollouts.policies.loopback import LoopbackModelServer
from rollouts.progress import Silent
from rollouts.records import BranchRecord, RankingRecord
from rollouts.refork import refork
from rollouts.store import RunStore
from rollouts.views import summary
from rollouts.views.summary import figures
from rollouts.views.tables import totals

CHEAPER = [call("edit_file", path="calc.py", old="a + b + 1", new="b + a"), call("submit")]


async def ran(
    tmp_path: Path, scripts: list[Any], **settings: Any
) -> tuple[RankingRecord, list[BranchRecord]]:
    if not (tmp_path / "tasks").exists():
        write_task(tmp_path / "tasks")
    base: dict[str, Any] = {
        "tasks": str(tmp_path / "tasks"),
        "branches": len(scripts),
        # branch i follows script i
        "policy": {"name": "scripted", "options": {"variants": {f"v{i}": s for i, s in enumerate(scripts)}}},
        "sampling": {"prompt_variants": {f"v{i}": f"variant {i}" for i in range(len(scripts))}},
        "engine": {"kind": "inline"},
        "report": False,
    }
    await run_batch(parse_config(json.dumps(base | settings)), tmp_path / "run")
    with RunStore.open(tmp_path / "run") as store:
        return store.rankings()["adder"], list(store.branches())


async def test_the_winner_is_verified_again_and_keeps_its_place_when_it_holds(tmp_path: Path) -> None:
    ranking, _ = await ran(tmp_path, [CHEAPER, SOLVE, FAIL], verify={"confirm": {"runs": 3}})
    found = ranking.confirmation
    assert ranking.winner == "b000" and found is not None
    assert (found.branch_id, found.runs, found.passes, found.failed) == ("b000", 3, 3, 0)
    assert (found.raw, found.corrected, found.basis, found.chosen_from) == (1.0, 1.0, "repeats", 3)
    assert found.low is not None and 0.4 < found.low < 0.5  # Wilson, 3 of 3


async def test_a_winner_that_fails_held_out_checks_is_none_and_nobody_takes_its_place(tmp_path: Path) -> None:
    worse = [call("edit_file", path="calc.py", old="a + b + 1", new="a + b  # quality 1"), call("submit")]
    async with LoopbackModelServer(both) as server:
        ranking, records = await ran(
            tmp_path,
            [worse, SOLVE, FAIL],
            judge=config(server, calls_per_tier=2).model_dump(mode="json")
            | {"tiers": "passing", "floor": None},
            verify={"confirm": {"parts": [{"name": "judge"}]}},
        )
    found = ranking.confirmation
    assert found is not None and found.heldout and found.failed == 1
    assert ranking.winner is None
    assert f"{found.branch_id} was chosen" in ranking.winner_reason
    assert "failed held-out checks" in ranking.winner_reason
    assert (found.raw, found.corrected) == (1.0, 0.0)
    assert sum(record.result.ending == "solved" for record in records) == 2  # what was recorded stays
    with closing(open_memory("sqlite", tmp_path / "memory.sqlite")) as memory:
        assert memory.count() == 0
    ranked = CliRunner().invoke(app, ["rank", str(tmp_path / "run"), "--json"])
    (again,) = json.loads(ranked.output)
    assert again["winner"] is None and again["confirmation"]["failed"] == 1
    with RunStore.open(tmp_path / "run") as store:
        told = summary(store)["false_winners"]
        assert (told["mean"], told["failed"], told["verified"]) == (1.0, 1, 1)
        assert "0 of 1 winners held when verified again" in totals(figures(store))


async def test_where_a_winner_could_not_be_verified_again_its_value_is_a_models_and_said_to_be(
    tmp_path: Path,
) -> None:
    async with LoopbackModelServer(lambda _: "prose") as server:
        ranking, _ = await ran(
            tmp_path,
            [SOLVE, FAIL],
            judge=config(server).model_dump(mode="json"),
            verify={"confirm": {"parts": [{"name": "judge"}]}},
        )
    found = ranking.confirmation
    assert found is not None and (found.passes, found.failed, found.basis) == (0, 0, "model")
    assert ranking.winner == "b000"


async def test_a_winner_that_failed_does_not_come_back_by_forking_another_branch(tmp_path: Path) -> None:
    worse = [call("edit_file", path="calc.py", old="a + b + 1", new="a + b  # quality 1"), call("submit")]
    async with LoopbackModelServer(both) as server:
        before, _ = await ran(
            tmp_path,
            [worse, FAIL],
            judge=config(server).model_dump(mode="json"),
            verify={"confirm": {"parts": [{"name": "judge"}]}},
        )
        asked = len(server.requests)
        with RunStore.open(tmp_path / "run") as store:
            settled = parse_config(store.config_text)
        await refork(settled, tmp_path / "run", "b001", 1, 1, Silent())
        assert len(server.requests) == asked
    with RunStore.open(tmp_path / "run") as store:
        after = store.rankings()["adder"]
    assert before.winner is None and after.winner is None
    assert after.confirmation == before.confirmation


async def test_what_is_wrong_with_held_out_parts_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"verify.confirm.parts: .*did you mean visual"):
        await ran(tmp_path, [SOLVE], verify={"confirm": {"parts": [{"name": "visuall"}]}})
    assert not (tmp_path / "run").exists()


async def test_without_kept_states_or_by_wish_no_winner_is_verified_again(tmp_path: Path) -> None:
    ranking, _ = await ran(tmp_path, [CHEAPER, SOLVE], snapshots="off")
    assert ranking.winner == "b000" and ranking.confirmation is not None
    assert ranking.confirmation.runs == 0 and "not kept" in ranking.confirmation.reason
    (tmp_path / "run").rename(tmp_path / "first")
    ranking, _ = await ran(tmp_path, [CHEAPER, SOLVE], verify={"confirm": None})
    assert ranking.winner == "b000" and ranking.confirmation is None


async def test_a_rollout_ends_when_there_is_enough_of_both_and_the_rule_is_kept(tmp_path: Path) -> None:
    ranking, records = await ran(
        tmp_path,
        [SOLVE, FAIL] * 8,
        engine={"kind": "inline", "in_flight": 1},
        stop={"passes": 2, "fails": 2},
    )
    assert len(records) == 4
    decision = ranking.stopping
    assert decision is not None and decision["stop"] and decision["used"] == 4
    assert decision["rule"]["contrast"] == {"passes": 2, "fails": 2}
    assert decision["reason"] == "contrast: at least 2 passes and 2 fails"
    assert decision["rate_low"] < 0.5 < decision["rate_high"]
    with RunStore.open(tmp_path / "run") as store:
        assert "1 rollouts were ended early by a rule" in totals(figures(store))


async def test_a_hopeless_rollout_is_given_up(tmp_path: Path) -> None:
    ranking, records = await ran(
        tmp_path,
        [FAIL] * 24,
        engine={"kind": "inline", "in_flight": 2},
        stop={"low": 0.4, "high": 0.6},
        verify={"confirm": None},
    )
    assert len(records) < 24
    assert ranking.stopping is not None and "below 0.4" in ranking.stopping["reason"]
    assert ranking.stopping["used"] <= len(records)


async def test_the_same_command_again_does_not_go_past_the_stop(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "engine": {"kind": "inline", "in_flight": 1},
        "stop": {"passes": 1, "fails": 1},
    }
    first, records = await ran(tmp_path, [SOLVE, FAIL, SOLVE, FAIL], **settings)
    again, same = await ran(tmp_path, [SOLVE, FAIL, SOLVE, FAIL], **settings)
    assert len(records) == len(same) == 2
    assert again == first


async def test_a_rollout_that_is_forked_later_keeps_its_rule(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "engine": {"kind": "inline", "in_flight": 1},
        "stop": {"passes": 1, "fails": 1},
    }
    before, _ = await ran(tmp_path, [SOLVE, FAIL, SOLVE], **settings)
    with RunStore.open(tmp_path / "run") as store:
        settled = parse_config(store.config_text)
    await refork(settled, tmp_path / "run", "b000", 1, 1, Silent())
    with RunStore.open(tmp_path / "run") as store:
        after = store.rankings()["adder"]
    assert len(after.order) == 3 and after.stopping == before.stopping


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ({"passes": None, "fails": None, "low": None, "high": None}, "no rule is left"),
        ({"passes": None}, "needs both passes and fails"),
        ({"low": 0.9, "high": 0.1}, "low 0.9 is above high 0.1"),
    ],
)
def test_half_a_stopping_rule_is_refused(stop: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(json.dumps({"stop": stop}))


async def test_runs_that_a_rule_ended_early_are_compared_without_its_bias_or_not_at_all(
    tmp_path: Path,
) -> None:
    base: dict[str, Any] = {"engine": {"kind": "inline", "in_flight": 1}}
    ranking, _ = await ran(tmp_path, [SOLVE, FAIL, FAIL, SOLVE, FAIL], **base, stop={"passes": 1, "fails": 2})
    (tmp_path / "run").rename(tmp_path / "early")
    await ran(tmp_path, [SOLVE, FAIL, FAIL, SOLVE, FAIL], **base)
    runs = [tmp_path / "run", tmp_path / "early"]
    with pytest.raises(ConfigError, match=r"ended 1 of its rollouts early.*--tasks-only"):
        compare_runs(runs)
    (found,) = compare_runs(runs, by="task")
    assert ranking.stopping is not None and ranking.stopping["rate_raw"] == pytest.approx(1 / 3)
    assert found.result.mean_b == pytest.approx(ranking.stopping["rate_unbiased"])
    assert found.second.stopped == 1


async def test_runs_that_are_unfinished_or_verified_otherwise_are_not_compared(tmp_path: Path) -> None:
    await ran(tmp_path, [SOLVE, FAIL])
    (tmp_path / "run").rename(tmp_path / "once")
    await ran(tmp_path, [SOLVE, FAIL], verify={"repeats": 3})
    with pytest.raises(ConfigError, match="not verified the same way"):
        compare_runs([tmp_path / "once", tmp_path / "run"])
    events = tmp_path / "run" / "events.jsonl"
    kept = [line for line in events.read_text().splitlines() if "batch_finished" not in line]
    events.write_text("\n".join(kept) + "\n")
    with pytest.raises(ConfigError, match="is not finished"):
        compare_runs([tmp_path / "run", tmp_path / "once"])
