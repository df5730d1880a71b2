"""Many sandboxes at once."""

from __future__ import annotations

import json
import time
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from envs import Task, TaskError
from envs.blocking import run
from envs.vector import ConcurrentVectorEnv

SUBMIT = '{"tool": "submit"}'


def bash(command: str) -> str:
    return json.dumps({"tool": "bash", "arguments": {"command": command}})


@pytest.mark.parametrize(
    ("cls", "extra"), [(SyncVectorEnv, {}), (AsyncVectorEnv, {"shared_memory": False, "context": "fork"})]
)
def test_gymnasiums_own_vector_envs_work_with_autoreset_disabled(
    cls: Any, extra: dict[str, Any], add_task: Task, options: dict[str, str]
) -> None:
    def make() -> gymnasium.Env[str, str]:
        return gymnasium.make("envs:rollout_fork/CodeTask-v0", task=add_task, backend_options=options)

    envs = cls([make, make], autoreset_mode=AutoresetMode.DISABLED, **extra)
    try:
        observations, infos = envs.reset(seed=1)
        assert observations in envs.observation_space
        observations, rewards, terminations, _, infos = envs.step((bash("echo é漢"), SUBMIT))
        assert observations == ("exit code 0\né漢\n", "submitted")
        assert (list(rewards), list(terminations)) == ([0.0, 0.5], [False, True])
        assert list(infos["reward_components"]["build"]) == [0.0, 0.5]
        _, infos = envs.reset(options={"reset_mask": terminations})
        assert list(infos["_steps"]) == [False, True]
        assert list(envs.step((bash("true"), bash("true")))[4]["steps"]) == [2, 1]
    finally:
        envs.close()


def test_all_sandboxes_are_stepped_at_once(add_task: Task, options: dict[str, str]) -> None:
    envs = ConcurrentVectorEnv(6, task=add_task, backend_options=options)
    try:
        observations, _ = envs.reset(seed=0)
        assert observations in envs.observation_space
        began = time.monotonic()
        observations, *_ = envs.step([bash(f"sleep 1; echo {number}") for number in range(6)])
        assert time.monotonic() - began < 4  # one after another they would take 6
        assert observations == tuple(f"exit code 0\n{number}\n" for number in range(6))
    finally:
        envs.close()


def test_make_vec_makes_it(add_task: Task, options: dict[str, str]) -> None:
    envs = gymnasium.make_vec(
        "envs:rollout_fork/CodeTask-v0", num_envs=2, task=add_task, backend_options=options
    )
    assert isinstance(envs.unwrapped, ConcurrentVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    envs.close()


def test_what_fails_in_one_is_flagged_there_and_touches_no_other(
    add_task: Task, options: dict[str, str]
) -> None:
    envs = ConcurrentVectorEnv(3, task=add_task, backend_options=options, render_mode="ansi")
    try:
        envs.reset(seed=0)
        run(envs._group._envs[1]._now().episode.kernel.close())  # type: ignore[attr-defined]
        observations, rewards, terminations, truncations, infos = envs.step([bash("echo fine")] * 3)
        assert observations[0] == observations[2] == "exit code 0\nfine\n"
        assert list(np.isnan(rewards)) == list(truncations) == list(infos["missing"]) == [False, True, False]
        with pytest.raises(ResetNeeded, match="env 1"):
            envs.step([SUBMIT] * 3)
        envs.reset(options={"reset_mask": terminations | truncations})
        assert list(envs.step([SUBMIT] * 3)[1]) == [0.5, 0.5, 0.5]
        assert len(envs.render() or ()) == 3
    finally:
        envs.close()


def test_a_closed_one_starts_nothing_any_more(add_task: Task, options: dict[str, str]) -> None:
    envs = ConcurrentVectorEnv(2, task=add_task, backend_options=options)
    envs.close()
    with pytest.raises(ClosedEnvironmentError, match="make a new one"):
        envs.reset()
    with pytest.raises(ClosedEnvironmentError):
        envs.step([SUBMIT] * 2)
    envs.close()


def test_bad_calls_are_refused_before_anything_is_stepped(add_task: Task, options: dict[str, str]) -> None:
    envs = ConcurrentVectorEnv(2, task=add_task, backend_options=options)
    try:
        with pytest.raises(ResetNeeded, match="env 0, 1"):
            envs.step([SUBMIT] * 2)
        envs.reset(seed=[1, None])
        for actions, told in (
            ([SUBMIT], "one action for each"),
            (SUBMIT, "one action for each"),
            ([SUBMIT, 3], "env 1"),
        ):
            with pytest.raises(InvalidAction, match=told):
                envs.step(actions)  # type: ignore[arg-type]
        with pytest.raises(TaskError, match="no task 'other'"):
            envs.reset(options={"task_id": "other"})
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": [1, 0]})
        with pytest.raises(ValueError, match="3 seeds"):
            envs.reset(seed=[1, 2, 3])
        assert list(envs.step([bash("true")] * 2)[4]["steps"]) == [1, 1]
    finally:
        envs.close()


@pytest.mark.parametrize(
    ("count", "arguments", "told"),
    [
        (0, {}, "num_envs"),
        (3, {"max_kernels": 2}, "max_kernels=3"),
        (2, {"on_failure": "raise"}, "on_failure"),
    ],
)
def test_impossible_settings_are_refused(
    count: int, arguments: dict[str, Any], told: str, add_task: Task
) -> None:
    with pytest.raises(ValueError, match=told):
        ConcurrentVectorEnv(count, task=add_task, **arguments)
