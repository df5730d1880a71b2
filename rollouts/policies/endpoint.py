"""What the policies that call an endpoint share: clients, keys, errors, and the temperature question."""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Generic, Literal, NoReturn, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..errors import ConfigError, EnvironmentLacks
from ..records import Sampling
from .models import Price

#: Kinds of failure that trying again may mend.
TRANSIENT = frozenset({"rate_limit", "overloaded", "server", "timeout", "connection", "bad_response"})

_BY_STATUS = {
    400: "bad_request",
    401: "auth",
    402: "billing",
    403: "auth",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    422: "bad_request",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
_BY_TYPE = {
    "overloaded_error": "overloaded",
    "rate_limit_error": "rate_limit",
    "authentication_error": "auth",
    "permission_error": "auth",
    "billing_error": "billing",
    "timeout_error": "timeout",
    "not_found_error": "not_found",
    "insufficient_quota": "billing",
}
#: How servers say that the conversation no longer fits (Anthropic, OpenAI, vLLM, SGLang, llama.cpp).
_TOO_LONG = (
    "prompt is too long",
    "exceed context limit",
    "context_length_exceeded",
    "maximum context length",
    "context length is only",
    "longer than the model's context",
    "exceeds the available context size",
    "exceed the model's maximum",
    "input is too long",
)


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    """YAML has dates and infinities; a request has not."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot be sent as JSON ({error})") from None
    return value


#: A mapping that becomes part of a request.
JsonObject = Annotated[dict[str, Any], AfterValidator(_as_json)]


class EndpointOptions(BaseModel):
    """Options of every policy that calls an endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)  #: the model's id at the endpoint
    base_url: str | None = None  #: None: the vendor's own
    max_tokens: int | None = Field(default=None, gt=0)  #: per reply; `Sampling.max_tokens` wins over it
    effort: str | None = None  #: for branches whose sampling names none
    max_retries: int = Field(default=4, ge=0)  #: of rate limits, overloads, server and connection failures
    timeout_s: float = Field(default=600.0, gt=0)  #: without a byte from the server
    price: Price | None = None  #: US dollars per million tokens, instead of the built-in table
    #: "refuse": a plan whose only diversity is a temperature the model refuses is an error; "resample": go
    #: on, the branches then differ by chance alone.
    temperature_fallback: Literal["refuse", "resample"] = "refuse"


class Closable(Protocol):
    """A client that can be closed."""

    def close(self) -> Awaitable[None]:
        """Free its connections."""
        ...


ClientT = TypeVar("ClientT", bound=Closable)


class PerLoop(Generic[ClientT]):
    """One client per event loop, built when first used: connections cannot cross loops or processes."""

    def __init__(self, build: Callable[[], ClientT]) -> None:
        self._build = build
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ClientT] = (
            weakref.WeakKeyDictionary()
        )

    def get(self) -> ClientT:
        """The running loop's client."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = self._build()
        return client

    async def close(self) -> None:
        """Close the running loop's client; those of other loops are let go with their loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()


def key_from(variable: str, policy: str, needed: bool) -> str | None:
    """The key in an environment variable. Keys never stand in options: those are written to the run."""
    key = os.environ.get(variable, "").strip()
    if not key and needed:
        raise EnvironmentLacks(
            f"policy {policy!r} needs a key in the environment variable {variable}; "
            "set it, or give a server that needs none (option base_url)"
        )
    return key or None


def kind_of(status: int | None, body: object) -> str:
    """The word for a failed request, from the error's type in its body first, then from its status."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(inner, dict):
        for name in ("type", "code"):
            if isinstance(word := inner.get(name), str) and word in _BY_TYPE:
                return _BY_TYPE[word]
    if status is None:
        return "server"  # an error within a stream, of a kind that is not known
    return _BY_STATUS.get(status, "server" if status >= 500 else "bad_request" if status >= 400 else "error")


def says_too_long(status: int | None, text: str) -> bool:
    """Whether a refused request was refused because the conversation does not fit any more."""
    lowered = text.lower()
    return status == 413 or (status in (400, 422) and any(words in lowered for words in _TOO_LONG))


def blamed_parameter(text: str, sent: Sequence[str]) -> str | None:
    """The optional parameter, of those that were sent, that a refusal (400) is about."""
    lowered = text.lower()
    return next((name for name in sent if name.lower() in lowered), None)


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str]:
    """(arguments, raw) of a tool call as the model wrote it: no JSON object gives (None, text); `raw` is
    kept whenever writing the arguments again would not give the same text."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None, text
    if not isinstance(value, dict):
        return None, text
    same = text in (json.dumps(value), json.dumps(value, ensure_ascii=False))
    return value, "" if same else text


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def backoff_s(attempt: int) -> float:
    """Seconds to wait before another try of a reply that broke off half-way (0-based)."""
    return float(min(0.25 * 2.0**attempt, 8.0))


def check_temperatures(
    samplings: Sequence[Sampling], model: str, fallback: Literal["refuse", "resample"]
) -> list[str]:
    """What to say of a plan for a model that takes no temperature. Raises `ConfigError` when different
    temperatures are the only thing the branches were to differ in."""
    asked = {s.temperature for s in samplings if s.temperature is not None}
    top_ps = {s.top_p for s in samplings if s.top_p is not None}
    if not asked and not top_ps:
        return []
    what = " and ".join(n for n, values in (("temperature", asked), ("top_p", top_ps)) if values)
    note = f"{model} takes no sampling parameters: {what} will not be sent"
    distinct = len({(s.temperature, s.top_p) for s in samplings}) > 1
    others = len({(s.effort, s.prompt_variant, s.prompt_text, s.max_tokens) for s in samplings}) > 1
    if not distinct:
        return [note]
    if others:
        return [note + "; the branches differ by effort or prompt only"]
    if fallback == "resample":
        return [note + "; the branches differ by chance alone"]
    raise ConfigError(
        f"sampling.temperatures: {model} takes no temperature, and it is all that the branches were to "
        "differ in; vary sampling.prompt_variants or sampling.efforts, use a model that takes one, or accept "
        "plain resampling with policy.options.temperature_fallback=resample"
    )
