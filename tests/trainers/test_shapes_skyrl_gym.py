"""SkyRL's own gym drives our sandbox. Needs the extra `skyrl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from branches_with_tokens import write_run

skyrl_gym = pytest.importorskip("skyrl_gym")
omegaconf = pytest.importorskip("omegaconf")

from envs import load_tasks  # noqa: E402
from rollouts.errors import ConfigError  # noqa: E402
from rollouts.exports import export  # noqa: E402
from rollouts.trainers.skyrl import generator_output, register  # noqa: E402

TASK = load_tasks("suite:starter").tasks[0]
PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the data set's words"}]


def row(**extra: Any) -> dict[str, Any]:
    return {
        "reward_spec": {"method": "rule", "ground_truth": TASK.id},
        "extra_info": {"task_id": TASK.id, **extra},
    }


@pytest.fixture
def env() -> Iterator[Any]:
    register()
    config = omegaconf.OmegaConf.create({"tasks": "suite", "max_kernels": 2})
    made = skyrl_gym.make(
        "rollout_fork", env_config=config, extras={**row(task_digest=TASK.digest), "max_turns": 4}
    )
    yield made
    made.close()


def call(tool: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': arguments})}</tool_call>"


def test_an_episode_runs_from_the_prompt_to_the_verifiers_score(env: Any) -> None:
    messages, _ = env.init(PROMPT)
    assert messages[0] == PROMPT[0]
    assert TASK.instruction.strip()[:60] in messages[1]["content"]
    assert "run_tests" in messages[1]["content"]
    first = env.step("Let me look.\n" + call("bash", command="echo here-$((40+2))"))
    assert set(first) >= {"observations", "reward", "done", "metadata"}
    assert "here-42" in first["observations"][0]["content"]
    assert (first["reward"], first["done"]) == (0.0, False)
    last = env.step(call("submit", answer="nothing was changed"))
    assert (last["observations"], last["done"]) == ([], True)
    assert 0.0 <= last["reward"] < 1.0
    assert last["metadata"]["ending"] == "failed"
    assert env.get_metrics() == {"solved": 0.0, "steps": 2}


def test_solved_work_is_worth_1(env: Any) -> None:
    env.init(PROMPT)
    assert TASK.solution is not None
    env.step(call("bash", command=(TASK.solution / "solve.sh").read_text()))
    last = env.step(call("submit", answer="done"))
    assert (last["reward"], last["metadata"]["solved"]) == (1.0, True)


def test_two_calls_of_one_reply_are_both_carried_out(env: Any) -> None:
    env.init(PROMPT)
    got = env.step(call("bash", command="echo one > f") + "\n" + call("bash", command="cat f"))
    assert got["observations"][0]["content"].rstrip().endswith("one")


def test_the_episode_ends_with_skyrls_turns_and_is_verified(env: Any) -> None:
    env.init(PROMPT)
    ends = [env.step("I would rather talk.") for _ in range(4)]
    assert [end["done"] for end in ends] == [False, False, False, True]
    assert "tool" in ends[0]["observations"][0]["content"]
    assert ends[-1]["metadata"]["ending"] == "truncated"


def test_a_row_or_a_setting_that_does_not_fit_is_named() -> None:
    register()
    with pytest.raises(ConfigError, match=r"extra_info\.task_id"):
        skyrl_gym.make("rollout_fork", env_config={}, extras={})
    with pytest.raises(ConfigError, match="colour"):
        skyrl_gym.make("rollout_fork", env_config={"colour": 1}, extras=row())


def test_an_export_becomes_a_generator_output(tmp_path: Path) -> None:
    export(write_run(tmp_path), "skyrl_rollouts", tmp_path)
    output = generator_output(tmp_path / "skyrl_rollouts.jsonl")
    # NovaSky-AI/SkyRL, skyrl/train/generators/base.py at 12f1ad39: the keys of GeneratorOutput.
    assert set(output) == {
        *("prompt_token_ids", "response_ids", "rewards", "loss_masks", "stop_reasons", "rollout_metrics"),
        *("rollout_logprobs", "trajectory_ids", "rollout_expert_indices", "process_rewards", "is_last_step"),
    }
    assert output["response_ids"] == [[3, 4, 5, 6], [3, 4], [6]]
    assert output["is_last_step"] == [True, False, True]
    assert output["process_rewards"] is None  # a turn without a tool call has no step advantage
    assert {each["instance_id"] for each in output["trajectory_ids"]} == {"r/t/root/0"}
