"""What happened in an episode: messages, steps, and how it ended.

A message is in OpenAI's chat shape. A step is one tool call with its result. The text a step refers to
stands in the messages and nowhere else, so the model and the training data see the same words.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

#: How a branch ended. The last three have no reward: they are missing, never 0.
Ending = Literal["solved", "failed", "truncated", "policy_error", "infra_error", "cancelled"]
MISSING: frozenset[str] = frozenset({"policy_error", "infra_error", "cancelled"})

Role = Literal["system", "user", "assistant", "tool"]


#: Arguments nested deeper than this cannot be written to a record, and no tool takes them.
MAX_DEPTH = 64


def storable(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates, which JSON allows, become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _storable_arguments(arguments: Any) -> Any:
    try:
        return _walk(arguments, MAX_DEPTH) if isinstance(arguments, dict) else arguments
    except RecursionError:
        return None


def _walk(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return storable(value)
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise RecursionError
    if isinstance(value, list):
        return [_walk(item, depth - 1) for item in value]
    return {_walk(key, depth): _walk(item, depth - 1) for key, item in value.items()}


#: Text from outside; see `storable`.
Text = Annotated[str, AfterValidator(storable)]
Arguments = Annotated[dict[str, Any] | None, BeforeValidator(_storable_arguments)]


class ToolCall(BaseModel):
    """A call the policy made. `arguments` is None when what it wrote was no usable JSON object; `raw` keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text
    name: Text
    arguments: Arguments = None
    raw: Text = ""  #: the argument text as the policy wrote it, when it differs from `arguments`


class TokenRecord(BaseModel):
    """Token-level data of one policy reply, exactly as the back-end gave it. Absent fields are None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_ids: list[int] | None = None
    completion_ids: list[int] | None = None
    logprobs: list[float] | None = None  #: natural log, one per completion token
    tokens: list[str] | None = None


class Message(BaseModel):
    """One chat message."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: Text = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: Text | None = None  #: for role "tool": the call it answers
    name: Text | None = None  #: for role "tool": the tool's name
    #: opaque blocks a provider needs back verbatim on the next turn (thinking signatures and the like)
    provider: dict[str, Any] | None = None

    def openai(self) -> dict[str, Any]:
        """The message as OpenAI's chat API and the trainers write it (arguments as an object)."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            out["tool_calls"] = [
                {
                    "id": c.id,
                    "type": "function",
                    "function": {"name": c.name, "arguments": c.arguments if c.arguments is not None else {}},
                }
                for c in self.tool_calls
            ]
        if self.tool_call_id is not None:
            out["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            out["name"] = self.name
        return out


class Observation(BaseModel):
    """What a tool gave back, shortened once; the model and the records see the same text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    is_error: bool = False  #: the call itself was wrong (unknown tool, bad arguments, absent file)
    exit_code: int | None = None
    ended: str = ""  #: `kernel_pool.Ended` for tools that ran a command
    full_bytes: int = 0  #: size of the text before it was shortened
    full_digest: str = ""  #: sha256 of the text before it was shortened
    shortened: bool = False


class Usage(BaseModel):
    """What a policy reply cost. None means the back-end did not say; it is not zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None


class Step(BaseModel):
    """One tool call and its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int  #: 0-based within the branch, prefix included
    turn: int  #: 0-based index of the policy reply that made the call
    message: int  #: index of the assistant message in `Trajectory.messages`
    call: int  #: index of the call within that message
    result: int  #: index of the tool message in `Trajectory.messages`
    tool: Text
    observation: Observation
    started_s: float  #: seconds since the episode began
    seconds: float  #: wall time of the tool
    state: str | None = None  #: digest of the state after the step, when a snapshot was taken
    log_prob: float | None = None  #: of the action, where the policy knows it (natural log)
    labels: tuple[str, ...] = ()


class Turn(BaseModel):
    """One policy reply: its cost and its token data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    message: int  #: index of the assistant message in `Trajectory.messages`
    seconds: float
    finish: str  #: why the policy stopped: stop, tool_calls, length, refusal, context_overflow
    usage: Usage = Usage()
    log_prob: float | None = None
    tokens: TokenRecord | None = None
    effective: dict[str, Any] = Field(default_factory=dict)  #: the sampling that was really used


class Trajectory(BaseModel):
    """Everything that happened from the first message to the end."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Message] = Field(default_factory=list)
    tools: list[dict[str, Any]] = Field(default_factory=list)  #: JSON schemas as the policy saw them
    turns: list[Turn] = Field(default_factory=list)
    steps: list[Step] = Field(default_factory=list)
    prefix_steps: int = 0  #: how many of `steps` were inherited from the parent branch at the fork
    prefix_messages: int = 0
    answer: Text | None = None  #: what `submit` handed in; None when it was never called
    stop: str = (
        ""  #: why the loop stopped: submitted, stopped, refused, steps, tokens, seconds, cost, error, ...
    )
    events: list[dict[str, Any]] = Field(
        default_factory=list
    )  #: malformed calls, refusals, retries, in order

    @property
    def submitted(self) -> bool:
        """Whether the agent handed its work in."""
        return self.answer is not None
