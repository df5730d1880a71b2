"""Between our messages and the Messages API: conversations out, streamed blocks in."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from envs.tools import ToolSpec
from envs.trajectory import Message, ToolCall

from .endpoint import parse_arguments

#: Under this key of `Message.provider` stand the model's id and its blocks, verbatim.
PROVIDER = "anthropic"

_EMPTY = "(empty)"  # the API refuses empty text
_ID = re.compile(r"[^A-Za-z0-9_-]")


def conversation(messages: Sequence[Message], model: str) -> tuple[str, list[dict[str, Any]]]:
    """(system prompt, messages) for a request to `model`.

    Neighbouring messages of one side become one turn, tool results first. Blocks that the same model wrote
    go back verbatim (thinking signatures must not change); those of another model are written anew without
    its thinking, which is bound to the model that thought it.
    """
    system = "\n\n".join(m.content for m in messages if m.role == "system" and m.content.strip())
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _assistant(message, model) if role == "assistant" else _user(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return system, turns


def tool_params(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools as the API takes them."""
    return [{"name": t.name, "description": t.description, "input_schema": t.parameters} for t in tools]


class Accumulator:
    """Puts a streamed reply together from its events.

    Done by hand and not by the SDK's helper: that one raises on tool input that is no JSON, and completes
    input that was cut off; both would lose what the model really wrote.
    """

    def __init__(self) -> None:
        self.blocks: dict[int, dict[str, Any]] = {}
        self.inputs: dict[int, str] = {}
        self.usage: dict[str, Any] = {}
        self.model = ""
        self.stop_reason: str | None = None
        self.stop_details: dict[str, Any] = {}
        self.complete = False  #: the closing event came

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event. Unknown kinds are skipped, as the API asks of its clients.

        Raises `KeyError`, `TypeError` or `AttributeError` for an event that is not in the API's shape.
        """
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
            self.model = message.get("model") or ""
            self._count(message.get("usage") or {})
        elif kind == "content_block_start":
            self.blocks[event["index"]] = dict(event["content_block"])
        elif kind == "content_block_delta":
            self._delta(event["index"], event["delta"])
        elif kind == "message_delta":
            self.stop_reason = event["delta"].get("stop_reason") or self.stop_reason
            self.stop_details = event["delta"].get("stop_details") or {}
            self._count(event.get("usage") or {})
        elif kind == "message_stop":
            self.complete = True

    def _count(self, usage: dict[str, Any]) -> None:
        # Counts are cumulative; what a later event leaves out keeps its earlier value.
        self.usage.update({name: value for name, value in usage.items() if value is not None})

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        block, kind = self.blocks[index], delta["type"]
        if kind == "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        elif kind == "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "input_json_delta":
            self.inputs[index] = self.inputs.get(index, "") + delta["partial_json"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]

    def content(self) -> list[dict[str, Any]]:
        """The blocks in order; a tool's input is `{}` where what was written is no JSON object."""
        out = []
        for index in sorted(self.blocks):
            block = dict(self.blocks[index])
            if index in self.inputs and "input" in block:
                block["input"] = parse_arguments(self.inputs[index])[0] or {}
            out.append(block)
        return out

    def calls(self) -> list[ToolCall]:
        """The tool calls in order, with the raw text of those that cannot be understood."""
        out = []
        for index in sorted(self.blocks):
            block = self.blocks[index]
            if block.get("type") != "tool_use":
                continue
            text = self.inputs.get(index, "")
            cut_off = self.stop_reason == "max_tokens" and index == max(self.blocks)
            if text or cut_off:
                arguments, raw = parse_arguments(text)
            else:
                start = block.get("input")
                arguments, raw = (start, "") if isinstance(start, dict) else (None, json.dumps(start))
            out.append(ToolCall(id=block["id"], name=block["name"], arguments=arguments, raw=raw))
        return out


def text_of(blocks: Sequence[dict[str, Any]]) -> str:
    """The visible text of a reply."""
    return "".join(b.get("text") or "" for b in blocks if b.get("type") == "text")


def _user(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        block: dict[str, Any] = {
            "type": "tool_result",
            "tool_use_id": _tool_id(message.tool_call_id or ""),
            "content": message.content,
        }
        if message.provider and message.provider.get("is_error"):
            block["is_error"] = True
        return [block]
    return [{"type": "text", "text": message.content if message.content.strip() else _EMPTY}]


def _assistant(message: Message, model: str) -> list[dict[str, Any]]:
    own = (message.provider or {}).get(PROVIDER) or {}
    if own.get("model") == model and own.get("content"):
        # A fork may have dropped calls that were never carried out: their blocks go too.
        kept = {call.id for call in message.tool_calls}
        blocks = [b for b in own["content"] if b.get("type") != "tool_use" or b.get("id") in kept]
        blocks = [b for b in blocks if b.get("type") != "text" or (b.get("text") or "").strip()]
        if any(b.get("type") not in ("thinking", "redacted_thinking") for b in blocks):
            return blocks
    blocks = [{"type": "text", "text": message.content}] if message.content.strip() else []
    blocks += [
        {"type": "tool_use", "id": _tool_id(c.id), "name": c.name, "input": c.arguments or {}}
        for c in message.tool_calls
    ]
    return blocks or [{"type": "text", "text": _EMPTY}]


def _tool_id(identifier: str) -> str:
    """An id the API accepts; ids made by other endpoints may not be."""
    return _ID.sub("_", identifier) or "_"
