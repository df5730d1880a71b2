"""Trees of a batch under fire: what was lost, what was stopped, what was forked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_tasks import EDIT, SOLVE, call, write_task
from test_batch import config_text, records

from rollouts.batch import run_batch
from rollouts.config import RunConfig, parse_config
from rollouts.errors import ConfigError
from rollouts.exports import export
from rollouts.policies.loopback import Call, Fault, LoopbackModelServer, Reply
from rollouts.progress import Silent
from rollouts.refork import refork
from rollouts.store import RunStore

STEP = {"at": "step", "step": 1, "branches": 2}


def config(tmp_path: Path, replies: Any = SOLVE, **settings: Any) -> RunConfig:
    write_task(tmp_path / "tasks")
    return parse_config(config_text(tmp_path / "tasks", replies, **settings))


async def test_a_branch_is_forked_where_nothing_was_changed_yet(tmp_path: Path) -> None:
    """Its state there is the task's own, which is kept nowhere else."""
    await run_batch(config(tmp_path, branches=1, fork=STEP), tmp_path / "a")
    forks = [r for r in records(tmp_path / "a") if r.lineage.parent]
    assert [(r.result.ending, r.lineage.fork_by) for r in forks] == [("solved", "step")] * 2


async def test_a_rule_that_has_seen_all_first_branches_is_no_reason_against_forks(tmp_path: Path) -> None:
    settings = config(tmp_path, branches=2, fork=STEP | {"branches": 1}, stop={})
    await run_batch(settings, tmp_path / "a")
    assert len(records(tmp_path / "a")) == 4


async def test_a_rule_that_has_seen_enough_is(tmp_path: Path) -> None:
    stop = {"passes": None, "fails": None, "low": 0.1, "high": 0.2}
    settings = config(tmp_path, branches=16, fork=STEP, stop=stop, engine={"kind": "inline", "in_flight": 1})
    await run_batch(settings, tmp_path / "a")
    found = records(tmp_path / "a")
    assert len(found) < 16
    assert not any(r.lineage.parent for r in found)


async def test_a_fork_is_never_joined_to_another_parent_than_its_own(tmp_path: Path) -> None:
    """The parent's line is lost and the parent is run again, with other words: its old forks are run again, too."""
    say = [call("bash", command="echo $RANDOM$RANDOM$RANDOM"), *SOLVE]
    settings = config(tmp_path, say, branches=1, fork=STEP)
    await run_batch(settings, tmp_path / "a")
    file = tmp_path / "a" / "branches" / "driver.jsonl"
    parent, *forks = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"{garbled" + parent[8:] + b"".join(forks))
    await run_batch(settings, tmp_path / "a")
    with RunStore.open(tmp_path / "a") as store:
        found = {r.lineage.branch_id: r for r in store.branches()}
        told = [str(problem) for problem in store.problems]
    assert sorted(found) == ["b000", "b001", "b002"]
    for name in ("b001", "b002"):
        assert found[name].trajectory.steps[:1] == found["b000"].trajectory.steps[:1]
    assert sum("was forked from another b000" in problem for problem in told) == 2
    assert len(file.read_bytes().splitlines()) == 6
    again = await run_batch(settings, tmp_path / "a")
    assert again.branches == 0


async def test_an_unfinished_rollout_is_not_forked_by_hand(tmp_path: Path) -> None:
    """The new branches would take the places of those that are still to come."""
    settings = config(tmp_path, branches=3)
    await run_batch(settings, tmp_path / "a")
    (tmp_path / "a" / "rankings.jsonl").unlink()
    file = tmp_path / "a" / "branches" / "driver.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    name = json.loads(file.read_bytes())["lineage"]["branch_id"]
    with pytest.raises(ConfigError, match="is not finished"):
        await refork(settings, tmp_path / "a", name, 1, 2, Silent())
    assert (await run_batch(settings, tmp_path / "a")).branches == 2


async def test_a_fork_by_hand_is_chosen_by_somebody_who_saw_how_its_parent_went_on(tmp_path: Path) -> None:
    """So credit compares the new branches with one another, and not with the rest of their parent."""
    settings = config(tmp_path, [EDIT, call("run_tests"), call("submit")], branches=2)
    await run_batch(settings, tmp_path / "a")
    await refork(settings, tmp_path / "a", "b000", 1, 2, Silent())
    with RunStore.open(tmp_path / "a") as store:
        export(store, "transitions", tmp_path / "t", fmt=("jsonl",))
        pairs = export(store, "step_dpo", tmp_path / "s", fmt=("jsonl",))
    rows = [json.loads(line) for line in (tmp_path / "t" / "transitions.jsonl").open()]
    own = [(r["step"], r["advantage"]) for r in rows if r["branch_id"] == "b000"]
    assert own == [(0, 0.0), (1, None), (2, None)]
    assert [r["advantage"] for r in rows if r["branch_id"] == "b002"] == [0.0, 0.0]
    assert pairs.excluded["chosen_for_how_it_went_on"] == 1


async def test_a_reply_that_never_came_is_in_no_conversation(tmp_path: Path) -> None:
    """The context overflowed: nothing was said, and no trainer is shown an empty answer."""
    full = Fault.status(400, "This model's maximum context length is 8 tokens.")
    async with LoopbackModelServer([Reply(calls=(Call("run_tests"),))], faults={1: full}) as server:
        policy = {"name": "openai", "options": {"model": "m", "base_url": f"{server.url}/v1"}}
        await run_batch(config(tmp_path, branches=1, policy=policy), tmp_path / "a")
    [record] = records(tmp_path / "a")
    assert (record.result.ending, record.trajectory.stop) == ("truncated", "context")
    assert [m.role for m in record.trajectory.messages] == ["system", "user", "assistant", "tool"]
    assert [turn.finish for turn in record.trajectory.turns] == ["tool_calls"]
    assert [event["kind"] for event in record.trajectory.events] == ["context_overflow"]
