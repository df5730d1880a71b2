"""Whole branches of the mutation policy in a real sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from small_tasks import write_task

from envs import Episode, Task, load_tasks
from envs.lineage import cut
from envs.trajectory import Message, ToolCall, Trajectory
from kernel_pool import KernelPool
from kernel_pool.registry import backend
from rollouts.branch import run_branch
from rollouts.config import BudgetConfig
from rollouts.policies import make_policy
from rollouts.policies.mutation import MutationPolicy
from rollouts.records import Sampling

# One statement, so that a branch of a few tries shows everything.
EVEN = "def even(n):\n    return n % 2 == 1\n"
EVEN_TESTS = "from calc import even\n\n\ndef test_two():\n    assert even(2)\n\n\ndef test_three():\n    assert not even(3)\n"


@pytest.fixture
async def pool() -> AsyncIterator[KernelPool]:
    sandbox = backend("local")
    pool = KernelPool(sandbox, 2)
    yield pool
    await pool.close()
    await sandbox.close()


def make_task(root: Path, program: str = EVEN, tests: str = EVEN_TESTS) -> Task:
    folder = write_task(root)
    (folder / "environment/app/calc.py").write_text(program)
    (folder / "environment/app/tests/test_calc.py").write_text(tests)
    return load_tasks(folder).tasks[0]


async def play(
    pool: KernelPool,
    task: Task,
    sampling: Sampling,
    policy: MutationPolicy | None = None,
    start: Trajectory | None = None,
    max_bytes: int = 8000,
) -> tuple[Trajectory, str]:
    """One branch to its end: the trajectory and the program it left."""
    episode = await Episode.start(task, pool, trajectory=start, max_bytes=max_bytes)
    async with episode:
        if start is None:
            await episode.reset()
        trajectory = await run_branch(episode, policy or MutationPolicy(), sampling, BudgetConfig(seconds=60))
        return trajectory, (await episode.kernel.read("calc.py")).decode()


def said(trajectory: Trajectory) -> list[tuple[str, list[object]]]:
    """What the policy said and did, without results."""
    return [
        (m.content, [c.model_dump() for c in m.tool_calls])
        for m in trajectory.messages
        if m.role == "assistant"
    ]


async def test_a_branch_repairs_the_program_through_the_tools_and_submits(
    pool: KernelPool, tmp_path: Path
) -> None:
    trajectory, program = await play(pool, make_task(tmp_path), Sampling(seed=3))
    tools = [step.tool for step in trajectory.steps]
    assert tools[:4] == ["run_tests", "bash", "read_file", "edit_file"]
    assert tools[-1] == "submit"
    assert trajectory.answer is not None and trajectory.answer.startswith("All visible tests pass now")
    namespace: dict[str, object] = {}
    exec(program, namespace)  # our own program with one token changed
    assert [namespace["even"](n) for n in range(4)] == [True, False, True, False]  # type: ignore[operator]


async def test_equal_seeds_go_the_same_way_and_different_seeds_do_not(
    pool: KernelPool, tmp_path: Path
) -> None:
    task = make_task(tmp_path)
    first, _ = await play(pool, task, Sampling(seed=1))
    again, _ = await play(pool, task, Sampling(seed=1))
    assert said(first) == said(again)
    others = [(await play(pool, task, Sampling(seed=seed), MutationPolicy(tries=1)))[0] for seed in (1, 2, 3)]
    assert len({str(said(other)[3]) for other in others}) > 1


async def test_every_reply_depends_on_the_conversation_and_the_sampling_alone(
    pool: KernelPool, tmp_path: Path
) -> None:
    task, sampling = make_task(tmp_path), Sampling(seed=5, temperature=1.2)
    async with await Episode.start(task, pool) as episode:
        await episode.reset()
        trajectory = await run_branch(episode, MutationPolicy(), sampling)
        specs = episode.tools.specs
    for turn in reversed(trajectory.turns):  # any order, a new object each time
        reply = await MutationPolicy().act(trajectory.messages[: turn.message], specs, sampling)
        assert reply.message == trajectory.messages[turn.message]
        assert reply.log_prob == turn.log_prob


async def test_choices_carry_exact_log_probabilities_and_everything_else_is_certain(
    pool: KernelPool, tmp_path: Path
) -> None:
    trajectory, _ = await play(pool, make_task(tmp_path), Sampling(seed=5))
    choices = {event["turn"]: event for event in trajectory.events if event["kind"] == "choice"}
    assert choices
    for turn in trajectory.turns:
        assert turn.log_prob is not None
        assert (turn.log_prob < 0) == (turn.index in choices)
    assert {event["temperature"] for event in choices.values()} == {1.0}


async def test_when_no_edit_helps_the_program_is_left_as_it_was_and_the_answer_says_so(
    pool: KernelPool, tmp_path: Path
) -> None:
    tests = (
        "from calc import even\n\n\ndef test_impossible():\n    assert even(2) == 'no operator writes this'\n"
    )
    trajectory, program = await play(
        pool, make_task(tmp_path, EVEN, tests), Sampling(seed=1), MutationPolicy(tries=3)
    )
    assert program == EVEN
    assert [step.tool for step in trajectory.steps].count("run_tests") == 4
    assert trajectory.answer == (
        "Not solved: 3 edits were tried and 1 visible test(s) still fail. No edit was kept."
    )


async def test_a_branch_never_tries_the_same_program_twice(pool: KernelPool, tmp_path: Path) -> None:
    tests = "def test_impossible():\n    import calc\n\n    assert calc.even(2) == 'never'\n"
    task = make_task(tmp_path, EVEN, tests)
    async with await Episode.start(task, pool) as episode:
        await episode.reset()
        policy, programs = MutationPolicy(tries=12), []
        while not episode.done:
            reply = await policy.act(episode.trajectory.messages, episode.tools.specs, Sampling(seed=2))
            episode.record_reply(reply.message)
            for call in reply.message.tool_calls:
                await episode.step(call)
                if call.name == "run_tests":
                    programs.append(await episode.kernel.read("calc.py"))
    assert len(programs) == 13
    assert len(set(programs)) == 13


async def test_two_bugs_are_repaired_one_after_the_other(pool: KernelPool, tmp_path: Path) -> None:
    program = EVEN + "\n\ndef total(n):\n    return sum(range(n))\n"
    tests = (
        "from calc import even, total\n\n\ndef test_even():\n    assert [even(n) for n in range(4)] == [True, False] * 2\n"
        "\n\ndef test_total():\n    assert [total(n) for n in range(5)] == [0, 1, 3, 6, 10]\n"
    )
    trajectory, _ = await play(
        pool, make_task(tmp_path, program, tests), Sampling(seed=3), MutationPolicy(tries=40)
    )
    assert trajectory.answer is not None and trajectory.answer.startswith("All visible tests pass now")
    assert [step.tool for step in trajectory.steps].count(
        "bash"
    ) == 2  # localised anew after an edit that helped


async def test_a_program_whose_visible_tests_pass_is_handed_in_unchanged(
    pool: KernelPool, tmp_path: Path
) -> None:
    right = EVEN.replace("== 1", "== 0")
    trajectory, program = await play(pool, make_task(tmp_path, right), Sampling(seed=1))
    assert [step.tool for step in trajectory.steps] == ["run_tests", "submit"]
    assert program == right
    assert trajectory.answer is not None and "nothing was changed" in trajectory.answer


async def test_a_branch_forked_between_an_edit_and_its_test_goes_on_with_the_test(
    pool: KernelPool, tmp_path: Path
) -> None:
    task = make_task(tmp_path)
    trajectory, _ = await play(pool, task, Sampling(seed=5))
    at = next(step.index for step in trajectory.steps if step.tool == "edit_file") + 1
    prefix = cut(trajectory, at)
    async with await Episode.start(task, pool) as episode:
        specs = episode.tools.specs
    reply = await MutationPolicy().act(prefix.messages, specs, Sampling(seed=9))
    assert [call.name for call in reply.message.tool_calls] == ["run_tests"]


async def test_after_somebody_else_changed_files_the_policy_starts_from_a_test_run(
    pool: KernelPool, tmp_path: Path
) -> None:
    task = make_task(tmp_path)
    trajectory, _ = await play(pool, task, Sampling(seed=5))
    prefix = cut(trajectory, 3)
    call = ToolCall(id="x", name="bash", arguments={"command": "sed -i s/1/2/ calc.py"})
    prefix.messages.append(Message(role="assistant", tool_calls=(call,)))
    prefix.messages.append(Message(role="tool", tool_call_id="x", name="bash", content="exit code 0\n"))
    async with await Episode.start(task, pool) as episode:
        specs = episode.tools.specs
    reply = await MutationPolicy().act(prefix.messages, specs, Sampling(seed=1))
    assert [call.name for call in reply.message.tool_calls] == ["run_tests"]


async def test_a_file_too_long_to_be_shown_whole_is_read_in_ranges(pool: KernelPool, tmp_path: Path) -> None:
    program = "".join(f"# line {n}\n" for n in range(250)) + EVEN
    trajectory, repaired = await play(pool, make_task(tmp_path, program), Sampling(seed=3), max_bytes=4000)
    reads = [call for m in trajectory.messages for call in m.tool_calls if call.name == "read_file"]
    assert [(call.arguments or {}).get("offset") for call in reads] == [None, 1, 101, 201, 301]
    assert trajectory.answer is not None and trajectory.answer.startswith("All visible tests pass now")
    assert repaired.startswith(program[:2000])


async def test_it_is_found_by_name_with_its_options() -> None:
    policy = make_policy("mutation", {"tries": 7, "weights": {"ochiai": 4.0}})
    assert isinstance(policy, MutationPolicy)
    assert (policy.name, policy.model, policy.tries) == ("mutation", "", 7)
