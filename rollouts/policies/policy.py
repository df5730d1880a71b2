"""What a policy is: something that, shown a conversation and tools, says what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from envs.tools import ToolSpec
from envs.trajectory import Message, TokenRecord, Usage

from ..records import Sampling

Finish = Literal["stop", "tool_calls", "length", "refusal", "context_overflow"]


@dataclass(frozen=True)
class PolicyReply:
    """One reply. `message.role` is always "assistant"."""

    message: Message
    finish: Finish
    usage: Usage = field(default_factory=Usage)
    log_prob: float | None = None  #: of the whole action, where it is exact (natural log)
    tokens: TokenRecord | None = None
    effective: dict[str, Any] = field(default_factory=dict)  #: the sampling that was really used
    events: tuple[dict[str, Any], ...] = ()  #: retries, dropped parameters; copied into the trajectory


class Policy(Protocol):
    """Decides the next action from the conversation alone.

    A policy keeps nothing between calls that the messages and the sampling do not determine: that is what
    lets any branch be forked at any step. One object may serve many branches at once.

    A result: any reply, also a refusal, nonsense, or a cut-off one. An exception: `PolicyError`, when the
    endpoint failed; nothing else.
    """

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    @property
    def model(self) -> str:
        """The model's name, "" where there is none."""
        ...

    @property
    def converses(self) -> bool:
        """Whether it answers in words what it is asked. One that does not works through tools alone: it can
        neither judge nor write a text."""
        ...

    @property
    def log_probs(self) -> bool:
        """Whether its replies may carry log-probabilities. They never do when this is false."""
        ...

    def check(self, samplings: Sequence[Sampling]) -> list[str]:
        """Sentences on what of these samplings cannot be honoured (empty: all can). Raises `ConfigError`
        when the plan would silently yield identical branches."""
        ...

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> PolicyReply:
        """The next assistant message."""
        ...

    async def close(self) -> None:
        """Free connections. Idempotent."""
        ...
