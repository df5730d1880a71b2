"""The gymnasium env, in real sandboxes."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import EpisodeFailed, Task, TaskError, load_tasks
from envs.blocking import Workshop, run
from envs.code_task import CodeTaskEnv

MakeEnv = Callable[..., CodeTaskEnv]
TESTS, SUBMIT = '{"tool": "run_tests"}', '{"tool": "submit"}'


def call(tool: str, **arguments: Any) -> str:
    return json.dumps({"tool": tool, "arguments": arguments})


FIX = call("edit_file", path="add.py", old="a - b", new="a + b")


@pytest.fixture
def make(add_task: Task, options: dict[str, str]) -> Iterator[MakeEnv]:
    made: list[CodeTaskEnv] = []

    def make(**arguments: Any) -> CodeTaskEnv:
        which = {} if {"task", "suite"} & set(arguments) else {"task": add_task}
        made.append(CodeTaskEnv(**which, backend_options=options, **arguments))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture(scope="module", autouse=True)
def workshop(options: dict[str, str]) -> Iterator[Workshop]:
    """Keeps the back-end up between tests, and sees what envs leave behind."""
    opened = Workshop.open("local", options)
    yield opened
    opened.close()


def test_gymnasiums_checker_has_nothing_to_say(make: MakeEnv) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*not having a spec.*")
        check_env(make(render_mode="ansi"))


@pytest.mark.parametrize("first", ["envs", "gymnasium"])
def test_the_id_is_known_whatever_is_imported_first_and_gymnasium_is_not_dragged_in(first: str) -> None:
    program = (
        f"import sys, {first}\n"
        f"assert {first!r} == 'gymnasium' or 'gymnasium' not in sys.modules and 'numpy' not in sys.modules\n"
        "import gymnasium\n"
        "env = gymnasium.make('envs:rollout_fork/CodeTask-v0', task='binary-heap')\n"
        "print(env.unwrapped.tasks.tasks[0].id)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "binary-heap\n"


def test_solving_the_task_and_handing_it_in_earns_the_verifiers_score(make: MakeEnv) -> None:
    env = make()
    first, _ = env.reset(seed=1)
    assert "Make `add` add." in first
    assert "edit_file" in first
    assert env.step(FIX)[1:4] == (0.0, False, False)
    observation, reward, terminated, truncated, info = env.step(SUBMIT)
    assert (observation, reward, terminated, truncated) == ("submitted", 1.0, True, False)
    assert (info["ending"], info["stop"], info["solved"], info["missing"]) == (
        "solved",
        "submitted",
        True,
        False,
    )
    assert info["reward_components"]["build"] == 1.0
    assert math.isnan(info["reward_components"]["visual"])
    assert env.verdict is not None
    assert env.trajectory.stop == "submitted"


def test_giving_up_is_terminated_with_the_score_of_the_work_as_it_is(make: MakeEnv) -> None:
    env = make()
    env.reset()
    _, reward, terminated, truncated, info = env.step(SUBMIT)
    assert (reward, terminated, truncated, info["ending"]) == (0.5, True, False, "failed")


def test_work_is_verified_when_the_steps_run_out(make: MakeEnv) -> None:
    env = make(max_steps=2)
    env.reset()
    env.step(FIX)
    _, reward, terminated, truncated, info = env.step(TESTS)
    assert (reward, terminated, truncated) == (1.0, False, True)
    assert (info["ending"], info["stop"], info["solved"]) == ("truncated", "steps", True)


def test_work_is_verified_when_the_seconds_run_out(make: MakeEnv) -> None:
    env = make(max_seconds=2)
    env.reset()
    env.step(FIX)
    observation, reward, _, truncated, info = env.step(call("bash", command="sleep 30"))
    assert "time" in observation
    assert (reward, truncated, info["stop"]) == (1.0, True, "seconds")
    assert all(message.role != "assistant" or message.tool_calls for message in env.trajectory.messages[:4])


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("run the tests", "no JSON"),
        ("", "no JSON"),
        ("[1]", "a list"),
        (call("run_test"), "did you mean `run_tests`"),
        (call("bash", cmd="ls"), "`command` is missing"),
        (call("bash", command="a\0b"), "NUL"),
        ('{"tool": "bash", "arguments": [1]}', "not a JSON object"),
        ("\ud800 {", "no JSON"),
        ("x" * 70_000, "70000 characters"),
    ],
)
def test_what_is_no_usable_call_costs_a_step_and_is_answered(make: MakeEnv, action: str, told: str) -> None:
    env = make()
    env.reset()
    observation, reward, terminated, truncated, info = env.step(action)
    assert told in observation
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert (info["steps"], info["tool_error"]) == (1, True)
    assert env.trajectory.events[-1]["kind"] in ("malformed_call", "tool_error")
    assert env.trajectory.turns
    assert len(env.trajectory.model_dump_json()) < 60_000


@pytest.fixture(scope="module")
def long(add_task: Task, options: dict[str, str]) -> Iterator[CodeTaskEnv]:
    """An env in an episode of many steps."""
    with CodeTaskEnv(add_task, backend_options=options, max_steps=10_000) as env:
        env.reset()
        yield env


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=80))
def test_any_text_is_an_action_and_gets_an_observation_of_the_space(long: CodeTaskEnv, text: str) -> None:
    observation, reward, terminated, truncated, _ = long.step(text)
    assert observation in long.observation_space
    assert (reward, terminated, truncated) == (0.0, False, False)


@pytest.mark.parametrize("action", [3, b"{}", None, {"tool": "submit"}])
def test_what_is_no_text_is_refused_in_one_line_and_costs_no_step(make: MakeEnv, action: Any) -> None:
    env = make()
    env.reset()
    with pytest.raises(InvalidAction, match=type(action).__name__) as caught:
        env.step(action)
    assert "\n" not in str(caught.value)
    assert env.step(TESTS)[4]["steps"] == 1


def test_there_is_no_step_before_reset_nor_after_the_end(make: MakeEnv) -> None:
    env = make()
    with pytest.raises(ResetNeeded):
        env.step(TESTS)
    env.reset()
    env.step(SUBMIT)
    with pytest.raises(ResetNeeded, match="ended"):
        env.step(TESTS)
    env.reset()
    assert env.step(TESTS)[4]["steps"] == 1


def test_info_has_the_same_keys_and_types_throughout(make: MakeEnv) -> None:
    env = make(keep_states=True)
    infos = [env.reset()[1], *(env.step(a)[4] for a in ("?", TESTS, FIX, SUBMIT))]
    shapes = [
        {key: (type(value), tuple(value) if isinstance(value, dict) else ()) for key, value in info.items()}
        for info in infos
    ]
    assert all(shape == shapes[0] for shape in shapes)
    assert infos[2]["exit_code"] == 1
    assert infos[3]["state"] == infos[4]["state"] != infos[0]["state"]


def test_the_seed_draws_the_task_and_an_option_names_it(make: MakeEnv) -> None:
    env = make(suite="suite:constraints")
    ids = [env.reset(seed=3)[1]["task_id"], env.reset()[1]["task_id"]]
    assert ids == [env.reset(seed=3)[1]["task_id"], env.reset()[1]["task_id"]]
    assert env.reset(options={"task_id": "quiet-poem"})[1]["task_id"] == "quiet-poem"
    with pytest.raises(TaskError, match="did you mean quiet-poem"):
        env.reset(options={"task_id": "quiet-poems"})
    with pytest.raises(TaskError, match="no option 'task'"):
        env.reset(options={"task": "quiet-poem"})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"task": "binary-heep"}, "did you mean binary-heap"),
        ({"task": "no/where"}, "no/where: is no task directory"),
        ({"task": "binary-heap", "suite": "suite"}, "either"),
        ({"suite": "suite", "task_ids": ["binary-heep"]}, "did you mean binary-heap"),
    ],
)
def test_tasks_that_are_not_there_are_named(make: MakeEnv, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(TaskError, match=told):
        make(**arguments)


def test_a_sandbox_that_dies_is_no_reward_but_an_error(make: MakeEnv) -> None:
    env = make()
    env.reset()
    run(env._now().episode.kernel.close())
    with pytest.raises(EpisodeFailed, match="KernelClosed"):
        env.step(TESTS)
    with pytest.raises(ResetNeeded):
        env.step(TESTS)
    env.reset()
    assert env.step(TESTS)[4]["missing"] is False


def test_a_sandbox_that_dies_can_be_flagged_instead(make: MakeEnv) -> None:
    env = make(on_failure="flag")
    env.reset()
    run(env._now().episode.kernel.close())
    _, reward, terminated, truncated, info = env.step(TESTS)
    assert math.isnan(reward)
    assert (terminated, truncated) == (False, True)
    assert (info["missing"], info["ending"], info["solved"]) == (True, "infra_error", False)
    assert "KernelClosed" in info["reason"]


def test_a_sandbox_that_cannot_be_had_is_flagged_at_reset_and_ends_with_the_first_step(
    make: MakeEnv, tmp_path: Path
) -> None:
    (tmp_path / "list.jsonl").write_text('{"id": "t", "instruction": "i", "files": {"a": "b"}}\n')
    task = load_tasks(tmp_path / "list.jsonl", cache=tmp_path / "cache").tasks[0]
    source = task.base.steps[0].source  # type: ignore[union-attr]
    (source / "a").unlink()
    source.rmdir()
    env = make(task=task, on_failure="flag")
    assert env.reset()[1]["missing"] is True
    assert math.isnan(env.step(TESTS)[1])
    with pytest.raises(ResetNeeded):
        env.step(TESTS)


def test_a_verdict_that_is_unknown_is_missing_and_not_zero(make: MakeEnv, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text('{"id": "t", "instruction": "i", "files": {"a": "b"}}\n')
    task = load_tasks(tmp_path / "list.jsonl", cache=tmp_path / "cache").tasks[0]
    env = make(task=task)
    env.reset()
    with pytest.raises(EpisodeFailed, match=r"could not tell.*no tests"):
        env.step(SUBMIT)


def test_verifying_finds_room_while_envs_hold_all_the_sandboxes(make: MakeEnv) -> None:
    envs = [make(max_kernels=2) for _ in range(2)]
    for env in envs:
        env.reset()
    assert envs[0].step(SUBMIT)[1] == 0.5


def test_an_interrupt_ends_the_command_and_leaves_the_env_usable(make: MakeEnv) -> None:
    env = make()
    env.reset()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            env.step(call("bash", command="sleep 30"))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert env.step(call("bash", command="pgrep sleep"))[4]["exit_code"] == 1


def test_closing_frees_the_sandbox_and_can_be_done_twice(make: MakeEnv, workshop: Workshop) -> None:
    before = workshop.pool.stats().leased
    env = make()
    env.reset()
    assert workshop.pool.stats().leased == before + 1
    env.close()
    env.close()
    assert workshop.pool.stats().leased == before
    with pytest.raises(ResetNeeded):
        env.step(TESTS)


def test_a_forgotten_env_warns_and_frees_its_sandbox(
    add_task: Task, options: dict[str, str], workshop: Workshop
) -> None:
    before = workshop.pool.stats().leased
    env = CodeTaskEnv(add_task, backend_options=options)
    env.reset()
    with pytest.warns(ResourceWarning, match="never closed"):
        del env

    async def settled() -> None:
        while workshop.pool.stats().leased > before:
            await asyncio.sleep(0.01)

    run(settled(), timeout_s=10)


def test_render_tells_the_last_call_its_result_and_how_it_stands(make: MakeEnv) -> None:
    env = make(render_mode="ansi")
    assert env.render() == "no episode"
    env.reset()
    env.step(call("bash", command="printf 'a\\033[31mb'"))
    shown = str(env.render())
    assert "step 1 of 64: going on" in shown
    assert "> bash" in shown
    assert "\033" not in shown
    assert make().render() is None


def test_a_wrapped_env_is_made_by_its_id(add_task: Task, options: dict[str, str]) -> None:
    with gymnasium.make(
        "envs:rollout_fork/CodeTask-v0", task=add_task, backend_options=options, max_steps=3
    ) as env:
        env.reset(seed=0)
        assert env.step(SUBMIT)[2] is True
