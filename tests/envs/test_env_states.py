"""Going on from a point of an episode: snapshot, restore and fork of the gymnasium env."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gymnasium.error import ResetNeeded

from envs import EpisodeOver, StateUnusable, Task
from envs.code_task import CodeTaskEnv


def bash(command: str) -> str:
    return json.dumps({"tool": "bash", "arguments": {"command": command}})


@pytest.fixture(scope="module")
def env(add_task: Task, options: dict[str, str]) -> Iterator[CodeTaskEnv]:
    with CodeTaskEnv(add_task, backend_options=options, max_steps=8) as made:
        yield made


def test_a_state_is_gone_on_from_any_number_of_times_also_after_the_end(env: CodeTaskEnv) -> None:
    env.reset()
    env.step(bash("echo one > file; cd /tmp"))
    env.step("not a call")
    state = env.snapshot()
    for _ in range(2):
        env.step(bash("echo two > /app/file"))
        env.step('{"tool": "submit"}')
        observation, info = env.restore(state)
        assert "no JSON" in observation
        assert (info["steps"], info["state"], info["ending"]) == (2, state.digest, "")
        assert env.snapshot().digest == state.digest
        assert env.step(bash("pwd; cat /app/file"))[0] == "exit code 0\n/tmp\none\n"
    assert [message.role for message in env.trajectory.messages[2:]] == ["assistant", "tool", "assistant", "user", *("assistant", "tool")]  # fmt: skip


def test_a_state_is_plain_data_that_nothing_changes(env: CodeTaskEnv) -> None:
    env.reset()
    env.step(bash("touch new"))
    state = env.snapshot()
    copy = pickle.loads(pickle.dumps(state))
    env.step(bash("rm new"))
    assert copy == state
    env.restore(copy)
    assert env.step(bash("ls new"))[4]["exit_code"] == 0


def test_forks_go_on_from_the_point_each_on_its_own(env: CodeTaskEnv) -> None:
    env.reset(seed=4)
    env.step(bash("echo shared > file"))
    forks = env.fork(2)
    try:
        for number, fork in enumerate(forks):
            assert (
                fork.step(bash(f"cat file; echo {number} > file; cat file"))[0]
                == f"exit code 0\nshared\n{number}\n"
            )
            assert fork.trajectory.prefix_steps == 1
            assert len(fork.trajectory.steps) == 2
        forks[0].close()
        assert forks[1].step(bash("cat file"))[0] == "exit code 0\n1\n"
        assert env.step(bash("cat file"))[0] == "exit code 0\nshared\n"
    finally:
        for fork in forks:
            fork.close()


def test_the_budget_goes_on_from_where_it_was(env: CodeTaskEnv) -> None:
    env.reset()
    for _ in range(6):
        env.step("?")
    [fork] = env.fork(1)
    with fork:
        assert fork.step("?")[3] is False
        assert fork.step("?")[3] is True


def test_without_an_episode_there_is_no_state(
    env: CodeTaskEnv, add_task: Task, options: dict[str, str]
) -> None:
    with CodeTaskEnv(add_task, backend_options=options) as fresh, pytest.raises(ResetNeeded):
        fresh.snapshot()
    env.reset()
    env.step('{"tool": "submit"}')
    with pytest.raises(EpisodeOver, match="ended"):
        env.snapshot()
    with pytest.raises(EpisodeOver, match="ended"):
        env.fork(2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"task_id": "other"}, "no such task"),
        ({"task_digest": "0" * 64}, "another version"),
        ({"backend": "docker"}, "of the back-end docker"),
        (None, "not dict"),
    ],
)
def test_a_foreign_state_is_refused_and_the_episode_goes_on(env: CodeTaskEnv, change: Any, told: str) -> None:
    env.reset()
    state: Any = {} if change is None else replace(env.snapshot(), **change)
    with pytest.raises(StateUnusable, match=told):
        env.restore(state)
    assert env.step(bash("true"))[4]["steps"] == 1


def test_a_state_whose_snapshot_was_deleted_says_so(env: CodeTaskEnv, options: dict[str, str]) -> None:
    env.reset()
    env.step(bash("echo gone > for-good"))
    state = env.snapshot()
    shutil.rmtree(Path(options["state_dir"]) / "layers" / state.snapshot.layers[0])
    with pytest.raises(StateUnusable, match="not there any more"):
        env.restore(state)
    with pytest.raises(ResetNeeded):
        env.step(bash("true"))
    env.reset()
    assert env.step(bash("true"))[4]["steps"] == 1
