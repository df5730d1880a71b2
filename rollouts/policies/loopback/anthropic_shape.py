"""Replies and errors as Anthropic's Messages API writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .script import ModelRequest, Reply, pieces, tokens

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error(code: int, message: str) -> dict[str, Any]:
    """The body of a failed request."""
    kind = ERROR_TYPES.get(code, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_loopback"}


def message(request: ModelRequest, reply: Reply) -> dict[str, Any]:
    """A whole reply. Tool input that is no JSON object cannot be written in this form: it becomes `{}`."""
    blocks = [
        {**block, "input": _object(text)} if block["type"] == "tool_use" else block
        for block, text in _blocks(request, reply)
    ]
    return {**_head(request, reply), "content": blocks, **_end(reply), "usage": _usage(request, reply)}


def events(request: ModelRequest, reply: Reply) -> Iterator[str]:
    """The same as server-sent events, one string each."""
    start = _usage(request, reply) | {"output_tokens": 1}
    yield _sse({"type": "message_start", "message": _head(request, reply) | {"content": [], "usage": start}})
    yield _sse({"type": "ping"})
    for index, (block, text) in enumerate(_blocks(request, reply)):
        yield from _block_events(index, block, text)
    usage = {"output_tokens": _usage(request, reply)["output_tokens"]}
    yield _sse({"type": "message_delta", "delta": _end(reply), "usage": usage})
    yield _sse({"type": "message_stop"})


def error_event(text: str) -> str:
    """An error in the middle of a stream."""
    return _sse({"type": "error", "error": {"type": "overloaded_error", "message": text}})


def _block_events(index: int, block: dict[str, Any], text: str) -> Iterator[str]:
    kind = block["type"]
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    yield _sse({"type": "content_block_start", "index": index, "content_block": {**block, **empty[kind]}})
    field = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}[kind]
    delta = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}[kind]
    for piece in pieces(text):
        yield _sse({"type": "content_block_delta", "index": index, "delta": {"type": delta, field: piece}})
    if kind == "thinking":
        signed = {"type": "signature_delta", "signature": block["signature"]}
        yield _sse({"type": "content_block_delta", "index": index, "delta": signed})
    yield _sse({"type": "content_block_stop", "index": index})


def _blocks(request: ModelRequest, reply: Reply) -> list[tuple[dict[str, Any], str]]:
    """(block, its text in full) in order."""
    out: list[tuple[dict[str, Any], str]] = []
    if reply.thinking:
        signature = f"signed:{request.position}"
        block = {"type": "thinking", "thinking": reply.thinking, "signature": signature}
        out.append((block, reply.thinking))
    if reply.text:
        out.append(({"type": "text", "text": reply.text}, reply.text))
    for i, call in enumerate(reply.calls):
        identifier = call.id or f"toolu_{request.position}_{i}"
        out.append(({"type": "tool_use", "id": identifier, "name": call.name, "input": {}}, call.text))
    return out


def _head(request: ModelRequest, reply: Reply) -> dict[str, Any]:
    return {
        "id": f"msg_loopback_{request.index}",
        "type": "message",
        "role": "assistant",
        "model": request.body.get("model", ""),
        "stop_reason": None,
        "stop_sequence": None,
    }


def _end(reply: Reply) -> dict[str, Any]:
    reason = reply.stop or ("refusal" if reply.refusal else "tool_use" if reply.calls else "end_turn")
    end: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reply.refusal:
        end["stop_details"] = {"type": "refusal", "category": reply.refusal, "explanation": None}
    return end


def _usage(request: ModelRequest, reply: Reply) -> dict[str, Any]:
    seen = len(tokens(json.dumps([request.body.get("system", ""), request.body.get("messages", [])])))
    said = reply.thinking + reply.text + "".join(call.name + call.text for call in reply.calls)
    return {
        "input_tokens": max(0, seen - reply.cached_tokens),
        "output_tokens": len(tokens(said)) + 1,
        "cache_read_input_tokens": reply.cached_tokens,
        "cache_creation_input_tokens": 0,
    }


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _sse(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
