"""Claude through the real SDK: always streamed, every stop reason, every failure named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from envs.tools import ToolSpec
from envs.trajectory import Message, Usage

from ..errors import ConfigError, PolicyError
from ..records import Sampling
from .anthropic_wire import PROVIDER, Accumulator, conversation, text_of, tool_params
from .endpoint import (
    TRANSIENT,
    EndpointOptions,
    JsonObject,
    PerLoop,
    backoff_s,
    blamed_parameter,
    check_temperatures,
    key_from,
    kind_of,
    says_too_long,
)
from .models import add_usage, cost_usd, price_of, takes_sampling
from .policy import Finish, PolicyReply

EFFORTS = ("low", "medium", "high", "xhigh", "max")
FINISH: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "pause_turn": "stop",  # only when it paused more often than we go on
    "refusal": "refusal",
    "model_context_window_exceeded": "context_overflow",
}
MAX_PAUSES = 8
DEFAULT_MAX_TOKENS = 16_000


class AnthropicOptions(EndpointOptions):
    """Options of the policy `anthropic`."""

    api_key_env: str = "ANTHROPIC_API_KEY"  #: variable the key is read from (optional with `base_url`)
    thinking: JsonObject | None = None  #: the API's `thinking` parameter; None: the model's default
    prompt_cache: bool = True  #: let the API cache the shared beginning of the conversation


@dataclass
class _Turn:
    """What one turn has come to, over its pauses and retries."""

    parts: list[Accumulator] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


class AnthropicPolicy:
    """A Claude model.

    `Usage.input_tokens` counts all input, also what came from the cache (`cached_tokens`). A sampling
    parameter that the model refuses is dropped, remembered for this object, and recorded as an event.
    """

    Options = AnthropicOptions
    name = "anthropic"
    converses = True
    log_probs = False

    def __init__(self, options: AnthropicOptions) -> None:
        self.options = options
        key_from(options.api_key_env, self.name, needed=options.base_url is None)
        self._refused: set[str] = set()
        self._clients = PerLoop(self._build)

    @property
    def model(self) -> str:
        """The model's id."""
        return self.options.model

    def check(self, samplings: Sequence[Sampling]) -> list[str]:
        """See `Policy.check`."""
        for effort in {s.effort for s in samplings} | {self.options.effort}:
            if effort is not None and effort not in EFFORTS:
                raise ConfigError(f"sampling.efforts: {effort!r} is none of {', '.join(EFFORTS)}")
        if not self._takes_sampling():
            return check_temperatures(samplings, self.model, self.options.temperature_fallback)
        if any(s.temperature is not None and s.top_p is not None for s in samplings):
            return [f"{self.model} takes temperature or top_p, not both: top_p will not be sent"]
        return []

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> PolicyReply:
        """The next message. Raises `PolicyError` when the endpoint failed after all retries."""
        system, turns = conversation(messages, self.model)
        params: dict[str, Any] = {"messages": turns}
        if system:
            params["system"] = system
        if tools:
            params["tools"] = tool_params(tools)
        turn = _Turn()
        while True:
            sent = self._sampled(sampling)
            try:
                part = await self._request({**params, **_wire(sent)}, turn)
            except _Refused as refused:
                if says_too_long(refused.status, refused.text):
                    return self._overflow(turn, sent, refused.text)
                blamed = blamed_parameter(refused.text, [n for n in sent if n in _DROPPABLE])
                if blamed is None:
                    raise PolicyError(f"{self.model}: {refused.text}", refused.kind) from None
                self._refused.add("temperature" if blamed == "top_p" else blamed)
                turn.events.append({"kind": "dropped_parameter", "parameter": blamed, "why": refused.text})
                continue
            turn.parts.append(part)
            if part.stop_reason != "pause_turn" or len(turn.parts) > MAX_PAUSES:
                return self._reply(turn, sent)
            params["messages"] = [*turns, {"role": "assistant", "content": _joined(turn.parts)}]

    async def close(self) -> None:
        """See `Policy.close`."""
        await self._clients.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options, "refused": self._refused}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["options"])  # type: ignore[misc]
        self._refused = set(state["refused"])

    def _build(self) -> Any:
        from anthropic import (
            AsyncAnthropic,
            DefaultAsyncHttpxClient,
            Timeout,
        )  # half a second to import, and not for other policies

        o = self.options
        key = key_from(o.api_key_env, self.name, needed=o.base_url is None)
        return AsyncAnthropic(
            api_key=key or "none",
            base_url=o.base_url,
            max_retries=o.max_retries,
            timeout=Timeout(o.timeout_s, connect=min(10.0, o.timeout_s)),
            # The SDK's own HTTP client would, when dropped with its loop, schedule its closing on another one.
            http_client=DefaultAsyncHttpxClient(),
        )

    def _takes_sampling(self) -> bool:
        thinking = (self.options.thinking or {}).get("type", "disabled") != "disabled"
        return takes_sampling(self.model, thinking) and "temperature" not in self._refused

    def _sampled(self, sampling: Sampling) -> dict[str, Any]:
        """The parameters that are really sent: also what the record calls effective."""
        o = self.options
        out: dict[str, Any] = {
            "model": o.model,
            "max_tokens": sampling.max_tokens or o.max_tokens or DEFAULT_MAX_TOKENS,
        }
        if self._takes_sampling():
            if sampling.temperature is not None:
                out["temperature"] = sampling.temperature
            elif sampling.top_p is not None:
                out["top_p"] = sampling.top_p
        effort = sampling.effort or o.effort
        if effort is not None and "effort" not in self._refused:
            out["effort"] = effort
        if o.thinking is not None:
            out["thinking"] = o.thinking
        if o.prompt_cache and "cache_control" not in self._refused:
            out["cache_control"] = {"type": "ephemeral"}
        return out

    async def _request(self, params: dict[str, Any], turn: _Turn) -> Accumulator:
        """One streamed reply. What fails before the stream is retried by the SDK, what breaks off within
        it here, both at most `max_retries` times."""
        for attempt in range(self.options.max_retries + 1):
            try:
                return await self._stream(params, turn)
            except _Broken as broken:
                if attempt == self.options.max_retries or broken.kind not in TRANSIENT:
                    raise PolicyError(f"{self.model}: {broken}", broken.kind) from None
                turn.events.append({"kind": "retry", "why": broken.kind, "detail": str(broken)[:300]})
                await asyncio.sleep(backoff_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    async def _stream(self, params: dict[str, Any], turn: _Turn) -> Accumulator:
        import anthropic
        import httpx2

        try:
            stream = await self._clients.get().messages.create(stream=True, **params)
        except anthropic.APIStatusError as error:
            if error.status_code in (400, 413, 422):
                raise _Refused(
                    error.status_code, _said(error), kind_of(error.status_code, error.body)
                ) from None
            kind = kind_of(error.status_code, error.body)
            raise PolicyError(f"{self.model}: {error.status_code} {_said(error)}", kind) from None
        except anthropic.APITimeoutError:
            limit = self.options.timeout_s
            raise PolicyError(f"{self.model}: no answer within {limit:g} s", "timeout") from None
        except anthropic.APIConnectionError as error:
            cause = error.__cause__ or error
            raise PolicyError(f"{self.model}: cannot be reached ({cause})", "connection") from None
        except anthropic.AnthropicError as error:
            raise PolicyError(f"{self.model}: {error}", "error") from None
        retries = int(stream.response.request.headers.get("x-stainless-retry-count", "0"))
        if retries:
            turn.events.append({"kind": "retry", "why": "sdk", "count": retries})
        part = Accumulator()
        try:
            async with stream:
                async for event in stream:
                    part.add(event.to_dict())
        except anthropic.APIStatusError as error:  # an error event within the stream
            raise _Broken(_said(error), kind_of(None, error.body)) from None
        except (httpx2.TimeoutException, anthropic.APITimeoutError):
            limit = self.options.timeout_s
            raise _Broken(f"the stream stood still for {limit:g} s", "timeout") from None
        except (httpx2.HTTPError, anthropic.APIConnectionError) as error:
            raise _Broken(f"the stream broke off ({error})", "connection") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            # The bytes came, and are not the API's format.
            raise _Broken(f"the reply is not in the API's format ({error!r:.200})", "bad_response") from None
        if not part.complete:
            kind = "connection" if part.blocks or part.usage else "bad_response"
            raise _Broken("the stream ended before the message did", kind)
        return part

    def _reply(self, turn: _Turn, sent: dict[str, Any]) -> PolicyReply:
        last = turn.parts[-1]
        finish = FINISH.get(last.stop_reason or "", "stop")
        blocks = _joined(turn.parts)
        calls = [call for part in turn.parts for call in part.calls()]
        if finish == "refusal":
            # What stands before a refusal is not to be used: no call of it is carried out or echoed.
            calls, blocks = [], [b for b in blocks if b.get("type") == "text"]
            turn.events.append({"kind": "refusal_details", **last.stop_details})
        message = Message(
            role="assistant",
            content=text_of(blocks),
            tool_calls=tuple(calls),
            provider={PROVIDER: {"model": self.model, "content": blocks}} if blocks else None,
        )
        usage = self._usage(turn.parts[0])
        for part in turn.parts[1:]:
            usage = add_usage(usage, self._usage(part))
        return PolicyReply(
            message, finish, usage, effective=_effective(sent, last.model), events=tuple(turn.events)
        )

    def _overflow(self, turn: _Turn, sent: dict[str, Any], why: str) -> PolicyReply:
        turn.events.append({"kind": "context_overflow", "why": why[:300]})
        message = Message(role="assistant")
        return PolicyReply(
            message, "context_overflow", effective=_effective(sent, ""), events=tuple(turn.events)
        )

    def _usage(self, part: Accumulator) -> Usage:
        fresh, output = part.usage.get("input_tokens"), part.usage.get("output_tokens")
        read = part.usage.get("cache_read_input_tokens") or 0
        write = part.usage.get("cache_creation_input_tokens") or 0
        price = self.options.price or price_of(self.model)
        return Usage(
            input_tokens=None if fresh is None else fresh + read + write,
            output_tokens=output,
            cached_tokens=part.usage.get("cache_read_input_tokens"),
            cost_usd=cost_usd(price, fresh, output, read, write),
        )


#: What may be left out when the model refuses it.
_DROPPABLE = ("temperature", "top_p", "effort", "cache_control")


class _Refused(Exception):
    """The request itself was refused (400, 413, 422)."""

    def __init__(self, status: int, text: str, kind: str) -> None:
        super().__init__(text)
        self.status, self.text, self.kind = status, text, kind


class _Broken(Exception):
    """A reply began and did not end as it should."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


def _wire(sent: dict[str, Any]) -> dict[str, Any]:
    """The SDK's arguments: it knows no sampling parameters any more, they go in beside its own."""
    out = {k: v for k, v in sent.items() if k not in ("temperature", "top_p", "effort")}
    if "effort" in sent:
        out["output_config"] = {"effort": sent["effort"]}
    extra = {k: sent[k] for k in ("temperature", "top_p") if k in sent}
    return {**out, "extra_body": extra} if extra else out


def _effective(sent: dict[str, Any], served_by: str) -> dict[str, Any]:
    out = {k: v for k, v in sent.items() if k != "cache_control"}
    return {**out, "served_by": served_by} if served_by not in ("", sent["model"]) else out


def _joined(parts: Sequence[Accumulator]) -> list[dict[str, Any]]:
    return [block for part in parts for block in part.content()]


def _said(error: Any) -> str:
    """What the server said, short."""
    text = getattr(error, "api_message", None) or getattr(error, "message", None) or str(error)
    return str(text)[:600]
