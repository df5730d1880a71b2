"""Replies and errors as OpenAI's chat API writes them, with the token fields of vLLM on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .script import ModelRequest, Reply, log_prob, pieces, token_id, tokens

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}


def error(code: int, message: str) -> dict[str, Any]:
    """The body of a failed request."""
    kind = "invalid_request_error" if code < 500 else "server_error"
    too_long = "maximum context length" in message
    return {
        "error": {
            "message": message,
            "type": kind,
            "param": None,
            "code": "context_length_exceeded" if too_long else None,
        }
    }


def completion(request: ModelRequest, reply: Reply) -> dict[str, Any]:
    """A whole reply."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = _calls(request, reply)
    if reply.thinking:
        message["reasoning_content"] = reply.thinking
    if reply.refusal:
        message["refusal"] = reply.refusal
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    said = _said(reply)
    if request.body.get("logprobs"):
        choice["logprobs"] = {"content": [_entry(token) for token in said]}
    out = _head(request, "chat.completion") | {"choices": [choice], "usage": _usage(request, reply)}
    if request.body.get("return_token_ids"):
        choice["token_ids"] = [token_id(token) for token in said]
        out["prompt_token_ids"] = [token_id(token) for token in _prompt(request)]
    return out


def chunks(request: ModelRequest, reply: Reply) -> Iterator[str]:
    """The same as server-sent events, one string each."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in pieces(reply.thinking)]
    deltas += [{"content": piece} for piece in pieces(reply.text)]
    for index, call in enumerate(_calls(request, reply)):
        name = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{**call, "index": index, "function": name}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in pieces(call["function"]["arguments"])
        ]
    for delta in deltas:
        yield _sse(request, {"index": 0, "delta": delta, "finish_reason": None})
    yield _sse(request, {"index": 0, "delta": {}, "finish_reason": _finish(reply)})
    yield "data: [DONE]\n\n"


def _calls(request: ModelRequest, reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id or f"call_{request.position}_{i}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.text},
        }
        for i, call in enumerate(reply.calls)
    ]


def _finish(reply: Reply) -> str:
    if reply.stop is not None:
        return _FINISH.get(reply.stop, reply.stop)
    return "tool_calls" if reply.calls else "stop"


def _said(reply: Reply) -> list[str]:
    return tokens(reply.thinking + reply.text + "".join(call.name + call.text for call in reply.calls))


def _prompt(request: ModelRequest) -> list[str]:
    """The conversation as a chat template writes it: a reply that comes back unchanged gives the tokens it was."""
    written = [
        f"<|{m.get('role')}|>{m.get('content') or ''}{_called(m)}" for m in request.body.get("messages", [])
    ]
    return tokens("".join(written) + "<|assistant|>")


def _called(message: dict[str, Any]) -> str:
    calls = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    return "".join(f"{call.get('name', '')}{call.get('arguments', '')}" for call in calls)


def _entry(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": log_prob(token), "bytes": list(token.encode()), "top_logprobs": []}


def _usage(request: ModelRequest, reply: Reply) -> dict[str, Any]:
    prompt, output = len(_prompt(request)), len(_said(reply))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
    }


def _head(request: ModelRequest, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-loopback-{request.index}",
        "object": kind,
        "created": 1_700_000_000,
        "model": request.body.get("model", ""),
    }


def _sse(request: ModelRequest, choice: dict[str, Any]) -> str:
    return f"data: {json.dumps(_head(request, 'chat.completion.chunk') | {'choices': [choice]})}\n\n"
