"""The policy `openai`, through the real SDK against the loopback server."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from envs.tools import ToolSpec
from envs.trajectory import Message, TokenRecord, ToolCall
from rollouts.errors import ConfigError, EnvironmentLacks, PolicyError
from rollouts.policies import make_policy
from rollouts.policies.loopback import Call, Fault, LoopbackModelServer, ModelRequest, Reply
from rollouts.policies.openai_policy import OpenAIPolicy
from rollouts.policies.openai_wire import log_prob_of, tokens_of
from rollouts.policies.policy import PolicyReply
from rollouts.records import Sampling

BASH = ToolSpec("bash", "Run a command.", {"type": "object", "properties": {"command": {"type": "string"}}})
TALK = (Message(role="system", content="Be brief."), Message(role="user", content="hello"))


def policy(server: LoopbackModelServer, **options: Any) -> OpenAIPolicy:
    given = {"model": "small", "base_url": server.url + "/v1", "max_retries": 0, **options}
    made = make_policy("openai", given)
    assert isinstance(made, OpenAIPolicy)
    return made


async def say(server: LoopbackModelServer, sampling: Sampling | None = None, **options: Any) -> PolicyReply:
    made = policy(server, **options)
    try:
        return await made.act(TALK, [BASH], sampling or Sampling())
    finally:
        await made.close()


async def test_a_reply_carries_text_calls_and_usage_and_the_request_its_sampling() -> None:
    reply = Reply("Look.", calls=(Call("bash", {"command": "ls"}, id="c9"),))
    asked = Sampling(temperature=0.4, top_p=0.9, seed=11, effort="low", max_tokens=50)
    async with LoopbackModelServer([reply]) as server:
        got = await say(server, asked)
    body = server.requests[0].body
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["tools"][0]["function"]["name"] == "bash"
    sent = {k: body[k] for k in ("temperature", "top_p", "seed", "reasoning_effort", "max_tokens")}
    assert sent == {"temperature": 0.4, "top_p": 0.9, "seed": 11, "reasoning_effort": "low", "max_tokens": 50}
    assert got.effective == {"model": "small", **sent}
    assert (got.message.content, got.finish) == ("Look.", "tool_calls")
    assert got.message.tool_calls == (ToolCall(id="c9", name="bash", arguments={"command": "ls"}),)
    assert got.usage.output_tokens and got.usage.cost_usd is None
    assert (got.log_prob, got.tokens) == (None, None)


async def test_log_probabilities_and_token_ids_are_the_servers_own() -> None:
    async with LoopbackModelServer(["two words"]) as server:
        got = await say(server, logprobs=True, token_ids=True)
    assert server.requests[0].body["logprobs"] is True
    assert server.requests[0].body["return_token_ids"] is True
    assert got.tokens is not None
    assert got.tokens.tokens == ["two", " words"]
    assert got.tokens.completion_ids is not None and len(got.tokens.completion_ids) == 2
    assert got.tokens.prompt_ids
    assert got.log_prob == sum(got.tokens.logprobs or [])
    assert got.log_prob is not None and got.log_prob < 0


@pytest.mark.parametrize(
    ("completion", "choice", "expected"),
    [
        ({"prompt_token_ids": [1]}, {"token_ids": [2, 3]}, ([1], [2, 3])),  # vLLM
        ({}, {"prompt_token_ids": [1], "token_ids": [2]}, ([1], [2])),  # SGLang, July 2026
        ({}, {"prompt_token_ids": [1], "response_token_ids": [2]}, ([1], [2])),  # SGLang, August 2026
        (
            {"sglext": {"input_ids": [1], "output_ids": [[2, 3]]}},
            {"index": 0},
            ([1], [2, 3]),
        ),  # SGLang's extension
        (
            {},
            {"logprobs": {"content": [{"token": "token_id:7", "logprob": -1.0}]}},
            (None, [7]),
        ),  # vLLM, as tokens
    ],
)
def test_token_ids_are_found_where_each_server_puts_them(
    completion: dict[str, Any], choice: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    record = tokens_of(completion, choice)
    assert record is not None
    assert (record.prompt_ids, record.completion_ids) == expected


def test_no_token_fields_is_no_record() -> None:
    assert tokens_of({"prompt_token_ids": None}, {"logprobs": None}) is None


@pytest.mark.parametrize(
    "record",
    [
        TokenRecord(logprobs=[-0.5, -9999.0]),  # "too unlikely to say"
        TokenRecord(logprobs=[-0.5], completion_ids=[1, 2]),  # not one per token
        TokenRecord(logprobs=[0.5]),  # no log-probability
        TokenRecord(completion_ids=[1]),
    ],
)
def test_a_sum_that_would_not_be_exact_is_not_given(record: TokenRecord) -> None:
    assert log_prob_of(record) is None


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "refusal"), ("tool_calls", "tool_calls")],
)
async def test_each_finish_reason_has_its_finish(reason: str, finish: str) -> None:
    async with LoopbackModelServer([Reply("words", stop=reason)]) as server:
        assert (await say(server)).finish == finish


async def test_calls_beside_a_stop_are_calls() -> None:
    async with LoopbackModelServer([Reply(calls=(Call("bash"),), stop="stop")]) as server:
        assert (await say(server)).finish == "tool_calls"


async def test_a_refusal_text_is_a_refusal() -> None:
    async with LoopbackModelServer([Reply(refusal="I will not.")]) as server:
        got = await say(server)
    assert (got.finish, got.message.content) == ("refusal", "I will not.")


@pytest.mark.parametrize("text", ['{"command": "ls', "[1]", ""])
async def test_malformed_arguments_are_kept_raw_and_go_back_as_an_empty_object(text: str) -> None:
    async with LoopbackModelServer([Reply(calls=(Call("bash", text),)), "ok"]) as server:
        got = await say(server)
        call = got.message.tool_calls[0]
        result = Message(role="tool", content="bad", tool_call_id=call.id, name="bash")
        await policy(server).act((*TALK, got.message, result), [BASH], Sampling())
    assert (call.arguments, call.raw) == (None, text)
    sent = server.requests[1].body["messages"]
    assert sent[2]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert sent[3] == {"role": "tool", "content": "bad", "tool_call_id": call.id}


async def test_arguments_go_back_letter_by_letter() -> None:
    written = '{ "command":"ls",  "n": 1.0 }'
    async with LoopbackModelServer([Reply(calls=(Call("bash", written),)), "ok"]) as server:
        first = (await say(server)).message
        await policy(server).act((*TALK, first), [BASH], Sampling())
    assert first.tool_calls[0].arguments == {"command": "ls", "n": 1.0}
    assert server.requests[1].body["messages"][2]["tool_calls"][0]["function"]["arguments"] == written


async def test_reasoning_is_kept_and_not_sent_back() -> None:
    async with LoopbackModelServer([Reply("So.", thinking="hm"), "ok"]) as server:
        first = (await say(server)).message
        await policy(server).act((*TALK, first), [BASH], Sampling())
    assert first.provider == {"openai": {"reasoning_content": "hm"}}
    assert server.requests[1].body["messages"][2] == {"role": "assistant", "content": "So."}


async def test_a_refused_parameter_is_learned_once() -> None:
    async with LoopbackModelServer(["ok"], no_temperature={"small"}) as server:
        made = policy(server)
        first = await made.act(TALK, [], Sampling(temperature=0.5, seed=1))
        second = await made.act(TALK, [], Sampling(temperature=0.5, seed=1))
        with pytest.raises(ConfigError, match="temperature"):
            made.check([Sampling(temperature=0.1), Sampling(temperature=0.9)])
        await made.close()
    assert [("temperature" in r.body, "seed" in r.body) for r in server.requests] == [
        (True, True),
        (False, True),
        (False, True),
    ]
    assert [e["parameter"] for e in first.events] == ["temperature"]
    assert second.events == ()


async def test_max_tokens_is_renamed_when_the_endpoint_wants_the_new_name() -> None:
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."

    def strict(request: ModelRequest) -> Reply | Fault:
        return Fault.status(400, words) if "max_tokens" in request.body else Reply("ok")

    async with LoopbackModelServer(strict) as server:
        got = await say(server, Sampling(max_tokens=9))
    assert server.requests[1].body["max_completion_tokens"] == 9
    assert got.effective["max_tokens"] == 9


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, "bad_request"),
        (401, "auth"),
        (404, "not_found"),
        (429, "rate_limit"),
        (500, "server"),
        (503, "overloaded"),
    ],
)
async def test_a_failed_request_is_a_policy_error_of_its_kind(code: int, kind: str) -> None:
    async with LoopbackModelServer(["ok"], faults={0: Fault.status(code, "as asked")}) as server:
        with pytest.raises(PolicyError, match="as asked") as failed:
            await say(server)
    assert failed.value.kind == kind


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.half(), "connection"),
        (Fault.drop(), "connection"),
        (Fault.garbage(), "bad_response"),
        (Fault.empty(), "bad_response"),
        (Fault.hang(), "timeout"),
    ],
)
async def test_a_broken_reply_is_a_policy_error_of_its_kind(fault: Fault, kind: str) -> None:
    async with LoopbackModelServer([Reply("some words", fault=fault)]) as server:
        with pytest.raises(PolicyError) as failed:
            await say(server, timeout_s=0.3)
    assert failed.value.kind == kind


async def test_failures_are_retried_and_recorded() -> None:
    faults = {0: Fault.status(429, retry_after_s=0.01), 1: Fault.status(503, retry_after_s=0.01)}
    async with LoopbackModelServer(["at last"], faults=faults) as server:
        got = await say(server, max_retries=2)
    assert got.message.content == "at last"
    assert got.events == ({"kind": "retry", "why": "sdk", "count": 2},)


async def test_a_conversation_that_does_not_fit_is_a_reply_and_no_error() -> None:
    async with LoopbackModelServer(["ok"], context_tokens=3) as server:
        got = await say(server)
    assert (got.finish, got.message.content) == ("context_overflow", "")


async def test_a_price_that_is_given_is_used() -> None:
    async with LoopbackModelServer([Reply("one two", cached_tokens=2)]) as server:
        got = await say(server, price={"input": 1, "output": 10, "cache_read": 0})
    assert got.usage.input_tokens is not None
    assert got.usage.cost_usd == pytest.approx(((got.usage.input_tokens - 2) + 2 * 10) / 1e6)


def test_a_key_is_needed_only_for_the_vendors_own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(EnvironmentLacks, match="OPENAI_API_KEY"):
        make_policy("openai", {"model": "m"})
    make_policy("openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1"})


async def test_a_policy_travels_also_after_use() -> None:
    async with LoopbackModelServer(["ok"]) as server:
        made = policy(server)
        await made.act(TALK, [], Sampling())
        twin = pickle.loads(pickle.dumps(made))
        assert (await twin.act(TALK, [], Sampling())).message.content == "ok"
        await made.close()
        await twin.close()
    assert json.loads(json.dumps(server.requests[0].body))["model"] == "small"
