"""Many sandboxes at once, in the actors of a real Ray cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray

from envs import TaskError
from rollouts.trainers.ray_vector import RayVectorEnv


def bash(command: str) -> str:
    return json.dumps({"tool": "bash", "arguments": {"command": command}})


@pytest.fixture(scope="module")
def envs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayVectorEnv]:
    home: Path = tmp_path_factory.mktemp("ray-envs")
    line = {"id": "t", "instruction": "i", "files": {"a": "b"}, "tests": {"test.sh": "exit 0"}}
    (home / "tasks.jsonl").write_text(json.dumps({**line, "hidden_tests": "bash /tests/test.sh"}) + "\n")
    state = {"state_dir": str(home / "state")}
    made = RayVectorEnv(
        4, actors=2, suite=str(home / "tasks.jsonl"), backend_options=state, render_mode="ansi"
    )
    yield made
    made.close()
    assert not ray.is_initialized()
    assert list((home / "state" / "instances").iterdir()) == []


def test_each_env_gets_its_own_action_and_gives_its_own_result(envs: RayVectorEnv) -> None:
    envs.reset(seed=1)
    observations, *_ = envs.step([bash(f"echo {number}") for number in range(4)])
    assert observations == tuple(f"exit code 0\n{number}\n" for number in range(4))
    assert "echo 3" in (envs.render() or ())[3]


def test_an_actor_that_dies_takes_only_its_own_envs_with_it(envs: RayVectorEnv) -> None:
    envs.reset(seed=1)
    envs.step([bash("true")] * 4)
    ray.kill(envs._group._actors[1])  # type: ignore[attr-defined]
    _, rewards, _, truncations, infos = envs.step([bash("true")] * 4)
    assert list(truncations) == list(np.isnan(rewards)) == list(infos["missing"]) == [False, True] * 2
    assert list(infos["steps"]) == [2, 1, 2, 1]
    _, infos = envs.reset(options={"reset_mask": truncations})
    assert list(infos["_missing"]) == [False, True] * 2
    assert list(envs.step([bash("true")] * 4)[4]["steps"]) == [3, 1, 3, 1]


def test_what_an_actor_refuses_is_raised_as_itself(envs: RayVectorEnv) -> None:
    with pytest.raises(TaskError, match="no task 'other'"):
        envs.reset(options={"task_id": "other"})


def test_an_impossible_number_of_actors_is_refused() -> None:
    with pytest.raises(ValueError, match="actors is 5"):
        RayVectorEnv(4, actors=5, task="binary-heap")
