"""What the loopback server is told to say, and how it is told to fail."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FaultKind = Literal["status", "hang", "garbage", "half", "drop", "empty", "slow", "error_event"]


@dataclass(frozen=True)
class Call:
    """A tool call. A string as `arguments` is sent as it is, so it may be broken JSON."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str | None = None  #: None: made from the position in the conversation

    @property
    def text(self) -> str:
        """The arguments as they go over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Reply:
    """One reply of the model, in terms of both APIs."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    #: Anthropic's stop reason, or OpenAI's finish reason; None: the usual one
    stop: str | None = None
    thinking: str = ""  #: Anthropic: a thinking block with a signature; OpenAI: `reasoning_content`
    refusal: str = ""  #: OpenAI's refusal text; Anthropic: the category of the refusal
    cached_tokens: int = 0
    fault: Fault | None = None  #: fail at this reply, every time it is asked for


@dataclass(frozen=True)
class Fault:
    """How to fail instead of (or while) replying."""

    kind: FaultKind
    code: int = 500  #: for "status"
    message: str = "a failure was asked for"
    retry_after_s: float | None = None  #: for "status": the header `retry-after`
    seconds: float = 0.0  #: for "slow": pause before each piece; for "hang": how long (0: for ever)

    @classmethod
    def status(
        cls, code: int, message: str = "a failure was asked for", retry_after_s: float | None = None
    ) -> Fault:
        """Answer with this HTTP status and the vendor's error body for it."""
        return cls("status", code=code, message=message, retry_after_s=retry_after_s)

    @classmethod
    def hang(cls, seconds: float = 0.0) -> Fault:
        """Say nothing: not even headers."""
        return cls("hang", seconds=seconds)

    @classmethod
    def garbage(cls) -> Fault:
        """Status 200 with a body that is not in the API's format."""
        return cls("garbage")

    @classmethod
    def half(cls) -> Fault:
        """The first half of the body, then a dropped connection."""
        return cls("half")

    @classmethod
    def drop(cls) -> Fault:
        """A dropped connection without an answer."""
        return cls("drop")

    @classmethod
    def empty(cls) -> Fault:
        """Status 200 and no body."""
        return cls("empty")

    @classmethod
    def slow(cls, seconds: float) -> Fault:
        """The right reply, with a pause before every piece of it."""
        return cls("slow", seconds=seconds)

    @classmethod
    def error_event(cls, message: str = "Overloaded") -> Fault:
        """Anthropic only: an `overloaded_error` event in the middle of the stream."""
        return cls("error_event", message=message)


@dataclass(frozen=True)
class ModelRequest:
    """One request as the server received it."""

    index: int  #: 0-based, in order of arrival, retries included
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float  #: `time.monotonic()` of its arrival

    @property
    def position(self) -> int:
        """How many replies the conversation holds already. A paused turn comes back as one growing message at
        its end: there each block counts, so a paused reply in a script should be one block."""
        messages = self.body.get("messages", [])
        turns: int = sum(m.get("role") == "assistant" for m in messages)
        last = messages[-1] if messages else {}
        if last.get("role") == "assistant" and isinstance(last.get("content"), list):
            turns += len(last["content"]) - 1
        return turns


Said = Reply | Fault | str
Script = Sequence[Said] | Callable[[ModelRequest], Said]


def say(script: Script, request: ModelRequest) -> Reply:
    """What the script says to a request. A list is gone through by the position in the conversation, so a
    retry is told the same again; after its end the model says nothing and stops."""
    if callable(script):
        said = script(request)
    else:
        said = script[request.position] if request.position < len(script) else Reply()
    if isinstance(said, Fault):
        return Reply(fault=said)
    return Reply(text=said) if isinstance(said, str) else said


def pieces(text: str, size: int = 7) -> list[str]:
    """A text in the pieces that it is streamed in."""
    return [text[i : i + size] for i in range(0, len(text), size)]


def tokens(text: str) -> list[str]:
    """The server's toy tokenizer: a word with the space before it, or one other character."""
    return re.findall(r" ?\w+|[^\w]", text)


def token_id(token: str) -> int:
    """A token's id: stable, and below 50,000."""
    return zlib.crc32(token.encode()) % 50_000


def log_prob(token: str) -> float:
    """A token's made-up log-probability: stable, in (-2, 0), a multiple of 1/64 so that sums are exact."""
    return -(token_id(token) % 127 + 1) / 64
