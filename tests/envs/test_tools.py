"""Tools: their schemas, what they do in a real sandbox, and what an agent is told when it errs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Literal

import pytest

from envs.builtin_tools import command_argv
from envs.errors import ToolError
from envs.observation import TextLimits
from envs.task import Task
from envs.tools import Tool, ToolBox, ToolContext, ToolOutput, default_tools
from envs.trajectory import Observation
from kernel_pool import KernelClosed, Limits
from kernel_pool.pool import KernelPool


class Hands:
    """A sandbox with the default tools, called by name."""

    def __init__(self, context: ToolContext) -> None:
        self.context, self.box = context, default_tools(context.task)

    async def __call__(self, name: str, /, **arguments: Any) -> Observation:
        return await self.box.call(self.context, name, arguments)


@pytest.fixture
async def hands(pool: KernelPool, task: Task) -> AsyncIterator[Hands]:
    async with pool.lease(await pool.prepare(task.base)) as kernel:
        yield Hands(ToolContext(kernel, task))


def test_schemas_come_from_signature_and_docstring(task: Task) -> None:
    specs = {spec.name: spec for spec in default_tools(task).specs}
    assert list(specs) == ["bash", "read_file", "write_file", "edit_file", "run_tests", "submit"]
    bash = specs["bash"].parameters
    assert bash["required"] == ["command"] and bash["additionalProperties"] is False
    assert bash["properties"]["timeout_s"]["default"] == 60.0
    assert bash["properties"]["timeout_s"]["description"].startswith("Seconds after which")
    assert list(specs["run_tests"].parameters["properties"]) == ["timeout_s"]
    for spec in specs.values():
        assert spec.description and "Args" not in spec.description
        assert all(about["description"] for about in spec.parameters["properties"].values()), spec.name
        assert spec.openai()["function"]["parameters"] is spec.parameters


async def test_bash_keeps_its_shell_and_tells_how_the_command_ended(hands: Hands) -> None:
    await hands("bash", command="cd / && X=5")
    seen = await hands("bash", command="echo $PWD $X; echo bad >&2; exit 3")
    assert seen.text.splitlines()[0] == "exit code 3" and seen.exit_code == 3 and not seen.is_error
    assert seen.text.endswith(" 5\nbad\n")


async def test_a_command_that_takes_too_long_is_a_result(hands: Hands) -> None:
    seen = await hands("bash", command="sleep 30", timeout_s=0.3)
    assert (seen.text, seen.ended, seen.exit_code) == ("timed out after 0.3 s\n", "timeout", None)


async def test_the_runs_limit_is_stronger_than_the_agents_wish(hands: Hands) -> None:
    hands.context.limits = Limits(wall_s=0.3)
    assert (await hands("bash", command="sleep 30", timeout_s=1000)).ended == "timeout"


async def test_long_output_is_shortened_with_its_size_and_digest(hands: Hands) -> None:
    hands.context.text = TextLimits(1000, 20)
    seen = await hands("bash", command="seq 100000")
    assert seen.shortened and len(seen.text.encode()) <= 1000 and seen.full_bytes == 588907
    assert seen.text.startswith("exit code 0\n1\n") and seen.text.endswith("\n100000\n")


async def test_files_are_read_whole_or_in_ranges_of_lines(hands: Hands) -> None:
    await hands("write_file", path="new/deep/lines.txt", content="a\nb\rb\n\nd")
    assert (await hands("read_file", path="new/deep/lines.txt")).text == "a\nb\rb\n\nd"
    assert (await hands("read_file", path="new/deep/lines.txt", offset=2, limit=2)).text == "b\rb\n\n"
    assert (await hands("read_file", path="new/deep/lines.txt", offset=4)).text == "d"
    beyond = await hands("read_file", path="new/deep/lines.txt", offset=5)
    assert beyond.is_error and "has only 4 lines" in beyond.text


async def test_an_edit_replaces_exactly_one_match_and_keeps_the_permissions(hands: Hands) -> None:
    seen = await hands("edit_file", path="run.sh", old="echo ran", new="echo ÄÖ")
    assert seen.text == "edited run.sh at line 2"
    assert (await hands("bash", command="./run.sh")).text == "exit code 0\nÄÖ\n"
    await hands("write_file", path="run.sh", content="#!/bin/sh\necho again\n")
    assert (await hands("bash", command="./run.sh")).text == "exit code 0\nagain\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("nothing like it", "x", "matches 0 times"),
        ("a", "x", "matches 3 times"),
        ("", "x", "`old` is empty"),
        ("add", "add", "the same text"),
    ],
)
async def test_an_edit_that_is_not_exact_changes_nothing(
    hands: Hands, old: str, new: str, words: str
) -> None:
    before = (await hands("read_file", path="add.py")).text
    seen = await hands("edit_file", path="add.py", old=old, new=new)
    assert seen.is_error and words in seen.text
    assert (await hands("read_file", path="add.py")).text == before


async def test_overlapping_matches_are_ambiguous(hands: Hands) -> None:
    await hands("write_file", path="x", content="ababa")
    assert "matches 2 times" in (await hands("edit_file", path="x", old="aba", new="c")).text


async def test_tests_run_by_pytest_where_there_are_some(hands: Hands) -> None:
    seen = await hands("run_tests")
    assert seen.exit_code == 1 and "assert -1 == 3" in seen.text


async def test_tests_run_by_make_where_there_are_no_python_ones(hands: Hands) -> None:
    await hands("bash", command="rm test_add.py; printf 'test:\\n\\t@echo made\\n' > Makefile")
    assert (await hands("run_tests")).text == "exit code 0\nmade\n"


async def test_tests_that_never_end_are_ended_when_asked_for(hands: Hands) -> None:
    hands.context.task = replace(hands.context.task, visible_tests="echo begun; sleep 30")
    seen = await hands("run_tests", timeout_s=0.5)
    assert (seen.ended, seen.text) == ("timeout", "timed out after 0.5 s\nbegun\n")


async def test_a_declared_test_command_is_run_as_declared(hands: Hands) -> None:
    hands.context.task = replace(hands.context.task, visible_tests="echo one && exit 4")
    assert (await hands("run_tests")).text == "exit code 4\none\n"


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("python -m pytest -q tests", ["python", "-m", "pytest", "-q", "tests"]),
        ("pytest -k 'a or b'", ["pytest", "-k", "a or b"]),
        ("make test; true", None),
        ("A=1 make", None),
        ("cd x", None),
        ("pytest 'open", None),
        ("pytest *.py", None),
        ("pytest $X", None),
    ],
)
def test_only_a_simple_command_goes_without_a_shell(command: str, argv: list[str] | None) -> None:
    assert command_argv(command) == (argv or ["bash", "-c", command])


async def test_submit_hands_in_an_answer(hands: Hands) -> None:
    assert hands.context.answer is None
    await hands("submit")
    assert hands.context.answer == ""
    await hands("submit", answer="42")
    assert hands.context.answer == "42"


@pytest.mark.parametrize(
    ("name", "arguments", "lines"),
    [
        (
            "bsh",
            {},
            ["error: there is no tool named 'bsh'; did you mean `bash`? The tools are: bash, read_file"],
        ),
        ("x" * 500, {}, ["error: there is no tool named 'xxx"]),
        ("bash", None, ["error: the arguments of `bash` are not a JSON object"]),
        ("bash", {}, ["error: wrong arguments for `bash`:", "`command` is missing"]),
        ("bash", {"command": 5}, ["error: wrong", "`command`: Input should be a valid string"]),
        (
            "bash",
            {"command": "x", "timeout_s": -1},
            ["error: wrong", "`timeout_s`: Input should be greater than 0"],
        ),
        ("bash", {"command": "x", "timeout_s": float("nan")}, ["error: wrong", "`timeout_s`: "]),
        ("submit", {"a": 1}, ["error: wrong", "`a` is not an argument of `submit` (it takes: answer)"]),
        ("read_file", {"path": "gone"}, ["error: gone: absent"]),
        ("read_file", {"path": "/"}, ["error: /: not a file"]),
        ("read_file", {"path": ""}, ["error: `path` is empty"]),
        ("bash", {"command": "a\0b"}, ["error: `command` holds a NUL character"]),
        ("write_file", {"path": "a\0b", "content": ""}, ["error: `path` holds a NUL character"]),
        ("write_file", {"path": "a", "content": "\ud800"}, ["error: wrong", "`content`: "]),
        ("write_file", {"path": "add.py/under", "content": ""}, ["error: add.py/under: "]),
    ],
)
async def test_what_an_agent_does_wrong_is_an_observation(
    hands: Hands, name: str, arguments: dict[str, Any] | None, lines: list[str]
) -> None:
    seen = await hands.box.call(hands.context, name, arguments)
    assert seen.is_error and len(seen.text) < 1000
    for told, line in zip(seen.text.splitlines(), lines, strict=False):
        assert told.startswith(line)


async def test_a_sandbox_that_is_gone_is_an_exception(hands: Hands) -> None:
    await hands.context.kernel.close()
    with pytest.raises(KernelClosed):
        await hands("bash", command="true")


async def test_users_bring_their_own_typed_function(hands: Hands) -> None:
    async def count(context: ToolContext, path: str, unit: Literal["lines", "bytes"] = "lines") -> str:
        """Count something.

        Args:
            path: The file,
                wherever it is.
        """
        data = await context.kernel.read(path)
        return str(data.count(b"\n") if unit == "lines" else len(data))

    async def moody(context: ToolContext, how: str) -> ToolOutput:
        """Fails."""
        if how == "politely":
            raise ToolError("not today")
        raise ZeroDivisionError(how)

    box = ToolBox([Tool(count, changes=False), moody])
    assert box.specs[0].parameters["properties"]["path"]["description"] == "The file, wherever it is."
    assert (await box.call(hands.context, "count", {"path": "add.py"})).text == "2"
    assert "'lines' or 'bytes'" in (await box.call(hands.context, "count", {"path": "a", "unit": "x"})).text
    assert (await box.call(hands.context, "moody", {"how": "politely"})).text == "error: not today"
    assert "broke: ZeroDivisionError: hard" in (await box.call(hands.context, "moody", {"how": "hard"})).text
    assert box.may_change("moody") and not box.may_change("count") and not box.may_change("unknown")


def test_two_tools_of_one_name_or_an_untyped_parameter_are_refused() -> None:
    async def tool(context: ToolContext) -> str:
        return ""

    async def untyped(context: ToolContext, x) -> str:  # type: ignore[no-untyped-def]
        return ""

    with pytest.raises(ValueError, match="two tools are named 'tool'"):
        ToolBox([tool, tool])
    with pytest.raises(TypeError, match="parameter x has no type"):
        ToolBox([untyped])


async def test_a_tool_that_does_nothing_costs_next_to_nothing(hands: Hands) -> None:
    async def nothing(context: ToolContext, word: str) -> str:
        """Nothing."""
        return word

    box = ToolBox([nothing])
    began = time.process_time()
    for _ in range(500):
        await box.call(hands.context, "nothing", {"word": "x"})
    assert (time.process_time() - began) / 500 < 0.001
