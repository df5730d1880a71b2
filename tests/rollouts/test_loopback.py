"""The loopback model server: the shapes the SDKs expect, and the faults it is asked for."""

from __future__ import annotations

import time

import aiohttp
import anthropic
import openai
import pytest

from rollouts.policies.loopback import Call, Fault, LoopbackModelServer, Reply

LS = Call("bash", {"command": "ls"})
HELLO = [{"role": "user", "content": "hello"}]


def _claude(server: LoopbackModelServer, retries: int = 0) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="k", base_url=server.url, max_retries=retries, timeout=5)


def _gpt(server: LoopbackModelServer, retries: int = 0) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="k", base_url=server.url + "/v1", max_retries=retries, timeout=5)


async def test_the_anthropic_sdk_reads_its_stream_and_its_whole_message_alike() -> None:
    reply = Reply("Let me see.", calls=(LS,), thinking="hm")
    async with LoopbackModelServer([reply]) as server, _claude(server) as client:
        whole = await client.messages.create(model="m", max_tokens=9, messages=HELLO)
        async with client.messages.stream(model="m", max_tokens=9, messages=HELLO) as stream:
            streamed = await stream.get_final_message()
    for message in (whole, streamed):
        assert [b.type for b in message.content] == ["thinking", "text", "tool_use"]
        assert message.content[0].signature == "signed:0"
        assert message.content[2].input == {"command": "ls"}
        assert message.stop_reason == "tool_use"
    assert whole.usage.output_tokens == streamed.usage.output_tokens > 0


async def test_the_openai_sdk_reads_its_stream_and_its_whole_message_alike() -> None:
    async with LoopbackModelServer([Reply("Let me see.", calls=(LS,))]) as server, _gpt(server) as client:
        whole = await client.chat.completions.create(model="m", messages=HELLO)
        text, arguments, finish = "", "", None
        async for chunk in await client.chat.completions.create(model="m", messages=HELLO, stream=True):
            delta = chunk.choices[0].delta
            text += delta.content or ""
            arguments += "".join(c.function.arguments or "" for c in delta.tool_calls or [])
            finish = chunk.choices[0].finish_reason or finish
    message = whole.choices[0].message
    assert (message.content, message.tool_calls[0].function.arguments) == (text, arguments)
    assert (text, arguments) == ("Let me see.", '{"command": "ls"}')
    assert whole.choices[0].finish_reason == finish == "tool_calls"


async def test_tokens_and_log_probabilities_come_only_when_asked_for() -> None:
    async with LoopbackModelServer(["two words"]) as server, _gpt(server) as client:
        plain = await client.chat.completions.create(model="m", messages=HELLO)
        full = await client.chat.completions.create(
            model="m", messages=HELLO, logprobs=True, extra_body={"return_token_ids": True}
        )
    assert plain.choices[0].logprobs is None
    assert plain.choices[0].model_extra.get("token_ids") is None
    entries = full.choices[0].logprobs.content
    assert [e.token for e in entries] == ["two", " words"]
    assert all(-2 <= e.logprob < 0 for e in entries)
    assert len(full.choices[0].model_extra["token_ids"]) == 2


async def test_a_script_is_gone_through_by_position_so_a_retry_hears_the_same() -> None:
    async with LoopbackModelServer(["first", "second"]) as server, _claude(server) as client:
        said = [
            (await client.messages.create(model="m", max_tokens=9, messages=messages)).content
            for messages in (HELLO, HELLO, [*HELLO, {"role": "assistant", "content": "first"}, *HELLO])
        ]
    assert [blocks[0].text for blocks in said] == ["first", "first", "second"]
    assert [r.position for r in server.requests] == [0, 0, 1]


async def test_a_callable_script_sees_the_request() -> None:
    async with (
        LoopbackModelServer(lambda request: f"you are {request.body['model']}") as server,
        _claude(server) as client,
    ):
        message = await client.messages.create(model="m7", max_tokens=9, messages=HELLO)
    assert message.content[0].text == "you are m7"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (413, anthropic.ContentTooLargeError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
async def test_a_status_fault_is_the_sdk_s_own_error(code: int, error: type[Exception]) -> None:
    async with LoopbackModelServer(["fine"]) as server, _claude(server) as client:
        server.fault_next(Fault.status(code, "on demand"))
        with pytest.raises(error, match="on demand"):
            await client.messages.create(model="m", max_tokens=9, messages=HELLO)
        assert (await client.messages.create(model="m", max_tokens=9, messages=HELLO)).content


async def test_retry_after_is_waited_for() -> None:
    limit = {0: Fault.status(429, retry_after_s=0.2)}
    async with LoopbackModelServer(["fine"], faults=limit) as server, _claude(server, retries=1) as client:
        await client.messages.create(model="m", max_tokens=9, messages=HELLO)
    first, second = server.requests
    assert second.at - first.at >= 0.2


async def test_half_a_stream_ends_in_a_transport_error() -> None:
    async with LoopbackModelServer(["a text of several pieces"]) as server:
        server.fault_next(Fault.half())
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.post(
                    server.url + "/v1/messages", json={"stream": True, "messages": HELLO, "model": "m"}
                ) as response:
                    assert response.status == 200
                    await response.read()


async def test_a_hanging_request_does_not_keep_the_server_from_stopping() -> None:
    async with LoopbackModelServer([Fault.hang()]) as server:
        with pytest.raises(anthropic.APITimeoutError):
            await (
                _claude(server)
                .with_options(timeout=0.1)
                .messages.create(model="m", max_tokens=9, messages=HELLO)
            )
        began = time.monotonic()
    assert time.monotonic() - began < 2


async def test_a_model_that_takes_no_temperature_refuses_it_as_the_real_one_does() -> None:
    async with LoopbackModelServer(["ok"], no_temperature={"strict"}) as server, _claude(server) as client:
        with pytest.raises(anthropic.BadRequestError, match="deprecated for this model"):
            await client.messages.create(
                model="strict", max_tokens=9, messages=HELLO, extra_body={"temperature": 0.5}
            )
        await client.messages.create(
            model="lax", max_tokens=9, messages=HELLO, extra_body={"temperature": 0.5}
        )


async def test_a_wrong_key_is_refused_when_a_key_is_set() -> None:
    async with LoopbackModelServer(["ok"], api_key="right") as server, _gpt(server) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="m", messages=HELLO)
        await client.with_options(api_key="right").chat.completions.create(model="m", messages=HELLO)


def test_it_runs_in_a_thread_for_code_that_is_not_async() -> None:
    with LoopbackModelServer(["from a thread"]) as server:
        client = anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0)
        message = client.messages.create(model="m", max_tokens=9, messages=HELLO)
    assert message.content[0].text == "from a thread"
    assert len(server.requests) == 1
