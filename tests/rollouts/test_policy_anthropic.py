"""The policy `anthropic`, through the real SDK against the loopback server."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from envs.tools import ToolSpec
from envs.trajectory import Message, ToolCall
from rollouts.errors import ConfigError, EnvironmentLacks, PolicyError
from rollouts.policies import make_policy
from rollouts.policies.anthropic_policy import AnthropicPolicy
from rollouts.policies.loopback import Call, Fault, LoopbackModelServer, Reply
from rollouts.policies.policy import PolicyReply
from rollouts.records import Sampling

OPEN = "claude-sonnet-4-6"  # takes a temperature
STRICT = "claude-opus-5"  # takes none
BASH = ToolSpec("bash", "Run a command.", {"type": "object", "properties": {"command": {"type": "string"}}})
TALK = (Message(role="system", content="Be brief."), Message(role="user", content="hello"))


def policy(server: LoopbackModelServer, model: str = OPEN, **options: Any) -> AnthropicPolicy:
    made = make_policy("anthropic", {"model": model, "base_url": server.url, "max_retries": 0, **options})
    assert isinstance(made, AnthropicPolicy)
    return made


async def say(
    server: LoopbackModelServer, model: str = OPEN, *, sampling: Sampling | None = None, **options: Any
) -> PolicyReply:
    claude = policy(server, model, **options)
    try:
        return await claude.act(TALK, [BASH], sampling or Sampling())
    finally:
        await claude.close()


async def test_a_reply_is_streamed_and_carries_text_calls_and_cost() -> None:
    reply = Reply("Look.", calls=(Call("bash", {"command": "ls"}, id="toolu_1"),))
    async with LoopbackModelServer([reply]) as server:
        got = await say(server)
    body = server.requests[0].body
    assert body["stream"] is True
    assert body["system"] == "Be brief."
    assert body["tools"] == [
        {"name": "bash", "description": "Run a command.", "input_schema": BASH.parameters}
    ]
    assert (got.message.content, got.finish) == ("Look.", "tool_calls")
    assert got.message.tool_calls == (ToolCall(id="toolu_1", name="bash", arguments={"command": "ls"}),)
    assert got.usage.input_tokens is not None and got.usage.output_tokens is not None
    # Sonnet 4.6: 3 and 15 dollars per million
    assert got.usage.cost_usd == pytest.approx(
        (got.usage.input_tokens * 3 + got.usage.output_tokens * 15) / 1e6
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context_overflow"),
    ],
)
async def test_each_stop_reason_has_its_finish(reason: str, finish: str) -> None:
    async with LoopbackModelServer([Reply("words", stop=reason)]) as server:
        assert (await say(server)).finish == finish


async def test_a_paused_turn_is_sent_back_and_goes_on_as_one_message() -> None:
    script = [Reply("One, ", stop="pause_turn"), Reply("two, ", stop="pause_turn"), Reply("three.")]
    async with LoopbackModelServer(script) as server:
        got = await say(server)
    assert (got.message.content, got.finish) == ("One, two, three.", "stop")
    sent_back = server.requests[2].body["messages"][-1]
    assert sent_back["role"] == "assistant"
    assert [b["text"] for b in sent_back["content"]] == ["One, ", "two, "]
    assert got.usage.output_tokens is not None and got.usage.output_tokens >= 6


async def test_a_refusal_keeps_its_category_and_makes_no_calls() -> None:
    reply = Reply("I", calls=(Call("bash", {"command": "rm"}),), stop="refusal", refusal="cyber")
    async with LoopbackModelServer([reply]) as server:
        got = await say(server)
    assert (got.finish, got.message.tool_calls) == ("refusal", ())
    assert got.events[-1]["category"] == "cyber"


@pytest.mark.parametrize("text", ['{"command": "ls', "[1, 2]", "not json"])
async def test_malformed_tool_input_is_kept_and_not_mended(text: str) -> None:
    async with LoopbackModelServer([Reply(calls=(Call("bash", text),))]) as server:
        got = await say(server)
    assert got.message.tool_calls[0].arguments is None
    assert got.message.tool_calls[0].raw == text


async def test_input_cut_off_by_the_token_limit_is_malformed_even_when_nothing_of_it_came() -> None:
    async with LoopbackModelServer([Reply(calls=(Call("bash", ""),), stop="max_tokens")]) as server:
        got = await say(server)
    assert (got.finish, got.message.tool_calls[0].arguments) == ("length", None)


async def test_thinking_goes_back_verbatim_to_the_model_that_thought_it_and_to_no_other() -> None:
    reply = Reply("Look.", calls=(Call("bash", {"command": "ls"}),), thinking="deep thought")
    async with LoopbackModelServer([reply, "done", "done"]) as server:
        first = (await say(server)).message
        result = Message(role="tool", content="a.py", tool_call_id=first.tool_calls[0].id, name="bash")
        for model in (OPEN, STRICT):
            await policy(server, model).act((*TALK, first, result), [BASH], Sampling())
    same, other = (r.body["messages"][1]["content"] for r in server.requests[1:])
    assert same[0] == {"type": "thinking", "thinking": "deep thought", "signature": "signed:0"}
    assert [b["type"] for b in same] == ["thinking", "text", "tool_use"]
    assert [b["type"] for b in other] == ["text", "tool_use"]


async def test_a_call_that_a_fork_dropped_is_not_sent_back() -> None:
    calls = (Call("bash", {"command": "a"}), Call("bash", {"command": "b"}))
    async with LoopbackModelServer([Reply("Look.", calls=calls, thinking="hm"), "done"]) as server:
        first = (await say(server)).message
        cut = first.model_copy(update={"tool_calls": first.tool_calls[:1]})
        result = Message(role="tool", content="x", tool_call_id=cut.tool_calls[0].id, name="bash")
        await policy(server).act((*TALK, cut, result), [BASH], Sampling())
    sent = server.requests[1].body["messages"][1]["content"]
    assert [b["id"] for b in sent if b["type"] == "tool_use"] == [cut.tool_calls[0].id]


async def test_results_of_one_turn_stand_together_before_the_users_words() -> None:
    history = (
        *TALK,
        Message(
            role="assistant",
            tool_calls=(
                ToolCall(id="x.1", name="bash", arguments={"command": "a"}),
                ToolCall(id="x.2", name="bash", arguments=None, raw="{"),
            ),
        ),
        Message(role="tool", content="", tool_call_id="x.1", name="bash"),
        Message(role="user", content="go on"),
        Message(role="tool", content="bad", tool_call_id="x.2", name="bash", provider={"is_error": True}),
    )
    async with LoopbackModelServer(["ok"]) as server:
        await policy(server).act(history, [BASH], Sampling())
    _, assistant, user = server.requests[0].body["messages"]
    assert [(b["id"], b["input"]) for b in assistant["content"]] == [("x_1", {"command": "a"}), ("x_2", {})]
    assert [b["type"] for b in user["content"]] == ["tool_result", "tool_result", "text"]
    assert [b.get("is_error", False) for b in user["content"][:2]] == [False, True]
    assert [b["tool_use_id"] for b in user["content"][:2]] == ["x_1", "x_2"]


async def test_a_temperature_is_sent_where_it_is_taken_and_recorded_where_it_is_not() -> None:
    async with LoopbackModelServer(["ok"], no_temperature={STRICT}) as server:
        taken = await say(server, OPEN, sampling=Sampling(temperature=0.3, top_p=0.9))
        refused = await say(server, STRICT, sampling=Sampling(temperature=0.3))
    assert server.requests[0].body["temperature"] == 0.3
    assert "top_p" not in server.requests[0].body
    assert taken.effective["temperature"] == 0.3
    assert "temperature" not in server.requests[1].body
    assert "temperature" not in refused.effective


async def test_a_refused_temperature_is_learned_once() -> None:
    async with LoopbackModelServer(["ok"], no_temperature={OPEN}) as server:
        claude = policy(server)
        first = await claude.act(TALK, [], Sampling(temperature=0.5))
        second = await claude.act(TALK, [], Sampling(temperature=0.5))
        await claude.close()
    assert [("temperature" in r.body) for r in server.requests] == [True, False, False]
    assert [e["kind"] for e in first.events] == ["dropped_parameter"]
    assert first.events[0]["parameter"] == "temperature"
    assert second.events == ()
    assert "temperature" not in second.effective


async def test_effort_goes_into_the_output_config() -> None:
    async with LoopbackModelServer(["ok"]) as server:
        got = await say(server, STRICT, sampling=Sampling(effort="high", max_tokens=77))
    assert server.requests[0].body["output_config"] == {"effort": "high"}
    assert server.requests[0].body["max_tokens"] == 77
    assert got.effective == {"model": STRICT, "max_tokens": 77, "effort": "high"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, "bad_request"),
        (401, "auth"),
        (403, "auth"),
        (404, "not_found"),
        (429, "rate_limit"),
        (500, "server"),
        (503, "overloaded"),
        (529, "overloaded"),
    ],
)
async def test_a_failed_request_is_a_policy_error_of_its_kind(code: int, kind: str) -> None:
    async with LoopbackModelServer(["ok"], faults={0: Fault.status(code, "as asked")}) as server:
        with pytest.raises(PolicyError, match="as asked") as failed:
            await say(server)
    assert failed.value.kind == kind


async def test_a_rate_limit_is_retried_and_the_retries_are_recorded() -> None:
    limits = {i: Fault.status(429, retry_after_s=0.01) for i in (0, 1)}
    async with LoopbackModelServer(["at last"], faults=limits) as server:
        got = await say(server, max_retries=3)
    assert got.message.content == "at last"
    assert got.events == ({"kind": "retry", "why": "sdk", "count": 2},)


@pytest.mark.parametrize("code", [400, 413])
async def test_a_conversation_that_does_not_fit_is_a_reply_and_no_error(code: int) -> None:
    async with LoopbackModelServer(["ok"], context_tokens=5 if code == 400 else None) as server:
        if code == 413:
            server.fault_next(Fault.status(413, "Request exceeds the maximum size"))
        got = await say(server)
    assert (got.finish, got.message.content) == ("context_overflow", "")
    assert got.events[-1]["kind"] == "context_overflow"
    assert got.usage.cost_usd is None  # nobody said; not zero


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.half(), "connection"),
        (Fault.drop(), "connection"),
        (Fault.garbage(), "bad_response"),
        (Fault.empty(), "bad_response"),
        (Fault.error_event(), "overloaded"),
        (Fault.hang(), "timeout"),
    ],
)
async def test_a_broken_reply_is_a_policy_error_of_its_kind(fault: Fault, kind: str) -> None:
    async with LoopbackModelServer([Reply("some words of several pieces", fault=fault)]) as server:
        with pytest.raises(PolicyError) as failed:
            await say(server, timeout_s=0.3)
    assert failed.value.kind == kind


@pytest.mark.parametrize("fault", [Fault.half(), Fault.error_event(), Fault.empty()])
async def test_a_reply_that_broke_off_is_asked_for_again(fault: Fault) -> None:
    async with LoopbackModelServer(["a whole reply of several pieces"], faults={0: fault}) as server:
        got = await say(server, max_retries=1)
    assert got.message.content == "a whole reply of several pieces"
    assert [e["kind"] for e in got.events] == ["retry"]


async def test_a_stream_that_stands_still_times_out() -> None:
    async with LoopbackModelServer([Reply("words", fault=Fault.slow(1.0))]) as server:
        with pytest.raises(PolicyError) as failed:
            await say(server, timeout_s=0.2)
    assert failed.value.kind == "timeout"


async def test_a_slow_stream_that_keeps_going_does_not() -> None:
    async with LoopbackModelServer([Reply("words", fault=Fault.slow(0.05))]) as server:
        assert (await say(server, timeout_s=0.4)).message.content == "words"


async def test_nobody_there_is_a_connection_error() -> None:
    async with LoopbackModelServer() as server:
        pass
    with pytest.raises(PolicyError) as failed:
        await say(server)
    assert failed.value.kind == "connection"


async def test_what_came_from_the_cache_costs_its_own_price() -> None:
    async with LoopbackModelServer([Reply("ok", cached_tokens=5)]) as server:
        got = await say(server)
        unknown = await say(server, "claude-opus-9")
        told = await say(server, "claude-opus-9", price={"input": 1, "output": 2, "cache_read": 0.5})
    usage = got.usage
    assert usage.cached_tokens == 5 and usage.input_tokens and usage.output_tokens
    expected = ((usage.input_tokens - 5) * 3 + 5 * 0.30 + usage.output_tokens * 15) / 1e6
    assert usage.cost_usd == pytest.approx(expected)
    assert unknown.usage.cost_usd is None
    assert told.usage.cost_usd is not None


async def test_one_policy_serves_several_event_loops_and_travels_after_use() -> None:
    with LoopbackModelServer(["ok"]) as server:
        claude = policy(server)
        assert (await claude.act(TALK, [], Sampling())).message.content == "ok"

        def elsewhere() -> str:
            return asyncio.run(claude.act(TALK, [], Sampling())).message.content

        assert await asyncio.to_thread(elsewhere) == "ok"
        twin = pickle.loads(pickle.dumps(claude))
        assert (await twin.act(TALK, [], Sampling())).message.content == "ok"
        await twin.close()
        await claude.close()


def test_without_a_key_the_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(EnvironmentLacks, match="ANTHROPIC_API_KEY"):
        make_policy("anthropic", {"model": OPEN})
    with pytest.raises(EnvironmentLacks, match="OTHER_KEY"):
        make_policy("anthropic", {"model": OPEN, "api_key_env": "OTHER_KEY"})


async def test_the_key_comes_from_the_environment_and_is_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-secret-key")
    async with LoopbackModelServer(["ok"], api_key="a-secret-key") as server:
        claude = policy(server)
        await claude.act(TALK, [], Sampling())
        await claude.close()
    assert b"a-secret-key" not in pickle.dumps(claude)


class TestDiversity:
    """`check`: what a plan asks for, and what the model can do."""

    SPREAD = tuple(Sampling(temperature=t, seed=i) for i, t in enumerate((0.2, 0.6, 1.0)))

    @staticmethod
    def claude(model: str, **options: Any) -> AnthropicPolicy:
        return AnthropicPolicy(AnthropicPolicy.Options(model=model, base_url="http://127.0.0.1:9", **options))

    def test_temperatures_are_fine_where_they_are_taken(self) -> None:
        assert self.claude(OPEN).check(self.SPREAD) == []

    def test_temperatures_alone_are_refused_where_they_are_not_taken(self) -> None:
        with pytest.raises(ConfigError, match="temperature_fallback=resample"):
            self.claude(STRICT).check(self.SPREAD)

    def test_resampling_is_a_note_when_it_is_accepted(self) -> None:
        assert "chance" in self.claude(STRICT, temperature_fallback="resample").check(self.SPREAD)[0]

    def test_other_dimensions_make_it_a_note(self) -> None:
        varied = [
            s.model_copy(update={"effort": e})
            for s, e in zip(self.SPREAD, ("low", "high", "max"), strict=True)
        ]
        assert "effort or prompt" in self.claude(STRICT).check(varied)[0]

    def test_one_temperature_for_all_is_a_note(self) -> None:
        assert self.claude(STRICT).check([Sampling(temperature=0.5)] * 3)

    def test_no_temperature_is_nothing_to_speak_of(self) -> None:
        assert self.claude(STRICT).check([Sampling(seed=i) for i in range(3)]) == []

    def test_thinking_takes_the_temperature_away(self) -> None:
        thinking = {"type": "enabled", "budget_tokens": 2000}
        with pytest.raises(ConfigError):
            self.claude(OPEN, thinking=thinking).check(self.SPREAD)

    def test_an_effort_the_api_does_not_know_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="xhigh"):
            self.claude(STRICT).check([Sampling(effort="enormous")])
