"""Exports in the shapes of TRL's trainers; tests/trainers/test_trl.py gives them to the trainers themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import factories
import pytest

from envs.trajectory import Message, TokenRecord
from rollouts.errors import ConfigError, EnvironmentLacks
from rollouts.exports import export
from rollouts.records import BranchRecord
from rollouts.store import RunStore

Make = Callable[..., BranchRecord]
MakeRun = Callable[..., RunStore]


def rows(store: RunStore, to: str, out: Path, **options: Any) -> list[dict[str, Any]]:
    """Export as JSONL and read it back."""
    export(store, to, out, fmt=("jsonl",), **options)
    return [json.loads(line) for line in (out / f"{to}.jsonl").read_text().splitlines()]


def spoken(messages: list[dict[str, Any]]) -> list[str]:
    """The ids of the calls in the policy's replies."""
    return [call["id"] for m in messages if m["role"] == "assistant" for call in m["tool_calls"]]


def test_kto_labels_every_branch_with_a_pass_or_a_fail(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """What a budget cut short before it failed is neither; the machinery's failures are the gate's."""
    store = make_run(
        make_record(0),
        make_record(1, "failed"),
        make_record(2, "truncated", outcome="fail"),
        make_record(3, "truncated", outcome="pass"),
        make_record(4, "infra_error"),
    )
    summary = export(store, "kto", tmp_path, fmt=("jsonl",))
    got = [json.loads(line) for line in (tmp_path / "kto.jsonl").read_text().splitlines()]
    assert [(r["branch_id"], r["label"]) for r in got] == [("b000", True), ("b001", False), ("b002", False)]
    assert summary.excluded == {"missing_infra_error": 1, "truncated_without_a_fail": 1}
    assert got[0]["prompt"][-1]["role"] == "user" and got[0]["completion"][0]["role"] == "assistant"


def test_in_prompt_completion_form_what_a_fork_shares_is_learnt_once(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """With its parent's row where the parent solved the task, else with that of its first solved fork."""
    solved, failed = make_record(0), make_record(1, "failed", actions=factories.FIX)
    tail = factories.FIX[2:]
    store = make_run(
        solved,
        failed,
        make_record(2, parent=solved, fork_step=2, actions=tail),
        make_record(3, parent=failed, fork_step=2, actions=tail),
        make_record(4, parent=failed, fork_step=3, actions=factories.FIX[3:]),
    )
    got = rows(store, "sft", tmp_path, form="prompt_completion")
    said = {r["branch_id"]: spoken(r["completion"]) for r in got}
    assert said == {
        "b000": [f"call_b000_{i}" for i in range(5)],
        "b002": [f"call_b002_{i}" for i in (2, 3, 4)],
        "b003": ["call_b001_0", "call_b001_1", "call_b003_2", "call_b003_3", "call_b003_4"],
        "b004": ["call_b001_2", "call_b004_3", "call_b004_4"],
    }
    whole = rows(store, "sft", tmp_path / "whole")
    assert [r["prompt"] + r["completion"] for r in got] == [r["messages"] for r in whole]


def test_an_unknown_form_is_named(make_run: MakeRun, make_record: Make, tmp_path: Path) -> None:
    """With the known ones."""
    with pytest.raises(ConfigError, match=r"form 'chat' is unknown; known: messages, prompt_completion"):
        export(make_run(make_record(0)), "sft", tmp_path, form="chat")


def test_a_prompt_for_online_training_is_told_once_with_how_hard_its_task_was(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """As a branch was told it that saw no examples; the missing count nowhere."""
    shown = make_record(0, examples="an earlier winner")
    shown = shown.model_copy(update={"sampling": shown.sampling.model_copy(update={"memories": ["m1"]})})
    plain = make_record(1, "failed")
    store = make_run(shown, plain, make_record(2, "cancelled"), make_record(0, rollout_id="other"))
    first, second = rows(store, "grpo", tmp_path)
    assert first["prompt"] == [m.openai() for m in plain.trajectory.messages[:2]]
    assert (first["task_id"], first["task_digest"]) == ("cart-total", plain.task.digest)
    assert (first["branches"], first["solved"]) == (2, 1)
    assert first["mean_reward"] == pytest.approx(2 / 3)
    assert second["task_id"] == "other"


def test_a_prompt_holds_nothing_that_a_branch_said(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """Whatever comes first in a conversation, it ends before the first reply."""
    record = make_record(0)
    record.trajectory.messages.insert(1, Message(role="user", content="a word before"))
    (row,) = rows(make_run(record), "grpo", tmp_path)
    assert [m["role"] for m in row["prompt"]] == ["system", "user", "user"]


def test_log_probabilities_that_are_required_and_absent_are_named(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """The field, the branch and the turn; they are never made up."""
    store = make_run(make_record(0))
    with pytest.raises(
        ConfigError, match=r"cart-total/b000 turn 0: turns\[\]\.tokens\.completion_ids is absent"
    ):
        export(store, "ppo", tmp_path, require="logprobs")
    half = make_record(0)
    half.trajectory.turns = [
        turn.model_copy(update={"tokens": TokenRecord(completion_ids=[1])}) for turn in half.trajectory.turns
    ]
    with pytest.raises(ConfigError, match=r"turns\[\]\.tokens\.logprobs is absent"):
        export(make_run(half), "ppo", tmp_path, require="logprobs")


@pytest.mark.skipif(find_spec("trl") is not None, reason="TRL is here")
def test_without_trl_the_error_names_the_extra() -> None:
    """And the module itself can be imported."""
    from rollouts.trainers.trl_rollout import Chat

    with pytest.raises(EnvironmentLacks, match=r'pip install "rollout-fork\[trl\]"'):
        Chat(None, [])
