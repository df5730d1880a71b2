"""A policy that says what it was told to say: for tests, demonstrations, and measuring everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from envs.tools import ToolSpec
from envs.trajectory import Message, Usage

from ..errors import ConfigError, PolicyError
from ..records import Sampling
from .policy import PolicyReply
from .replies import Replies, ReplySpec, as_replies, explain, read_script

#: What a callable script may return: a reply, a text, or a mapping as in a script file.
Said = ReplySpec | str | dict[str, Any]
Script = Callable[[Sequence[Message], Sampling], Said | Awaitable[Said]]


class ScriptedOptions(BaseModel):
    """Options of the policy `scripted`. `file` (YAML or JSON) holds the other ones, or a list of replies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path | None = None
    replies: Replies = ()  #: what every branch says, in order
    branches: tuple[
        Replies, ...
    ] = ()  #: several scripts; a branch takes the one at its seed modulo their number
    variants: dict[str, Replies] = Field(default_factory=dict)  #: script by the name of the prompt variant
    delay_s: float = Field(default=0.0, ge=0)  #: before every reply
    errors: dict[int, str] = Field(
        default_factory=dict
    )  #: turn (0-based) -> kind of `PolicyError` raised there
    repeat: bool = False  #: begin again when the script is exhausted, instead of saying nothing

    @field_validator("replies", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return as_replies(value) if isinstance(value, list | tuple) else value


class ScriptedPolicy:
    """Plays a script. Which reply comes next is the number of replies already in the conversation, so a
    branch that is forked anywhere goes on from there.

        ScriptedPolicy.of(["first words", {"tool": "bash", "arguments": {"command": "ls"}}])
        ScriptedPolicy.of(lambda messages, sampling: "words that depend on the conversation")

    An exhausted script says nothing and stops.
    """

    Options = ScriptedOptions
    name = "scripted"
    model = ""
    converses = True
    log_probs = True

    def __init__(self, options: ScriptedOptions, script: Script | None = None) -> None:
        self.options = _with_file(options)
        self._script = script

    @classmethod
    def of(cls, script: Script | Sequence[Said], **options: Any) -> ScriptedPolicy:
        """From a list of replies, or from a function of the conversation and the sampling (plain or async;
        one at module level if the policy is to be pickled)."""
        if callable(script):
            return cls(ScriptedOptions(**options), script)
        return cls(ScriptedOptions(replies=as_replies(script), **options))

    def check(self, samplings: Sequence[Sampling]) -> list[str]:
        """See `Policy.check`. A script that wants a variant must have one for each branch."""
        o = self.options
        missing = {s.prompt_variant for s in samplings if s.prompt_variant} - set(o.variants)
        if o.variants and missing and not o.replies:
            raise ConfigError(f"policy 'scripted' has no script for the variants {sorted(map(str, missing))}")
        if any(s.temperature is not None for s in samplings):
            return ["a script takes no temperature"]
        return []

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> PolicyReply:
        """The reply at this point of the script. Raises `PolicyError` where the script says so."""
        position = sum(m.role == "assistant" for m in messages)
        reply = await self._reply(messages, position, sampling)
        if delay := self.options.delay_s + reply.delay_s:
            await asyncio.sleep(delay)
        kind = reply.error or self.options.errors.get(position)
        if kind is not None:
            raise PolicyError(f"scripted failure at turn {position}", kind)
        usage = Usage(
            input_tokens=0, output_tokens=0, cost_usd=0.0
        )  # a script has no tokens, and costs nothing
        return PolicyReply(reply.message(position), reply.finished(), usage, log_prob=reply.log_prob)

    async def close(self) -> None:
        """Nothing to free."""

    async def _reply(self, messages: Sequence[Message], position: int, sampling: Sampling) -> ReplySpec:
        if self._script is not None:
            said = self._script(messages, sampling)
            return as_replies([await said if isinstance(said, Awaitable) else said])[0]
        script = self._of_branch(sampling)
        if self.options.repeat and script:
            return script[position % len(script)]
        return script[position] if position < len(script) else ReplySpec()

    def _of_branch(self, sampling: Sampling) -> Replies:
        o = self.options
        if sampling.prompt_variant in o.variants:
            return o.variants[sampling.prompt_variant or ""]
        if o.branches:
            return o.branches[(sampling.seed or 0) % len(o.branches)]
        return o.replies


def _with_file(options: ScriptedOptions) -> ScriptedOptions:
    """The options with those of their file filled in; what was given beside the file wins."""
    if options.file is None:
        return options
    data = read_script(options.file)
    given = options.model_dump(exclude_unset=True, exclude={"file"})
    try:
        return ScriptedOptions.model_validate({**data, **given})
    except ValidationError as error:
        raise explain(options.file, error) from None
