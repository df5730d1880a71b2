"""What the gymnasium env must not leave behind: sandboxes that nobody can reach any more."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from collections.abc import Iterator

import pytest

from envs import Task
from envs.blocking import Workshop, run
from envs.code_task import CodeTaskEnv


def bash(command: str) -> str:
    return json.dumps({"tool": "bash", "arguments": {"command": command}})


@pytest.fixture(scope="module")
def env(add_task: Task, options: dict[str, str]) -> Iterator[CodeTaskEnv]:
    with CodeTaskEnv(add_task, backend_options=options, max_kernels=20) as made:
        yield made


@pytest.fixture
def workshop(env: CodeTaskEnv) -> Workshop:
    """The env's own, to see what it holds."""
    return env._open()


def settle_at(workshop: Workshop, leased: int) -> None:
    """Wait until so many sandboxes are held; a `TimeoutError` says that they never were."""

    async def settled() -> None:
        while workshop.pool.stats().leased != leased:
            await asyncio.sleep(0.01)

    run(settled(), timeout_s=10)


def test_forgotten_forks_free_their_sandboxes_while_another_env_lives(
    env: CodeTaskEnv, workshop: Workshop
) -> None:
    env.reset()
    env.step(bash("echo hi > x"))
    forks = env.fork(2)
    for fork in forks:
        fork.step(bash("cat x"))
    assert workshop.pool.stats().leased == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del forks, fork
        gc.collect()
    settle_at(workshop, 1)


def test_a_fork_that_is_interrupted_just_as_it_is_there_leaves_nothing(
    env: CodeTaskEnv, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.reset()
    env.step(bash("echo hi > x"))
    state = env.snapshot()

    def interrupted(work: object, **_: object) -> None:
        run(work)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    gc.disable()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(env, "snapshot", lambda: state)
            patch.setattr(env, "_run", interrupted)
            with pytest.raises(KeyboardInterrupt):
                env.fork(2)
        settle_at(workshop, 1)
    finally:
        gc.enable()
    assert env.step(bash("cat x"))[0] == "exit code 0\nhi\n"
