"""Many sandboxes at once, in the actors of a real Ray cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray

from envs import TaskError
from kernel_pool import KernelPool
from rollouts.actors import connect
from rollouts.config import RunConfig
from rollouts.trainers.ray_vector import RayVectorEnv
from verifiers import Submission, Verdict


def bash(command: str) -> str:
    return json.dumps({"tool": "bash", "arguments": {"command": command}})


class OnlyHere:
    """A verifier that works in the process that made it."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    @property
    def name(self) -> str:
        if os.getpid() != self.pid:
            raise RuntimeError("no key on this node")
        return "only-here"

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        return Verdict(verifier=self.name, outcome="pass", score=1.0)


@pytest.fixture(scope="module")
def ended_cluster() -> str:
    """The node of a cluster that this process has started and ended, as a run does."""
    began = connect(RunConfig())
    assert began is not None
    node = str(ray.get_runtime_context().get_node_id())
    ray.shutdown()
    for name in began:
        os.environ.pop(name, None)
    return node


@pytest.fixture(scope="module")
def envs(tmp_path_factory: pytest.TempPathFactory, ended_cluster: str) -> Iterator[RayVectorEnv]:
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


@pytest.mark.slow
def test_one_process_starts_a_cluster_after_it_has_ended_another(
    envs: RayVectorEnv, ended_cluster: str
) -> None:
    assert list(envs.reset(seed=1)[1]["task_id"]) == ["t"] * 4
    assert ray.get_runtime_context().get_node_id() != ended_cluster


def test_each_env_gets_its_own_action_and_gives_its_own_result(envs: RayVectorEnv) -> None:
    envs.reset(seed=1)
    observations, *_ = envs.step([bash(f"echo {number}") for number in range(4)])
    assert observations == tuple(f"exit code 0\n{number}\n" for number in range(4))
    assert "echo 3" in (envs.render() or ())[3]


@pytest.mark.slow
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


def test_of_a_dead_actor_there_is_nothing_to_show(envs: RayVectorEnv) -> None:
    envs.reset(seed=1)
    ray.kill(envs._group._actors[1])  # type: ignore[attr-defined]
    shown = envs.render() or ()
    assert ["going on" in each for each in shown] == [True, False] * 2
    assert (shown[1], shown[3]) == ("", "")
    truncations = envs.step([bash("true")] * 4)[3]
    assert list(truncations) == [False, True] * 2


def test_what_an_actor_refuses_is_raised_as_itself(envs: RayVectorEnv) -> None:
    with pytest.raises(TaskError, match="no task 'other'"):
        envs.reset(options={"task_id": "other"})


def test_an_impossible_number_of_actors_is_refused() -> None:
    with pytest.raises(ValueError, match="actors is 5"):
        RayVectorEnv(4, actors=5, task="binary-heap")


def test_more_envs_than_an_actor_may_hold_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"3 envs in one process need max_kernels=3; it is 2"):
        RayVectorEnv(3, actors=1, task="binary-heap", max_kernels=2)


def test_what_is_wrong_in_an_actor_only_is_raised_when_the_env_is_made(envs: RayVectorEnv) -> None:
    with pytest.raises(RuntimeError, match=r"^no key on this node$"):
        RayVectorEnv(1, task="binary-heap", verifier=OnlyHere())
    assert ray.is_initialized()  # the others' connection
