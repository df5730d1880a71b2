"""Between our messages and OpenAI's chat API, with the token fields that vLLM and SGLang add to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from envs.tools import ToolSpec
from envs.trajectory import Message, TokenRecord, ToolCall

from .endpoint import parse_arguments

#: Servers write this for "so unlikely that I do not say": a sum with it in would be no log-probability.
_UNSAID = -9999.0


def conversation(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages for a request. Arguments go back as the model wrote them; where they were no JSON
    object, as `{}`, because servers parse them again."""
    out = []
    for message in messages:
        item: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            item["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _arguments(call)},
                }
                for call in message.tool_calls
            ]
        if message.role == "tool":
            item["tool_call_id"] = message.tool_call_id or ""
        out.append(item)
    return out


def tool_params(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools as the API takes them."""
    return [
        {
            "type": "function",
            "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
        }
        for t in tools
    ]


def tool_calls(message: dict[str, Any], position: int) -> tuple[ToolCall, ...]:
    """The calls of a reply. An absent id is made from the position, so that results can be matched."""
    out = []
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call.get("function") or call.get("custom") or {}
        text = function.get("arguments", function.get("input", ""))
        arguments, raw = parse_arguments(text if isinstance(text, str) else json.dumps(text))
        identifier = call.get("id") or f"call_{position}_{index}"
        out.append(ToolCall(id=identifier, name=function.get("name") or "", arguments=arguments, raw=raw))
    return tuple(out)


def tokens_of(completion: dict[str, Any], choice: dict[str, Any]) -> TokenRecord | None:
    """The token data of a reply exactly as the server gave it, None when it gave none.

    Ids: `choice.token_ids` and `prompt_token_ids` (vLLM; SGLang has the latter on the choice),
    `choice.response_token_ids` (SGLang later), `sglext.input_ids` and `sglext.output_ids` (SGLang's
    extension, one list per choice). Log-probabilities: OpenAI's `logprobs.content`.
    """
    ext = completion.get("sglext") or {}
    completion_ids = _first_ids(
        choice.get("token_ids"), choice.get("response_token_ids"), _of_choice(ext.get("output_ids"), choice)
    )
    prompt_ids = _first_ids(
        completion.get("prompt_token_ids"), choice.get("prompt_token_ids"), _one(ext.get("input_ids"))
    )
    entries = (choice.get("logprobs") or {}).get("content") or None
    logprobs = [float(e["logprob"]) for e in entries] if entries else None
    tokens = [str(e.get("token", "")) for e in entries] if entries else None
    if tokens and completion_ids is None and all(t.startswith("token_id:") for t in tokens):
        completion_ids = [int(t.removeprefix("token_id:")) for t in tokens]  # vLLM, on request
    if completion_ids is None and prompt_ids is None and logprobs is None:
        return None
    return TokenRecord(prompt_ids=prompt_ids, completion_ids=completion_ids, logprobs=logprobs, tokens=tokens)


def log_prob_of(tokens: TokenRecord | None) -> float | None:
    """The sum over the reply's tokens (natural log), None unless there is one exact figure per token."""
    if tokens is None or not tokens.logprobs:
        return None
    if tokens.completion_ids is not None and len(tokens.completion_ids) != len(tokens.logprobs):
        return None
    if any(not _UNSAID < value <= 0.0 for value in tokens.logprobs):
        return None
    return sum(tokens.logprobs)


def _arguments(call: ToolCall) -> str:
    if call.arguments is None:
        return "{}"
    return call.raw or json.dumps(call.arguments, ensure_ascii=False)


def _first_ids(*candidates: Any) -> list[int] | None:
    for ids in candidates:
        if isinstance(ids, list) and all(isinstance(i, int) for i in ids):
            return ids
    return None


def _one(ids: Any) -> Any:
    """The ids themselves, also when they stand in a list of one list."""
    return ids[0] if isinstance(ids, list) and len(ids) == 1 and isinstance(ids[0], list) else ids


def _of_choice(ids: Any, choice: dict[str, Any]) -> Any:
    index = choice.get("index") or 0
    if isinstance(ids, list) and index < len(ids) and isinstance(ids[index], list):
        return ids[index]
    return ids
