"""Forks as training signal: step-level pairs, and what may stand on their sides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import factories
import pytest

from rollouts.errors import ConfigError
from rollouts.exports import export
from rollouts.records import BranchRecord
from rollouts.store import RunStore

Make = Callable[..., BranchRecord]
MakeRun = Callable[..., RunStore]
EDIT = factories.FIX[2]
OTHER = ("edit_file", {"path": "cart.py", "old": "- 1", "new": "- 0"}, "edited", None, True)
REST = factories.FIX[3:]


def rows(store: RunStore, to: str, out: Path, **options: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    summary = export(store, to, out, fmt=("jsonl",), **options)
    found = [json.loads(line) for line in (out / f"{to}.jsonl").read_text().splitlines()]
    return found, dict(summary.excluded)


def fork(
    make_record: Make, parent: BranchRecord, index: int, ending: str, first: Any, step: int = 2
) -> BranchRecord:
    return make_record(index, ending, parent=parent, fork_step=step, actions=(first, *REST))


@pytest.fixture
def tree(make_record: Make) -> list[BranchRecord]:
    """b000 edits and solves; at its step 2 b001 does the other edit and fails, b002 too; b003 does as b000."""
    parent = make_record(0, "solved", actions=(*factories.FIX[:2], EDIT, *REST))
    return [
        parent,
        fork(make_record, parent, 1, "failed", OTHER),
        fork(make_record, parent, 2, "failed", OTHER),
        fork(make_record, parent, 3, "solved", EDIT),
    ]


def test_a_step_pair_is_one_reply_on_each_side_and_what_it_led_to(
    make_run: MakeRun, tree: list[BranchRecord], tmp_path: Path
) -> None:
    got, _ = rows(make_run(*tree), "step_dpo", tmp_path / "out")
    assert {(r["chosen_branch"], r["rejected_branch"]) for r in got} == {
        (good, bad) for good in ("b000", "b003") for bad in ("b001", "b002")
    }
    for row in got:
        assert row["prompt"] == [m.openai() for m in tree[1].trajectory.messages[:6]]
        assert [len(row[side]) for side in ("chosen", "rejected")] == [1, 1]
        assert row["chosen"][0]["tool_calls"][0]["function"]["arguments"]["new"] == "sum(cart)"
        assert row["rejected"][0]["tool_calls"][0]["function"]["arguments"]["new"] == "- 0"
        assert (row["chosen_value"], row["chosen_branches"], row["rejected_branches"]) == (1.0, 1, 1)
        assert row["rejected_value"] < 1


def test_the_value_of_a_reply_is_the_mean_of_all_that_went_on_from_it(
    make_run: MakeRun, make_record: Make, tree: list[BranchRecord], tmp_path: Path
) -> None:
    """b004 forks b001 two steps later and solves: the other edit has led to a failure and a success."""
    later = make_record(4, "solved", parent=tree[1], fork_step=4, actions=REST[1:])
    got, _ = rows(make_run(*tree, later), "step_dpo", tmp_path / "out")
    pair = next(r for r in got if (r["chosen_branch"], r["rejected_branch"]) == ("b000", "b001"))
    failed = tree[1].result.reward or 0.0
    assert pair["rejected_value"] == pytest.approx((failed + 1.0) / 2)
    assert pair["rejected_branches"] == 2


def test_pairs_that_say_the_same_or_are_worth_the_same_are_none(
    make_run: MakeRun, tree: list[BranchRecord], tmp_path: Path
) -> None:
    _, excluded = rows(make_run(*tree), "step_dpo", tmp_path / "out")
    assert excluded == {"identical_pair": 2, "no_sibling_at_fork_point": 1}
    none, excluded = rows(make_run(*tree), "step_dpo", tmp_path / "b", margin=0.9)
    assert (none, excluded["no_difference_in_value"]) == ([], 4)
    none, excluded = rows(make_run(*tree), "step_dpo", tmp_path / "c", least=2)
    assert (none, excluded["too_few_branches"]) == ([], 4)


def test_the_pairs_furthest_apart_are_kept(
    make_run: MakeRun, tree: list[BranchRecord], tmp_path: Path
) -> None:
    got, excluded = rows(make_run(*tree), "step_dpo", tmp_path / "out", max_pairs=1)
    assert (len(got), excluded["pair_over_limit"]) == (1, 3)


def test_a_branch_that_the_machinery_ended_is_no_side(
    make_run: MakeRun, make_record: Make, tree: list[BranchRecord], tmp_path: Path
) -> None:
    lost = fork(make_record, tree[0], 4, "infra_error", OTHER)
    got, _ = rows(make_run(*tree, lost), "step_dpo", tmp_path / "out")
    assert "b004" not in {name for r in got for name in (r["chosen_branch"], r["rejected_branch"])}


def test_a_fork_of_shared_steps_belongs_to_the_branch_that_made_them(
    make_run: MakeRun, make_record: Make, tree: list[BranchRecord], tmp_path: Path
) -> None:
    """b004 is forked off b001 where b001 itself was forked off b000: all are siblings there."""
    sibling = fork(make_record, tree[1], 4, "solved", EDIT)
    got, _ = rows(make_run(*tree, sibling), "dpo", tmp_path / "out")
    assert ("b004", "b001") in {(r["chosen_branch"], r["rejected_branch"]) for r in got}
    assert ("b004", "b002") in {(r["chosen_branch"], r["rejected_branch"]) for r in got}


@pytest.mark.parametrize("margin", [-1, "much", float("nan"), True])
def test_a_margin_that_is_none_is_told(
    make_run: MakeRun, tree: list[BranchRecord], tmp_path: Path, margin: Any
) -> None:
    with pytest.raises(ConfigError, match="margin"):
        export(make_run(*tree), "step_dpo", tmp_path / "out", margin=margin)
