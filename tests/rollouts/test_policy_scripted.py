"""The policies `scripted` and `replay`."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from envs.trajectory import Message, ToolCall, Trajectory, Turn
from rollouts.errors import ConfigError, PolicyError, RecordError
from rollouts.policies import make_policy
from rollouts.policies.policy import Policy
from rollouts.policies.replay import ReplayPolicy
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.records import Sampling

TALK = (Message(role="user", content="go"),)
SAID = Message(role="assistant", content="x")


async def texts(policy: Policy, turns: int, sampling: Sampling | None = None) -> list[str]:
    """What the policy says, turn by turn."""
    messages: list[Message] = list(TALK)
    for _ in range(turns):
        messages.append((await policy.act(messages, [], sampling or Sampling())).message)
    return [m.content for m in messages[1:]]


class TestScripted:
    """A script, by position in the conversation."""

    async def test_it_goes_on_from_wherever_the_conversation_stands(self) -> None:
        policy = ScriptedPolicy.of(["one", "two", "three"])
        assert await texts(policy, 4) == ["one", "two", "three", ""]
        forked = await policy.act((*TALK, SAID, SAID), [], Sampling())
        assert (forked.message.content, forked.finish) == ("three", "stop")

    async def test_a_tool_call_gets_a_stable_id(self) -> None:
        policy = ScriptedPolicy.of([{"tool": "bash", "arguments": {"command": "ls"}}])
        one, two = [await policy.act(TALK, [], Sampling()) for _ in range(2)]
        assert one.message == two.message
        assert one.message.tool_calls == (ToolCall(id="call_0_0", name="bash", arguments={"command": "ls"}),)
        assert one.finish == "tool_calls"

    async def test_malformed_arguments_can_be_scripted(self) -> None:
        policy = ScriptedPolicy.of([{"tool": "bash", "raw": '{"command'}])
        call = (await policy.act(TALK, [], Sampling())).message.tool_calls[0]
        assert (call.arguments, call.raw) == (None, '{"command')

    async def test_branches_take_their_script_by_seed_and_variants_by_name(self) -> None:
        policy = make_policy(
            "scripted",
            {"replies": ["all"], "branches": [["even"], ["odd"]], "variants": {"bold": ["bold"]}},
        )
        assert await texts(policy, 1, Sampling(seed=4)) == ["even"]
        assert await texts(policy, 1, Sampling(seed=7)) == ["odd"]
        assert await texts(policy, 1, Sampling(seed=7, prompt_variant="bold")) == ["bold"]

    async def test_a_function_sees_conversation_and_sampling(self) -> None:
        def echo(messages: Sequence[Message], sampling: Sampling) -> str:
            return f"{messages[-1].content} at {sampling.temperature}"

        async def later(messages: Sequence[Message], sampling: Sampling) -> str:
            await asyncio.sleep(0)
            return "later"

        said = await ScriptedPolicy.of(echo).act(TALK, [], Sampling(temperature=0.5))
        assert said.message.content == "go at 0.5"
        assert await texts(ScriptedPolicy.of(later), 1) == ["later"]

    async def test_errors_come_at_their_turn_and_keep_their_kind(self) -> None:
        policy = make_policy("scripted", {"replies": ["one", "two"], "errors": {1: "rate_limit"}})
        assert await texts(policy, 1) == ["one"]
        with pytest.raises(PolicyError) as failed:
            await policy.act((*TALK, SAID), [], Sampling())
        assert failed.value.kind == "rate_limit"

    async def test_a_delay_delays(self) -> None:
        began = time.monotonic()
        await texts(ScriptedPolicy.of(["a"], delay_s=0.05), 1)
        assert time.monotonic() - began >= 0.05

    async def test_it_can_begin_again(self) -> None:
        assert await texts(ScriptedPolicy.of(["a", "b"], repeat=True), 5) == ["a", "b", "a", "b", "a"]

    async def test_a_file_is_read_and_options_beside_it_win(self, tmp_path: Path) -> None:
        listed = tmp_path / "list.yaml"
        listed.write_text("- first\n- {tool: submit, arguments: {answer: done}}\n")
        mapping = tmp_path / "script.json"
        mapping.write_text('{"replies": ["from the file"], "repeat": true}')
        assert await texts(make_policy("scripted", {"file": str(listed)}), 1) == ["first"]
        assert await texts(make_policy("scripted", {"file": mapping}), 2) == ["from the file"] * 2
        assert await texts(make_policy("scripted", {"file": mapping, "repeat": False}), 2) == [
            "from the file",
            "",
        ]

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("a.yaml", "- {tool: bash, argument: 1}", "argument"),
            ("b.yaml", "- [unclosed", "b.yaml:"),
            ("c.json", "{", "c.json:1"),
            ("d.yaml", "just words", "expected a list"),
        ],
    )
    def test_a_bad_file_is_named_with_its_fault(
        self, tmp_path: Path, name: str, text: str, words: str
    ) -> None:
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=words):
            make_policy("scripted", {"file": tmp_path / name})

    def test_an_absent_file_is_a_config_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            make_policy("scripted", {"file": tmp_path / "nowhere.yaml"})


def recorded() -> Trajectory:
    """Two turns: a call, then words that were cut off."""
    call = ToolCall(id="c1", name="bash", arguments=None, raw="{")
    first = Message(role="assistant", content="look", tool_calls=(call,), provider={"anthropic": {"x": 1}})
    result = Message(role="tool", content="no", tool_call_id="c1", name="bash")
    last = Message(role="assistant", content="cut o")
    turns = [
        Turn(index=0, message=1, seconds=0.1, finish="tool_calls"),
        Turn(index=1, message=3, seconds=0.1, finish="length"),
    ]
    return Trajectory(messages=[*TALK, first, result, last], turns=turns)


class TestReplay:
    """A recorded branch, played again."""

    async def test_it_says_what_was_said_and_then_stops(self) -> None:
        trajectory = recorded()
        policy = ReplayPolicy.of(trajectory)
        said = [await policy.act(trajectory.messages[:n], [], Sampling()) for n in (1, 3, 4)]
        assert [r.message for r in said[:2]] == [trajectory.messages[1], trajectory.messages[3]]
        assert [r.finish for r in said] == ["tool_calls", "length", "stop"]
        assert (said[2].message.content, said[2].events[0]["kind"]) == ("", "replay_exhausted")
        assert len(policy) == 2

    async def test_it_is_read_from_a_file_and_travels(self, tmp_path: Path) -> None:
        path = tmp_path / "trajectory.json"
        path.write_text(recorded().model_dump_json(indent=1))
        policy = pickle.loads(pickle.dumps(make_policy("replay", {"file": path})))
        assert (await policy.act(TALK, [], Sampling())).message.content == "look"

    def test_a_file_with_several_branches_wants_one_named(self, tmp_path: Path) -> None:
        path = tmp_path / "branches.jsonl"
        path.write_text("".join(_record(f"b{i:03d}") + "\n" for i in range(2)))
        with pytest.raises(ConfigError, match="r1/b000, r1/b001"):
            make_policy("replay", {"file": path})
        assert isinstance(make_policy("replay", {"file": path, "branch": "b001"}), ReplayPolicy)
        assert isinstance(make_policy("replay", {"file": path, "branch": "r1/b000"}), ReplayPolicy)
        with pytest.raises(ConfigError, match="no branch 'b9'"):
            make_policy("replay", {"file": path, "branch": "b9"})

    def test_a_line_that_is_no_record_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "branches.jsonl"
        path.write_text(_record("b000") + '\n{"half": \n')
        with pytest.raises(RecordError, match=r"branches\.jsonl:2"):
            make_policy("replay", {"file": path})


def _record(branch: str) -> str:
    from rollouts.records import BranchRecord, EnvironmentLayer, Lineage, Result, SamplingLayer, TaskLayer

    return BranchRecord(
        lineage=Lineage(run_id="run", rollout_id="r1", branch_id=branch, index=0),
        task=TaskLayer(task_id="t", digest="d", instruction="go"),
        environment=EnvironmentLayer(backend="local", restores="files", isolated=True, base="b"),
        sampling=SamplingLayer(policy="scripted", requested=Sampling()),
        trajectory=recorded(),
        result=Result(ending="failed", reward=0.0),
    ).model_dump_json()
