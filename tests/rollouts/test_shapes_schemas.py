"""Every shape against the schema its project has published, written down here from reading its source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import factories
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, create_model

from rollouts.errors import ConfigError
from rollouts.exports import Rollout, export, make_exporter
from rollouts.exports.neutral import Neutral, neutral, neutral_schema
from rollouts.governance import Admitted, Gate
from rollouts.records import BranchRecord
from rollouts.store import RunStore, dump_json


def shape(**fields: Any) -> type[BaseModel]:
    """A table of fields as a model: nothing else may be there, and no type is bent. A tuple's second is a default."""
    table = {name: kind if isinstance(kind, tuple) else (kind, ...) for name, kind in fields.items()}
    return create_model("Shape", __config__=ConfigDict(extra="forbid", strict=True), **table)


Ids, Floats, Extra = list[int], list[float], dict[str, Any]
Call = shape(id=str, type=Literal["function"], function=shape(name=str, arguments=str | dict[str, Any]))
Message = shape(
    role=Literal["system", "user", "assistant", "tool"],
    content=str,
    tool_calls=(list[Call], []),
    tool_call_id=(str, ""),
    name=(str, ""),
)

SCHEMAS: dict[str, type[BaseModel]] = {
    # verl 0.9.1 (wheel, read 21 Nov 2026): verl/utils/dataset/rl_dataset.py, `__getitem__`; the reward manager
    # verl/experimental/reward_loop/reward_manager/naive.py reads data_source and reward_model.ground_truth.
    "verl_prompts": shape(
        data_source=str,
        prompt=list[Message],
        ability=str,
        reward_model=shape(style=Literal["rule", "model"], ground_truth=str),
        extra_info=shape(
            index=int,
            split=str,
            need_tools_kwargs=bool,
            tools_kwargs=dict[str, shape(create_kwargs=dict[str, str])],
            interaction_kwargs=dict[str, str],
            task_id=str,  # extra_info is handed on whole
            task_digest=str,
        ),
        agent_name=str,
    ),
    # verl 0.9.1: verl/utils/dataset/multiturn_sft_dataset.py, keys `messages` and `tools`; other columns stay unread.
    "verl_sft": shape(
        messages=list[Message],
        tools=list[shape(type=Literal["function"], function=Extra)],
        reward=float,
        prompt_messages=int,
        group_id=str,
        branch_id=str,
    ),
    # verl 0.9.1: verl/experimental/agent_loop/agent_loop.py, AgentLoopOutput and AgentLoopMetrics.
    "verl_rollouts": shape(
        prompt_ids=Ids,
        response_ids=Ids,
        response_mask=Ids,
        response_logprobs=(Floats | None, None),
        reward_score=(float | None, None),
        num_turns=(int, 0),
        metrics=shape(
            generate_sequences=(float, 0.0),
            tool_calls=(float, 0.0),
            compute_score=(float, 0.0),
            num_preempted=(int, -1),
        ),
        extra_fields=(Extra, {}),
    ),
    # NovaSky-AI/SkyRL, skyrl/train/dataset/dataset.py at 14143cc7f8b0daa81efbdfd172cbaf5bcb732a4c; reward_spec as
    # skyrl-gym 0.4.0 reads it (skyrl_gym/envs/gsm8k/env.py).
    "skyrl_prompts": shape(
        data_source=str,
        prompt=list[Message],
        env_class=str,
        reward_spec=shape(method=str, ground_truth=str),
        extra_info=Extra,
    ),
    # NovaSky-AI/SkyRL, skyrl/train/generators/base.py at 12f1ad3989b1007ef3919860315718d865f558a1: GeneratorOutput's
    # lists, one element of each; TrajectoryID. `metadata` is ours.
    "skyrl_rollouts": shape(
        prompt_token_ids=Ids,
        response_ids=Ids,
        rewards=Floats,
        loss_masks=Ids,
        stop_reasons=str,
        rollout_logprobs=(Floats | None, None),
        trajectory_ids=shape(instance_id=str, repetition_id=int),
        process_rewards=(Floats | None, None),
        is_last_step=bool,
        metadata=Extra,
    ),
    # THUDM/slime, slime/utils/data.py at 3c9aa092ef7f302f720aecc69fdbcfe6e7743974.
    "slime_prompts": shape(prompt=list[Message], label=str, tools=list[Extra], metadata=Extra),
    # THUDM/slime, slime/utils/types.py at 7985bf23a5a043f51bc1411ef2bb115ee6a2e174: Sample and Sample.Status.
    "slime_samples": shape(
        group_index=int,
        index=int,
        prompt=str | list[Message],
        tokens=Ids,
        response=str,
        response_length=int,
        label=str | None,
        reward=float | Extra | None,
        loss_mask=Ids | None,
        rollout_log_probs=Floats | None,
        status=Literal["pending", "completed", "truncated", "aborted", "failed"],
        metadata=Extra,
        train_metadata=Extra | None,
    ),
    # verifiers 0.4.0 (wheel, read 21 Nov 2026): verifiers/v1/task.py, TaskData; task-specific fields may follow.
    "prime_tasks": (
        task_data := shape(
            id=str | None,
            name=str | None,
            prompt=str,
            system_prompt=str | None,
            image=str | None,
            workdir=str | None,
            **dict.fromkeys(("digest", "split", "language", "difficulty", "group"), str),
        )
    ),
    # verifiers 0.4.0: verifiers/v1/trace.py (Trace, TraceTask, AgentInfo, Reward, ModelCall), graph.py (MessageNode),
    # types.py (messages, Tool, Usage, SamplingConfig).
    "prime_traces": shape(
        version=Literal[1],
        id=str,
        task=shape(type=str, data=task_data, key=str | None),
        agent=shape(config=shape(model=str | None, sampling=Extra), name=str, trainable=bool),
        tools=list[(tool := shape(type=str, name=str, description=str, parameters=Extra))],
        nodes=list[
            shape(
                parent=int | None,
                tools=(list[tool], []),
                message=shape(
                    role=Literal["system", "user", "assistant", "tool"],
                    content=str,
                    tool_calls=(list[shape(id=str, name=str, arguments=str)], []),
                    tool_call_id=(str, ""),
                    name=(str, ""),
                ),
                sampled=bool,
                token_ids=(Ids, []),
                mask=(list[bool], []),
                logprobs=(Floats, []),
                advantages=(Floats | None, None),
            )
        ],
        calls=list[
            shape(
                node=int,
                finish_reason=Literal["stop", "length", "tool_calls"] | None,
                usage=shape(
                    prompt_tokens=int,
                    completion_tokens=int,
                    cached_input_tokens=int | None,
                    cost=float | None,
                )
                | None,
            )
        ],
        rewards=dict[str, shape(score=float, weight=float) | None],
        metrics=dict[str, float | None],
        info=Extra,
        is_completed=bool,
        ok=bool,
        stop_condition=str | None,
    ),
}


def family(**options: Any) -> list[BranchRecord]:
    """Two branches from the start, and two forks of the first that ended differently."""
    root = factories.make_record(0, tokens=True, **options)
    forked: dict[str, Any] = {"parent": root, "fork_step": 2, "tokens": True}
    miss = (*factories.FIX[2:4], ("submit", {"answer": "unsure"}, "submitted", None, False))
    return [
        root,
        factories.make_record(1, "truncated", tokens=True),
        factories.make_record(2, actions=factories.FIX[2:], **forked),
        factories.make_record(3, "failed", actions=miss, **forked),
    ]


def admitted(records: list[BranchRecord]) -> list[Admitted]:
    return [each for each in map(Gate().admit, records) if isinstance(each, Admitted)]


def rows(records: list[BranchRecord], to: str) -> list[dict[str, Any]]:
    found = make_exporter(to).rows(Rollout.of(admitted(records)), Counter())
    return [json.loads(dump_json(row)) for row in found]


@pytest.mark.parametrize("to", sorted(SCHEMAS))
def test_a_shape_has_the_fields_and_types_its_project_published(to: str) -> None:
    found = rows(family(), to)
    assert found
    for row in found:
        SCHEMAS[to].model_validate(row)


def test_a_table_refuses_what_is_not_in_it() -> None:
    [row] = rows(family()[:1], "verl_rollouts")
    for wrong in ({"logprobs": []}, {"response_mask": [0.5]}, {"prompt_ids": None}):
        with pytest.raises(ValueError, match="validation error"):
            SCHEMAS["verl_rollouts"].model_validate(row | wrong)


def test_the_step_advantages_reach_each_trainer_on_the_tokens_of_their_turn() -> None:
    verl, skyrl, prime = (
        next(row for row in rows(family(), to) if branch(row) == "b002")
        for to in ("verl_rollouts", "skyrl_rollouts", "prime_traces")
    )
    credit = verl["extra_fields"]["credit"]
    # The fork that passed against its sibling that failed, with a third of the checks, and its parent, which passed.
    assert [round(turn["advantage"], 3) for turn in credit] == [0.333] * 3
    assert all(turn["trains"] for turn in credit)
    assert [i for i, reward in enumerate(skyrl["process_rewards"]) if reward] == [
        t["stop"] - 1 for t in credit
    ]
    node = next(node for node in prime["nodes"] if node.get("advantages"))
    assert node["advantages"] == [credit[0]["advantage"]] * sum(node["mask"])
    assert verl["extra_fields"]["group_id"] == "run-1/cart-total/b000/2"


def branch(row: dict[str, Any]) -> str:
    return str({**row.get("extra_fields", {}), **row.get("metadata", {}), **row.get("info", {})}["branch_id"])


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts, lambda v: st.lists(v, max_size=2), max_leaves=4
)
steps = st.tuples(
    st.just("bash"), st.dictionaries(texts, values, max_size=3), texts, st.none(), st.just(False)
)


@settings(max_examples=30, deadline=None)
@given(st.lists(steps, min_size=1, max_size=3), st.floats(0, 1), texts)
def test_messages_tools_and_reward_survive_every_shape(actions: list[Any], reward: float, task: str) -> None:
    record = factories.make_record(0, actions=tuple(actions), reward=reward, instruction=task, tokens=True)
    messages = [message.openai() for message in record.trajectory.messages]
    [one] = admitted([record])
    whole = neutral(one, Rollout.of([one]).credit)
    [episode] = rows([record], "episodes")
    assert Neutral.model_validate_json(json.dumps(episode)) == whole
    Draft202012Validator(neutral_schema()).validate(episode)
    [sft], [trace], [sample] = (rows([record], to) for to in ("verl_sft", "prime_traces", "slime_samples"))
    assert [objects(message) for message in sft["messages"]] == messages
    assert [objects(node["message"]) for node in trace["nodes"]] == messages
    assert sft["tools"] == sample["metadata"]["tools"] == record.trajectory.tools
    assert [
        {"type": "function", "function": {k: v for k, v in t.items() if k != "type"}} for t in trace["tools"]
    ] == sft["tools"]
    assert (sft["reward"], sample["reward"], trace["rewards"]["reward"]["score"]) == (reward,) * 3
    for to in ("verl_prompts", "skyrl_prompts", "slime_prompts"):
        assert rows([record], to)[0]["prompt"] == sample["prompt"] == messages[:2]


def objects(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its arguments as objects, in OpenAI's shape, whichever shape it came in."""
    calls = [
        {"function": {"name": c["name"], "arguments": c["arguments"]}, **c} if "name" in c else c
        for c in message.get("tool_calls", ())
    ]
    written = [
        {
            "id": call["id"],
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": json.loads(call["function"]["arguments"]),
            },
        }
        for call in calls
    ]
    return message | ({"tool_calls": written} if written else {})


def test_nested_parquet_gives_the_rows_back_but_for_nulls(
    make_run: Callable[..., RunStore], tmp_path: Path
) -> None:
    store = make_run(*family())
    for to in ("verl_sft", "verl_prompts", "skyrl_prompts"):
        export(store, to, tmp_path)
        table = pq.read_table(tmp_path / f"{to}.parquet").to_pylist()
        lines = [json.loads(line) for line in (tmp_path / f"{to}.jsonl").read_text().splitlines()]
        assert without_nulls(table) == without_nulls(lines)
        assert table
    assert not list(tmp_path.glob(".*"))


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: kept for k, v in value.items() if (kept := without_nulls(v)) not in (None, {})}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def test_a_column_without_a_common_type_is_named_and_leaves_nothing(
    make_run: Callable[..., RunStore], make_record: Callable[..., BranchRecord], tmp_path: Path
) -> None:
    record = make_record(0)
    record.trajectory.tools = [
        {"type": "function", "function": {"name": str(default), "parameters": {"default": default}}}
        for default in (1, "one")
    ]
    with pytest.raises(ConfigError, match="column tools has no common type"):
        export(make_run(record), "verl_sft", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
