"""Exports: what trainers get, what they never get, and that the files say what was done."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import factories
import pyarrow.parquet as pq
import pytest

from envs.trajectory import TokenRecord
from rollouts.errors import ConfigError, RunDirError
from rollouts.exports import EXPORTERS, check_formats, export, make_exporter
from rollouts.exports.exporter import TABLES
from rollouts.governance import Gate, GatePolicy
from rollouts.records import BranchRecord
from rollouts.store import RunStore

Make = Callable[..., BranchRecord]
MakeRun = Callable[..., RunStore]
MISSING = ("policy_error", "infra_error", "cancelled")
#: Those that libraries of their own write have the same tests in `tests/trainers`.
HERE = [to for to in sorted(EXPORTERS) if not {"rllib", "minari"} & set(make_exporter(to).formats)]


def rows(store: RunStore, to: str, out: Path, **options: Any) -> list[dict[str, Any]]:
    """Export as JSONL and read it back."""
    export(store, to, out, fmt=("jsonl",), **options)
    return [json.loads(line) for line in (out / f"{to}.jsonl").read_text().splitlines()]


@pytest.fixture
def family(make_record: Make) -> list[BranchRecord]:
    """Two roots of one task, two forks of the first after its second step, and three that are missing."""
    parent = make_record(0, tokens=True)
    fail = (*factories.FIX[2:4], ("submit", {"answer": "unsure"}, "submitted", None, False))
    forked: dict[str, Any] = {"parent": parent, "fork_step": 2, "tokens": True}
    return [
        parent,
        make_record(1, "failed", tokens=True),
        make_record(2, "solved", actions=factories.FIX[2:], **forked),
        make_record(3, "failed", actions=fail, **forked),
        *(make_record(4 + i, ending, **forked) for i, ending in enumerate(MISSING)),
    ]


def test_transitions_hold_what_the_policy_saw_did_and_got(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """Full text instead of dangling references; one row per step, the reward on the last."""
    got = rows(make_run(make_record(0)), "transitions", tmp_path / "out")
    assert [r["step"] for r in got] == [0, 1, 2, 3, 4]
    assert got[0]["observation"] == factories.INSTRUCTION
    assert [r["observation"] for r in got[1:]] == [r["next_observation"] for r in got[:-1]]
    assert got[2]["action"] == {
        "tool": "edit_file",
        "arguments": {"path": "cart.py", "old": "sum(cart) - 1", "new": "sum(cart)"},
    }
    assert [r["reward"] for r in got] == [0, 0, 0, 0, 1.0]
    assert [r["terminated"] for r in got] == [False] * 4 + [True]
    assert not any(r["truncated"] for r in got)
    assert {r["log_prob"] for r in got} == {-0.5}
    assert got[1]["messages"] == 4  # system, user, the first call and its result


def test_a_shared_step_is_exported_once_and_the_fork_knows_where_it_joins(
    make_run: MakeRun, family: list[BranchRecord], tmp_path: Path
) -> None:
    """The prefix is the parent's; the child begins with what stood before its first own step."""
    got = rows(make_run(*family), "transitions", tmp_path / "out")
    child = [r for r in got if r["branch_id"] == "b002"]
    assert [r["step"] for r in child] == [2, 3, 4]
    assert {(r["parent"], r["fork_step"]) for r in child} == {("b000", 2)}
    assert child[0]["observation"] == "def total(cart):\n    return sum(cart) - 1\n"
    assert sum(r["tool"] == "read_file" and r["branch_id"] in ("b000", "b002", "b003") for r in got) == 1


def test_a_budget_that_ran_out_is_truncated_and_not_terminated(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """The two ends differ for every estimator of returns."""
    got = rows(make_run(make_record(0, "truncated")), "transitions", tmp_path / "out")
    assert [(r["terminated"], r["truncated"]) for r in got[-2:]] == [(False, False), (False, True)]
    assert got[-1]["reward"] == pytest.approx(1 / 3)


def test_a_malformed_call_keeps_its_own_words_in_transitions(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """And is left out where its shape would have to be made up."""
    actions = (("bash", None, "no JSON object", None, False), *factories.FIX)
    store = make_run(make_record(0, actions=actions))
    assert rows(store, "transitions", tmp_path / "t")[0]["action"] == {
        "tool": "bash",
        "arguments": None,
        "raw": "{not json",
    }
    summary = export(store, "sft", tmp_path / "s")
    assert (summary.rows, summary.excluded) == (0, {"malformed_tool_call": 1})


def test_sft_is_whole_conversations_of_solved_branches_in_openai_shape(
    make_run: MakeRun, family: list[BranchRecord], tmp_path: Path
) -> None:
    """Arguments are objects, content is always text, every result names its call."""
    got = rows(make_run(*family), "sft", tmp_path / "out")
    assert [r["branch_id"] for r in got] == ["b000", "b002"]
    for row in got:
        assert row["messages"][0]["role"] == "system"
        assert all(isinstance(m["content"], str) for m in row["messages"])
        calls = [c for m in row["messages"] for c in m.get("tool_calls", ())]
        assert all(c["type"] == "function" and isinstance(c["function"]["arguments"], dict) for c in calls)
        assert [c["id"] for c in calls] == [m["tool_call_id"] for m in row["messages"] if m["role"] == "tool"]
        assert {t["type"] for t in row["tools"]} == {"function"}
    assert [r["prompt_messages"] for r in got] == [2, 6]


def test_pairs_are_solved_against_failed_of_one_fork_point(
    make_run: MakeRun, family: list[BranchRecord], tmp_path: Path
) -> None:
    """Roots with roots, forks with the forks of the same step and the branch that was forked; prompt plus
    completion is the conversation."""
    got = rows(make_run(*family), "dpo", tmp_path / "out")
    pairs = [("b000", "b001"), ("b000", "b003"), ("b002", "b003")]
    assert [(r["chosen_branch"], r["rejected_branch"]) for r in got] == pairs
    for row, winner in zip(got, (family[0], family[0], family[2]), strict=True):
        assert row["prompt"] + row["chosen"] == [m.openai() for m in winner.trajectory.messages]
        assert row["chosen"][0]["role"] == row["rejected"][0]["role"] == "assistant"
        assert row["prompt"][-1]["role"] in ("user", "tool")
        assert row["chosen_reward"] > row["rejected_reward"]


@pytest.mark.parametrize(
    "case",
    [
        ("failed", "fail", 1),
        ("truncated", "fail", 1),
        ("truncated", "pass", 0),
        *((missing, None, 0) for missing in MISSING),
        ("solved", "pass", 0),
    ],
)
def test_only_an_explicit_fail_is_ever_rejected(
    make_run: MakeRun, make_record: Make, tmp_path: Path, case: tuple[str, str | None, int]
) -> None:
    """Never a failure of the machinery, never passing work, never pass against pass."""
    ending, outcome, pairs = case
    store = make_run(make_record(0), make_record(1, ending, outcome=outcome, actions=factories.MISS))
    assert len(rows(store, "dpo", tmp_path / "out")) == pairs


def test_two_failures_make_no_pair(make_run: MakeRun, make_record: Make, tmp_path: Path) -> None:
    """However different their scores."""
    store = make_run(make_record(0, "failed", reward=0.9), make_record(1, "failed", reward=0.1))
    summary = export(store, "dpo", tmp_path / "out")
    assert (summary.rows, summary.excluded) == (0, {"no_opposite_at_fork_point": 2})


@pytest.mark.parametrize(
    "difference",
    [
        {"examples": "an example"},
        {"system": "Be bold."},
        {"rollout_id": "other"},
        {"instruction": "Another task."},
    ],
)
def test_branches_that_were_told_different_things_make_no_pair(
    make_run: MakeRun, make_record: Make, tmp_path: Path, difference: dict[str, str]
) -> None:
    """Another prompt, rollout or task is another question."""
    store = make_run(make_record(0), make_record(1, "failed", **difference))
    assert rows(store, "dpo", tmp_path / "out") == []


def test_branches_that_said_the_same_make_no_pair(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """A flaky test is no preference; the ids of the calls, which always differ, do not hide it."""
    store = make_run(make_record(0), make_record(1, "failed", actions=factories.FIX))
    summary = export(store, "dpo", tmp_path / "out")
    assert (summary.rows, summary.excluded) == (0, {"identical_pair": 1})


def test_all_valid_pairs_are_used_up_to_a_limit_that_spares_none(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """3 x 5 pairs, each once; a smaller limit still uses every branch."""
    solved = [
        make_record(i, actions=(("bash", {"command": f"try {i}"}, "", 0, True), *factories.FIX))
        for i in range(3)
    ]
    failed = [
        make_record(i, "failed", actions=(("bash", {"command": f"try {i}"}, "", 0, True), *factories.MISS))
        for i in range(3, 8)
    ]
    store = make_run(*solved, *failed)
    got = rows(store, "dpo", tmp_path / "all")
    assert len({(r["chosen_branch"], r["rejected_branch"]) for r in got}) == len(got) == 15
    few = rows(store, "dpo", tmp_path / "few", max_pairs=5)
    assert len({r["rejected_branch"] for r in few}) == 5
    assert len({r["chosen_branch"] for r in few}) == 3
    manifest = json.loads((tmp_path / "few" / "manifest.json").read_text())
    assert manifest["exports"]["dpo"]["excluded"] == {"pair_over_limit": 10}


def test_ppo_has_one_row_per_branch_with_an_outcome(
    make_run: MakeRun, family: list[BranchRecord], tmp_path: Path
) -> None:
    """Rewards are the verifier's, in [0, 1]; the missing are missing, not 0."""
    got = rows(make_run(*family), "ppo", tmp_path / "out")
    assert [r["branch_id"] for r in got] == ["b000", "b001", "b002", "b003"]
    assert [r["reward"] for r in got] == [1.0, pytest.approx(1 / 3), 1.0, pytest.approx(1 / 3)]
    assert got[2]["prompt"] + got[2]["completion"] == [m.openai() for m in family[2].trajectory.messages]
    assert len(got[2]["prompt"]) == 6


def test_token_data_are_there_when_the_back_end_gave_them_and_absent_elsewhere(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """Never made up."""
    with_tokens, without = make_record(0), make_record(1, "failed")
    turns = with_tokens.trajectory.turns
    turns[0] = turns[0].model_copy(
        update={"tokens": TokenRecord(completion_ids=[5, 6], logprobs=[-0.1, -0.4])}
    )
    without.trajectory.turns = [t.model_copy(update={"log_prob": None}) for t in without.trajectory.turns]
    first, second = rows(make_run(with_tokens, without), "ppo", tmp_path / "out")
    assert first["turns"][0]["message"] == 0
    assert first["turns"][0]["tokens"]["logprobs"] == [-0.1, -0.4]
    assert second["turns"] == []


@pytest.mark.parametrize("to", HERE)
def test_no_export_ever_holds_a_missing_branch_or_a_secret(
    make_run: MakeRun, make_record: Make, tmp_path: Path, to: str
) -> None:
    """The gate stands before all of them, and the manifest counts what it did."""
    key = "AKIA" + "R" * 16
    leak: tuple[factories.Action, ...] = (
        ("bash", {"command": f"export K={key}"}, key, 0, False),
        *factories.FIX,
    )
    store = make_run(
        make_record(0, actions=leak, tokens=True),
        make_record(1, "failed", tokens=True),
        *(make_record(2 + i, e) for i, e in enumerate(MISSING)),
    )
    summary = export(store, to, tmp_path / "out")
    assert summary.rows > 0
    assert (summary.branches, summary.admitted) == (5, 2)
    assert {k: v for k, v in summary.excluded.items() if k.startswith("missing")} == {
        f"missing_{m}": 1 for m in MISSING
    }
    text = "".join(
        json.dumps(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_text()
        for path in summary.files[:-1]
    )
    assert key not in text
    assert not any(f'"b00{i}"' in text for i in (2, 3, 4))
    assert summary.redactions["aws_access_key"] >= 2
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())["exports"][to]
    assert manifest["redactions"] == dict(summary.redactions)


@pytest.mark.parametrize("to", [to for to in sorted(EXPORTERS) if make_exporter(to).formats == TABLES])
def test_parquet_holds_the_same_rows_as_jsonl(
    make_run: MakeRun, family: list[BranchRecord], tmp_path: Path, to: str
) -> None:
    """Scalars as typed columns, the rest as JSON in `payload`; digests and counts of the manifest hold."""
    summary = export(make_run(*family), to, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / f"{to}.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "out" / f"{to}.parquet")
    joined = [
        {**{k: v for k, v in r.items() if k != "payload"}, **json.loads(r["payload"])}
        for r in table.to_pylist()
    ]
    assert joined == lines
    for file in json.loads((tmp_path / "out" / "manifest.json").read_text())["exports"][to]["files"]:
        data = (tmp_path / "out" / file["name"]).read_bytes()
        assert (sha256(data).hexdigest(), len(data), len(lines)) == (
            file["sha256"],
            file["bytes"],
            file["rows"],
        )
    assert [p.name for p in summary.files] == [f"{to}.jsonl", f"{to}.parquet", "manifest.json"]


def test_the_same_run_gives_the_same_bytes_whatever_the_order_of_writing(
    make_run: MakeRun, family: list[BranchRecord], tmp_path: Path
) -> None:
    """By rollout and branch index; manifest included."""
    for name, store in (("a", make_run(*family)), ("b", make_run(*reversed(family)))):
        for to in HERE:
            export(store, to, tmp_path / name)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second
    assert len(first) == 1 + sum(len(make_exporter(to).formats) for to in HERE)


def test_held_out_tasks_are_not_exported(make_run: MakeRun, make_record: Make, tmp_path: Path) -> None:
    """The gate of the call decides."""
    store = make_run(make_record(0), make_record(0, rollout_id="held"))
    summary = export(store, "sft", tmp_path / "out", gate=Gate(GatePolicy(evaluation=frozenset({"held"}))))
    assert (summary.rows, summary.excluded) == (1, {"held_out": 1})


def test_one_bad_line_does_not_abort_an_export(make_run: MakeRun, make_record: Make, tmp_path: Path) -> None:
    """It is counted."""
    store = make_run(make_record(0))
    (store.path / "branches" / "zz.jsonl").write_text('{"half": \n')
    summary = export(store, "sft", tmp_path / "out")
    assert (summary.rows, summary.unreadable) == (1, 1)


def test_a_failed_export_leaves_the_old_files_whole(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """Half a training set is worse than none."""
    store, out = make_run(make_record(0)), tmp_path / "out"
    export(store, "sft", out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    class Broken(Gate):
        def admit(self, record: BranchRecord) -> Any:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        export(store, "sft", out, gate=Broken())
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_wrong_calls_are_named(make_run: MakeRun, make_record: Make, tmp_path: Path) -> None:
    """Unknown names with the nearest known one; places that hold something else."""
    store = make_run(make_record(0))
    with pytest.raises(ConfigError, match="did you mean dpo"):
        check_formats(["sft", "dp0"])
    with pytest.raises(ConfigError, match="file format 'csv'"):
        export(store, "sft", tmp_path / "x", fmt=("csv",))
    with pytest.raises(ConfigError, match="pairs"):
        export(store, "dpo", tmp_path / "x", pairs=3)
    with pytest.raises(RunDirError, match="choose another --out"):
        export(store, "sft", store.path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirError, match="cannot be written"):
        export(store, "sft", tmp_path / "file")


def test_transitions_carry_what_each_step_was_worth(
    make_run: MakeRun, family: list[BranchRecord], tmp_path: Path
) -> None:
    """On the tree: b000 and its forks b002 and b003 part after step 2; b001 is a root like b000."""
    got = rows(make_run(*family), "transitions", tmp_path / "out")
    by = {name: [r for r in got if r["branch_id"] == name] for name in ("b000", "b001", "b002", "b003")}
    low = 1 / 3  # the reward of b001 and b003; the others have 1
    assert [r["advantage"] for r in by["b000"][:2]] == [pytest.approx((2 + low) / 3 - low)] * 2
    assert [r["advantage"] for r in by["b000"][2:]] == [pytest.approx(1 - (1 + low) / 2)] * 3
    assert [r["advantage"] for r in by["b003"]] == [pytest.approx(low - 1)] * 3
    assert all(r["trains"] for r in got)
    assert [r["group_advantage"] for r in by["b000"]] == [pytest.approx(1 - (1 + 2 * low) / 3)] * 5


def test_a_branch_without_siblings_has_no_advantage(
    make_run: MakeRun, make_record: Make, tmp_path: Path
) -> None:
    """Nothing to compare it with is not zero."""
    got = rows(make_run(make_record(0)), "transitions", tmp_path / "out")
    assert {(r["advantage"], r["group_advantage"], r["trains"]) for r in got} == {(None, None, False)}
