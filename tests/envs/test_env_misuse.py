"""The gymnasium env in the hands of somebody in a hurry: plug-ins that break, settings that cannot be, copies."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from gymnasium.error import ResetNeeded

from envs import EpisodeFailed, Task, load_tasks
from envs.blocking import run
from envs.code_task import CodeTaskEnv
from kernel_pool import KernelPool
from verifiers import Submission, Verdict

SUBMIT, TESTS = '{"tool": "submit"}', '{"tool": "run_tests"}'
MakeEnv = Callable[..., CodeTaskEnv]


@pytest.fixture(scope="module")
def keeper(add_task: Task, options: dict[str, str]) -> Iterator[CodeTaskEnv]:
    """Keeps the back-end up between tests."""
    with CodeTaskEnv(add_task, backend_options=options) as env:
        yield env


@pytest.fixture
def make(keeper: CodeTaskEnv, add_task: Task, options: dict[str, str]) -> Iterator[MakeEnv]:
    made: list[CodeTaskEnv] = []

    def make(**arguments: Any) -> CodeTaskEnv:
        made.append(CodeTaskEnv(**{"task": add_task, "backend_options": options, **arguments}))
        return made[-1]

    yield make
    for env in made:
        env.close()


class Plugin:
    """A verifier of somebody's own."""

    name = "own"

    def __init__(self, says: Callable[[], Any]) -> None:
        self.says = says

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        said: Verdict = self.says()
        return said


def raises(error: BaseException) -> Callable[[], Any]:
    def says() -> Any:
        raise error

    return says


BROKEN = {
    "a mistake": (raises(RuntimeError("boom")), "RuntimeError: boom"),
    "no disk": (raises(OSError(28, "no space")), "no space"),
    "cancels itself": (raises(asyncio.CancelledError()), "CancelledError"),
    "no verdict": (lambda: None, "returned NoneType"),
    "no number": (lambda: Verdict(verifier="own", outcome="pass", score=math.nan), "finite number"),
    "no number, unchecked": (
        lambda: Verdict.model_construct(verifier="own", outcome="pass", score=math.nan),
        "score is nan",
    ),
}


@pytest.mark.parametrize("says", BROKEN)
def test_a_verifier_that_breaks_is_a_failure_and_no_reward(make: MakeEnv, says: str) -> None:
    breaks, told = BROKEN[says]
    env = make(verifier=Plugin(breaks))
    env.reset()
    with pytest.raises(EpisodeFailed, match=told):
        env.step(SUBMIT)
    assert env._info()["missing"] is True
    with pytest.raises(ResetNeeded):
        env.step(SUBMIT)


def test_a_verifier_that_breaks_can_be_flagged_instead(make: MakeEnv) -> None:
    env = make(verifier=Plugin(raises(RuntimeError("boom"))), on_failure="flag")
    env.reset()
    _, reward, terminated, truncated, info = env.step(SUBMIT)
    assert math.isnan(reward)
    assert (terminated, truncated, info["missing"], info["ending"]) == (False, True, True, "infra_error")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_seconds", value) for value in (math.nan, -1, 0, "5", True)),
        ("limits", 5),
        ("max_kernels", "8"),
        ("max_observation_bytes", 100),
    ],
)
def test_a_setting_that_cannot_be_is_named(make: MakeEnv, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; it must be"):
        make(**{name: value})


def test_more_forks_than_sandboxes_are_refused_before_anything_starts(make: MakeEnv) -> None:
    env = make(max_kernels=2)
    env.reset()
    with pytest.raises(ValueError, match="max_kernels is 2"):
        env.fork(2)
    assert env._open().pool.stats().started == 1
    [fork] = env.fork(1)
    fork.close()


def test_forks_do_not_read_the_suite_again(make: MakeEnv, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"id": "t", "instruction": "i", "files": {"a": "b"}}\n')
    env = make(task=None, suite=path)
    env.reset()
    path.unlink()
    [fork] = env.fork(1)
    with fork:
        assert fork.step(TESTS)[4]["task_id"] == "t"


def test_a_reset_that_failed_is_told_with_its_task_in_the_step_after_it(
    make: MakeEnv, tmp_path: Path
) -> None:
    (tmp_path / "list.jsonl").write_text('{"id": "t", "instruction": "i", "files": {"a": "b"}}\n')
    task = load_tasks(tmp_path / "list.jsonl", cache=tmp_path / "cache").tasks[0]
    source = task.base.steps[0].source  # type: ignore[union-attr]
    (source / "a").unlink()
    source.rmdir()
    env = make(task=task, on_failure="flag")
    assert env.reset()[1]["task_id"] == "t"
    assert env.step(TESTS)[4]["task_id"] == "t"


@pytest.mark.parametrize(
    "again", [lambda env: cloudpickle.loads(cloudpickle.dumps(env)), copy.deepcopy], ids=["pickle", "copy"]
)
def test_a_copy_is_a_new_env_with_the_same_arguments(make: MakeEnv, again: Callable[[Any], Any]) -> None:
    env = make(max_steps=3)
    env.reset()
    env.step(TESTS)
    with again(env) as other:
        with pytest.raises(ResetNeeded):
            other.step(TESTS)
        other.reset(seed=1)
        assert [other.step(TESTS)[3] for _ in range(3)] == [False, False, True]
    assert env.step(TESTS)[4]["steps"] == 2


def test_its_coroutines_say_where_they_belong(make: MakeEnv) -> None:
    env = make()
    with pytest.raises(RuntimeError, match=r"^areset was awaited on another event loop.*env\.reset"):
        asyncio.run(env.areset())
    env.reset()
    with pytest.raises(RuntimeError, match=r"^astep was awaited"):
        asyncio.run(env.astep(TESTS))
    assert run(env.astep(TESTS))[4]["steps"] == 1
