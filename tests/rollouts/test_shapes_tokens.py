"""Token-level rows, from real runs: the real client of an OpenAI-compatible server, real sandboxes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tasks import write_task

from envs import Task, load_tasks
from envs.trajectory import TokenRecord
from kernel_pool import KernelPool
from kernel_pool.backends.local import LocalBackend
from rollouts.errors import ConfigError
from rollouts.exports import Rollout, export, make_exporter
from rollouts.exports.neutral import Neutral, neutral
from rollouts.exports.sequences import TokenSequence, token_sequences
from rollouts.fork import BranchSettings, ForkRunner
from rollouts.governance import Admitted, Gate
from rollouts.plan import AtStep, Independent
from rollouts.policies import make_policy
from rollouts.policies.loopback import Call, LoopbackModelServer, Reply
from rollouts.policies.loopback.script import log_prob, token_id, tokens
from rollouts.policies.policy import Policy
from rollouts.records import BranchRecord
from rollouts.snapshots import SnapshotArchive
from rollouts.store import RunStore
from verifiers.build import BuildVerifier

TOKENS = ("verl_rollouts", "skyrl_rollouts", "slime_samples", "prime_traces")
EDIT = {"path": "calc.py", "old": "a + b + 1", "new": "a + b"}
SCRIPT = [
    Reply("I run the tests.", calls=(Call("run_tests", {}),)),
    Reply("Off by one.", calls=(Call("edit_file", EDIT),)),
    Reply("Done.", calls=(Call("submit", {"answer": "mended"}),)),
]
THINKING = [Reply("Look.", calls=(Call("run_tests", {}),), thinking="hm, tests"), *SCRIPT[1:]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[BranchRecord]]:
    """A run whose histories were never tokenised anew, and one of a model whose thoughts are not shown again."""
    task = load_tasks(str(write_task(tmp_path_factory.mktemp("task")))).tasks[0]
    scripts = {"exact": SCRIPT, "thinking": THINKING}
    return {
        name: asyncio.run(_run(task, script, tmp_path_factory.mktemp(name)))
        for name, script in scripts.items()
    }


async def _run(task: Task, script: list[Reply], place: Path) -> list[BranchRecord]:
    """A branch, and one that was forked from it after its first step."""
    sandbox = LocalBackend()
    pool = KernelPool(sandbox, 2)
    async with LoopbackModelServer(script) as server:
        options = {"model": "small", "base_url": f"{server.url}/v1", "logprobs": True, "token_ids": True}
        policy: Policy = make_policy("openai", options)
        archive = SnapshotArchive(place)
        runner = ForkRunner(pool, policy, BuildVerifier(), BranchSettings(), archive)
        [root] = [record async for record in runner.run(task, Independent(1))]
        later = runner.run(task, AtStep("b000", 1, 1, first=1), done=[root])
        forked = [record async for record in later]
        await policy.close()
    await pool.close()
    await sandbox.close()
    return [root, *forked]


def admitted(records: list[BranchRecord]) -> list[Admitted]:
    passed = [Gate().admit(record) for record in records]
    assert all(isinstance(each, Admitted) for each in passed)
    return [each for each in passed if isinstance(each, Admitted)]


def rows(records: list[BranchRecord], to: str, **options: Any) -> tuple[list[dict[str, Any]], Counter[str]]:
    excluded: Counter[str] = Counter()
    return list(make_exporter(to, **options).rows(Rollout.of(admitted(records)), excluded)), excluded


def said(reply: Reply) -> list[str]:
    return tokens(reply.thinking + reply.text + "".join(call.name + call.text for call in reply.calls))


def test_the_mask_is_1_exactly_on_the_tokens_that_the_model_made(runs: dict[str, list[BranchRecord]]) -> None:
    root, fork = rows(runs["exact"], "verl_rollouts")[0]
    for row, script in ((root, SCRIPT), (fork, SCRIPT[1:])):
        own = [token for reply in script for token in said(reply)]
        marked = [i for i, mask in enumerate(row["response_mask"]) if mask]
        assert [row["response_ids"][i] for i in marked] == [token_id(token) for token in own]
        assert [row["response_logprobs"][i] for i in marked] == [log_prob(token) for token in own]
        assert {row["response_logprobs"][i] for i in set(range(len(row["response_ids"]))) - set(marked)} == {
            0.0
        }
        assert (row["reward_score"], row["response_mask"][0]) == (1.0, 1)
    assert root["prompt_ids"] == fork["prompt_ids"][: len(root["prompt_ids"])]
    assert fork["extra_fields"]["group_id"] != root["extra_fields"]["group_id"]


def test_a_history_that_was_tokenised_anew_is_split_or_left_out(runs: dict[str, list[BranchRecord]]) -> None:
    kept, excluded = rows(runs["thinking"], "verl_rollouts")
    assert [row["extra_fields"]["branch_id"] for row in kept] == ["b001"]  # it was forked after the thought
    assert excluded == {"retokenised_history": 1}
    first, second, _ = rows(runs["thinking"], "verl_rollouts", retokenised="split")[0]
    assert first["response_ids"] == [token_id(token) for token in said(THINKING[0])]
    assert set(first["response_mask"]) == {1}
    assert [first["extra_fields"][k] for k in ("part", "parts")] == [0, 2]
    steps = rows(runs["thinking"], "skyrl_rollouts")[0][:2]
    assert [row["is_last_step"] for row in steps] == [False, True]
    assert [sum(row["rewards"]) for row in steps] == [0.0, 1.0]
    assert steps[1]["loss_masks"] == second["response_mask"]


def test_every_shape_holds_the_same_tokens_and_the_reward(runs: dict[str, list[BranchRecord]]) -> None:
    verl, skyrl, slime, prime = (rows(runs["exact"], to)[0] for to in TOKENS)
    for a, b, c, d in zip(verl, skyrl, slime, prime, strict=True):
        whole = [*a["prompt_ids"], *a["response_ids"]]
        assert [*b["prompt_token_ids"], *b["response_ids"]] == c["tokens"] == whole
        assert [i for node in d["nodes"] for i in node.get("token_ids", ())] == whole
        assert a["response_mask"] == b["loss_masks"] == c["loss_mask"]
        assert [m for node in d["nodes"] for m in node.get("mask", ())][-len(c["loss_mask"]) :] == [
            bool(m) for m in c["loss_mask"]
        ]
        assert a["response_logprobs"] == b["rollout_logprobs"] == c["rollout_log_probs"]
        assert {a["reward_score"], sum(b["rewards"]), c["reward"], d["rewards"]["reward"]["score"]} == {1.0}


@pytest.mark.parametrize("to", TOKENS)
def test_a_run_without_token_ids_is_refused_by_the_fields_name_and_leaves_nothing(
    to: str, make_run: Callable[..., RunStore], make_record: Callable[..., BranchRecord], tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"trajectory\.turns\[\]\.tokens\.completion_ids.*policy `openai`"
    ) as told:
        export(make_run(make_record(0)), to, tmp_path / "out")
    assert "\n" not in str(told.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_traces_without_log_probabilities_are_refused_unless_text_is_enough(
    make_record: Callable[..., BranchRecord],
) -> None:
    record = make_record(0, tokens=True)
    bare = [
        turn.tokens.model_copy(update={"logprobs": None}) for turn in record.trajectory.turns if turn.tokens
    ]
    record.trajectory.turns = [
        turn.model_copy(update={"tokens": tokens})
        for turn, tokens in zip(record.trajectory.turns, bare, strict=True)
    ]
    with pytest.raises(ConfigError, match=r"tokens\.logprobs.*`logprobs: true`"):
        rows([record], "prime_traces")
    [trace] = rows([record], "prime_traces", tokens="none")[0]
    assert not any("token_ids" in node for node in trace["nodes"])
    assert [row["response_logprobs"] for row in rows([record], "verl_rollouts")[0]] == [None]


def test_a_reply_whose_ids_are_missing_takes_its_branch_out(make_record: Callable[..., BranchRecord]) -> None:
    record = make_record(0, tokens=True)
    record.trajectory.turns[1] = record.trajectory.turns[1].model_copy(update={"tokens": TokenRecord()})
    assert rows([record], "slime_samples") == ([], {"token_ids_of_some_turns_only": 1})


@given(
    st.lists(
        st.tuples(
            st.booleans(),  # whether the turn's prompt goes on from what came before
            st.lists(st.integers(0, 3), max_size=3),  # the tools' text, or all of a prompt that was made anew
            st.lists(st.integers(0, 3), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_joined_turns_give_back_every_prompt_and_completion(
    turns: list[tuple[bool, list[int], list[int]]],
) -> None:
    seen: list[tuple[list[int], list[int]]] = []
    for goes_on, between, completion in turns:
        before = [*seen[-1][0], *seen[-1][1]] if goes_on and seen else []
        seen.append(([*before, *between], completion))
    parts = token_sequences(_spoken(seen), Counter(), exporter="any", retokenised="split")
    assert sorted(place for part in parts for place in part.turns) == list(range(len(seen)))
    for part in parts:
        assert len(part.mask) == len(part.response_ids) == len(part.logprobs or [])
        assert sum(part.mask) == sum(len(seen[place][1]) for place in part.turns)
        for place, (start, stop) in zip(part.turns, part.spans, strict=True):
            assert ([*part.prompt_ids, *part.response_ids[:start]], part.response_ids[start:stop]) == seen[
                place
            ]


def _spoken(turns: list[tuple[list[int], list[int]]]) -> Neutral:
    """A neutral record whose turns had these prompts and completions."""
    from factories import make_record

    actions = tuple(("run_tests", {}, "ok", 0, False) for _ in turns)
    record = make_record(0, actions=actions, tokens=True)
    record.trajectory.turns = [
        turn.model_copy(
            update={"tokens": TokenRecord(prompt_ids=prompt, completion_ids=ids, logprobs=[-1.0] * len(ids))}
        )
        for turn, (prompt, ids) in zip(record.trajectory.turns, turns, strict=True)
    ]
    [one] = admitted([record])
    return neutral(one, Rollout.of([one]).credit)


def test_a_sequence_goes_on_only_from_itself() -> None:
    part = TokenSequence([1, 2], [3], [1], [-0.5])
    assert part.continues([1, 2, 3]) and part.continues([1, 2, 3, 4])
    assert not any(part.continues(other) for other in ([1, 2], [1, 2, 4], [9, 2, 3, 4], []))
