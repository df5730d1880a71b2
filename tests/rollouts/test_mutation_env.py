"""Program repair as a discrete choice."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.wrappers import PassiveEnvChecker

from envs.code_task import CodeTaskEnv
from rollouts.trainers.mutation_env import CandidateEdits

ADD = "def add(a, b):\n    return a - b\n"
TEST = "from add import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"


@pytest.fixture(scope="module")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeTaskEnv]:
    home = tmp_path_factory.mktemp("repair")
    lines = [
        {"id": "bug", "instruction": "Repair add.", "files": {"add.py": ADD, "test_add.py": TEST}},
        {"id": "fine", "instruction": "x", "files": {"add.py": ADD.replace("-", "+"), "test_add.py": TEST}},
    ]
    tests = {"tests": {"test_hidden.py": TEST}, "visible_tests": "python -m pytest -q"}
    (home / "tasks.jsonl").write_text("".join(json.dumps({**line, **tests}) + "\n" for line in lines))
    options = {"state_dir": str(home / "state")}
    with CodeTaskEnv(suite=home / "tasks.jsonl", backend_options=options, max_steps=200) as made:
        yield made


def test_gymnasiums_passive_checker_has_nothing_to_say(inner: CodeTaskEnv) -> None:
    env = PassiveEnvChecker(CandidateEdits(inner, n_actions=5))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        env.reset(seed=1, options={"task_id": "bug"})
        env.step(4)


def test_choosing_edits_repairs_the_program(inner: CodeTaskEnv) -> None:
    env = CandidateEdits(inner, n_actions=8)
    seen, info = env.reset(options={"task_id": "bug"})
    assert seen in env.observation_space
    assert seen["mask"].tolist() == [1] * 8
    assert info["n_candidates"] > 8
    done, rewards = False, []
    while not done:
        seen, reward, terminated, truncated, info = env.step(0)
        rewards.append(reward)
        done = terminated or truncated
    assert rewards[-1] == 1.0
    assert not any(rewards[:-1])
    assert info["solved"] is True
    assert seen["mask"].sum() == 0
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_an_edit_that_was_tried_is_not_offered_again(inner: CodeTaskEnv) -> None:
    env = CandidateEdits(inner, n_actions=500, tries=3)
    _, before = env.reset(options={"task_id": "bug"})
    count = before["n_candidates"]
    last = int(before["action_mask"].sum()) - 1
    seen, *_, info = env.step(499)  # beyond the last edit: the last one
    assert info["n_candidates"] < count
    assert seen["mask"].sum() == last
    assert np.array_equal(env.action_masks(), info["action_mask"])


def test_the_tries_run_out(inner: CodeTaskEnv) -> None:
    env = CandidateEdits(inner, n_actions=500, tries=2)
    env.reset(options={"task_id": "bug"})
    assert env.step(499)[2] is False
    _, reward, terminated, _, info = env.step(499)
    assert (reward, terminated, info["ending"]) == (0.0, True, "failed")


def test_where_there_is_nothing_to_choose_the_first_step_ends_the_episode(inner: CodeTaskEnv) -> None:
    env = CandidateEdits(inner)
    seen, _ = env.reset(options={"task_id": "fine"})
    assert seen["mask"].sum() == 0
    assert env.step(0)[1:3] == (1.0, True)


@pytest.mark.parametrize("action", [-1, 64, "0", None])
def test_an_action_outside_the_space_is_refused(inner: CodeTaskEnv, action: Any) -> None:
    env = CandidateEdits(inner)
    env.reset(options={"task_id": "bug"})
    with pytest.raises(InvalidAction, match="is no action"):
        env.step(action)


def test_only_code_tasks_can_be_wrapped() -> None:
    with pytest.raises(ValueError, match="wraps a CodeTaskEnv, not CartPoleEnv"):
        CandidateEdits(gymnasium.make("CartPole-v1"))  # type: ignore[arg-type]
