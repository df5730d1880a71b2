"""Any OpenAI-compatible chat endpoint through the real SDK: vLLM, SGLang, OpenAI itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from envs.tools import ToolSpec
from envs.trajectory import Message, Usage

from ..errors import PolicyError
from ..records import Sampling
from .endpoint import (
    EndpointOptions,
    JsonObject,
    PerLoop,
    blamed_parameter,
    check_temperatures,
    key_from,
    kind_of,
    says_too_long,
)
from .models import cost_usd
from .openai_wire import conversation, log_prob_of, tokens_of, tool_calls, tool_params
from .policy import Finish, PolicyReply

FINISH: dict[str, Finish] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "refusal",
}


class OpenAIOptions(EndpointOptions):
    """Options of the policy `openai`."""

    api_key_env: str = "OPENAI_API_KEY"  #: variable the key is read from (optional with `base_url`)
    logprobs: bool = False  #: ask for the log-probability of each token
    #: Ask for token ids: `return_token_ids` (vLLM, SGLang). Servers that do not know it ignore it or refuse.
    token_ids: bool = False
    #: OpenAI's newer models want `max_completion_tokens`; found out by itself from the refusal.
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: JsonObject = Field(
        default_factory=dict
    )  #: further fields of the request, for instance vLLM's `top_k`


class OpenAIPolicy:
    """A model behind an OpenAI-compatible endpoint.

    Log-probabilities and token ids are what the server says, never recomputed. Whether a server's
    log-probabilities are those before or after temperature is its own setting (vLLM: `--logprobs-mode`);
    for on-policy training it must be `processed_logprobs`.
    """

    Options = OpenAIOptions
    name = "openai"
    converses = True

    def __init__(self, options: OpenAIOptions) -> None:
        self.options = options
        key_from(options.api_key_env, self.name, needed=options.base_url is None)
        self._refused: set[str] = set()
        self._max_tokens_field: str = options.max_tokens_field
        self._clients = PerLoop(self._build)

    @property
    def model(self) -> str:
        """The model's id."""
        return self.options.model

    @property
    def log_probs(self) -> bool:
        """When they are asked for; some servers refuse."""
        return self.options.logprobs

    def check(self, samplings: Sequence[Sampling]) -> list[str]:
        """See `Policy.check`. Endpoints of this kind take temperatures until they say otherwise."""
        if "temperature" in self._refused:
            return check_temperatures(samplings, self.model, self.options.temperature_fallback)
        return []

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> PolicyReply:
        """The next message. Raises `PolicyError` when the endpoint failed after all retries."""
        params: dict[str, Any] = {"messages": conversation(messages)}
        if tools:
            params["tools"] = tool_params(tools)
        events: list[dict[str, Any]] = []
        while True:
            sent = self._sampled(sampling)
            try:
                completion = await self._request({**params, **self._wire(sent)}, events)
            except _Refused as refused:
                if says_too_long(refused.status, refused.text):
                    events.append({"kind": "context_overflow", "why": refused.text[:300]})
                    message = Message(role="assistant")
                    return PolicyReply(message, "context_overflow", effective=sent, events=tuple(events))
                self._learn(refused, sent, events)
                continue
            position = sum(m.role == "assistant" for m in messages)
            return self._reply(completion, sent, events, position)

    async def close(self) -> None:
        """See `Policy.close`."""
        await self._clients.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options, "refused": self._refused, "field": self._max_tokens_field}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["options"])  # type: ignore[misc]
        self._refused, self._max_tokens_field = set(state["refused"]), state["field"]

    def _build(self) -> Any:
        from openai import (
            AsyncOpenAI,
            DefaultAsyncHttpxClient,
            Timeout,
        )  # a second to import, and not for other policies

        o = self.options
        key = key_from(o.api_key_env, self.name, needed=o.base_url is None)
        return AsyncOpenAI(
            api_key=key or "none",
            base_url=o.base_url,
            max_retries=o.max_retries,
            timeout=Timeout(o.timeout_s, connect=min(10.0, o.timeout_s)),
            # The SDK's own HTTP client would, when dropped with its loop, schedule its closing on another one.
            http_client=DefaultAsyncHttpxClient(),
        )

    def _sampled(self, sampling: Sampling) -> dict[str, Any]:
        """The parameters that are really sent: also what the record calls effective."""
        o = self.options
        wanted = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "reasoning_effort": sampling.effort or o.effort,
            "max_tokens": sampling.max_tokens or o.max_tokens,
        }
        known = {k: v for k, v in wanted.items() if v is not None and k not in self._refused}
        return {"model": o.model, **known}

    def _wire(self, sent: dict[str, Any]) -> dict[str, Any]:
        out = dict(sent)
        if "max_tokens" in out:
            out[self._max_tokens_field] = out.pop("max_tokens")
        if self.options.logprobs and "logprobs" not in self._refused:
            out["logprobs"] = True
        extra = dict(self.options.extra_body)
        if self.options.token_ids and "return_token_ids" not in self._refused:
            extra["return_token_ids"] = True
        return {**out, "extra_body": extra} if extra else out

    def _learn(self, refused: _Refused, sent: dict[str, Any], events: list[dict[str, Any]]) -> None:
        """Leave out from now on what the endpoint refused; raises when it was nothing optional."""
        if "max_completion_tokens" in refused.text and self._max_tokens_field == "max_tokens":
            self._max_tokens_field = "max_completion_tokens"
            events.append({"kind": "renamed_parameter", "parameter": "max_tokens", "why": refused.text})
            return
        optional = [name for name in _DROPPABLE if name in sent]
        optional += ["logprobs"] if self.options.logprobs and "logprobs" not in self._refused else []
        optional += (
            ["return_token_ids"] if self.options.token_ids and "return_token_ids" not in self._refused else []
        )
        blamed = blamed_parameter(refused.text, optional)
        if blamed is None:
            raise PolicyError(f"{self.model}: {refused.text}", refused.kind) from None
        self._refused.add(blamed)
        events.append({"kind": "dropped_parameter", "parameter": blamed, "why": refused.text})

    async def _request(self, params: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
        """The completion as plain data. The SDK retries what may pass."""
        import openai

        try:
            raw = await self._clients.get().chat.completions.with_raw_response.create(**params)
        except openai.APIStatusError as error:
            kind = kind_of(error.status_code, {"error": error.body})
            if error.status_code in (400, 413, 422):
                raise _Refused(error.status_code, _said(error), kind) from None
            raise PolicyError(f"{self.model}: {error.status_code} {_said(error)}", kind) from None
        except openai.APITimeoutError:
            limit = self.options.timeout_s
            raise PolicyError(f"{self.model}: no answer within {limit:g} s", "timeout") from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise PolicyError(f"{self.model}: cannot be reached ({cause})", "connection") from None
        except openai.OpenAIError as error:
            raise PolicyError(f"{self.model}: {error}", "error") from None
        if raw.retries_taken:
            events.append({"kind": "retry", "why": "sdk", "count": raw.retries_taken})
        try:
            body = raw.http_response.json()
            body["choices"][0]["message"]["role"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            text = raw.http_response.text[:120]
            reason = f"the reply is no chat completion ({type(error).__name__}): {text!r}"
            raise PolicyError(f"{self.model}: {reason}", "bad_response") from None
        return dict(body)

    def _reply(
        self, completion: dict[str, Any], sent: dict[str, Any], events: list[dict[str, Any]], position: int
    ) -> PolicyReply:
        choice = completion["choices"][0]
        said = choice["message"]
        try:
            calls = tool_calls(said, position)
            tokens = tokens_of(completion, choice)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"the reply's calls or tokens are malformed ({error!r:.120})"
            raise PolicyError(f"{self.model}: {reason}", "bad_response") from None
        finish = FINISH.get(choice.get("finish_reason") or "", "stop")
        content = said.get("content") or ""
        if said.get("refusal"):
            finish, content = "refusal", content or str(said["refusal"])
        if finish == "refusal":
            calls = ()
        elif calls and finish == "stop":
            finish = "tool_calls"  # several servers say "stop" beside calls
        log_prob = log_prob_of(tokens)
        if tokens is not None and tokens.logprobs and log_prob is None:
            events.append({"kind": "log_prob_unusable", "why": "not one exact figure per token"})
        message = Message(role="assistant", content=content, tool_calls=calls, provider=_thoughts(said))
        served = completion.get("model") or ""
        effective = {**sent, "served_by": served} if served not in ("", self.model) else sent
        usage = self._usage(completion.get("usage") or {})
        return PolicyReply(message, finish, usage, log_prob, tokens, effective, tuple(events))

    def _usage(self, usage: dict[str, Any]) -> Usage:
        prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        fresh = None if prompt is None else prompt - (cached or 0)
        return Usage(
            input_tokens=prompt,
            output_tokens=output,
            cached_tokens=cached,
            cost_usd=cost_usd(self.options.price, fresh, output, cached or 0),
        )


#: What may be left out when the endpoint refuses it.
_DROPPABLE = ("temperature", "top_p", "seed", "reasoning_effort")


class _Refused(Exception):
    """The request itself was refused (400, 413, 422)."""

    def __init__(self, status: int, text: str, kind: str) -> None:
        super().__init__(text)
        self.status, self.text, self.kind = status, text, kind


def _thoughts(said: dict[str, Any]) -> dict[str, Any] | None:
    """Reasoning that the server gave beside the content: kept, and not sent back (the models' own advice)."""
    text = said.get("reasoning_content") or said.get("reasoning")
    return {"openai": {"reasoning_content": text}} if isinstance(text, str) and text else None


def _said(error: Any) -> str:
    """What the server said, short."""
    body = error.body if isinstance(error.body, dict) else {}
    text = f"{body.get('message') or error.message}"
    code = body.get("code")
    return f"{text} ({code})"[:600] if isinstance(code, str) else text[:600]
