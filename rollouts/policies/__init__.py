"""Policies: what decides the next action. Found by name, built from checked options."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kernel_pool.registry import Registry

from ..errors import ConfigError
from .policy import Finish, Policy, PolicyReply

#: name -> "module:Class". A policy of your own: `POLICIES.register("mine", "my_package.module:MyPolicy")`.
POLICIES: Registry[Callable[..., Policy]] = Registry(
    "policy",
    {
        "mutation": "rollouts.policies.mutation:MutationPolicy",
        "anthropic": "rollouts.policies.anthropic_policy:AnthropicPolicy",
        "openai": "rollouts.policies.openai_policy:OpenAIPolicy",
        "scripted": "rollouts.policies.scripted:ScriptedPolicy",
        "replay": "rollouts.policies.replay:ReplayPolicy",
    },
)

__all__ = ["POLICIES", "Finish", "Policy", "PolicyReply", "make_policy"]

_Options = TypeVar("_Options", bound=BaseModel)


def make_policy(name: str, options: Mapping[str, Any] | None = None) -> Policy:
    """The policy registered under `name`.

    A policy class with a pydantic model in its attribute `Options` gets a checked instance of it as its one
    argument; any other class gets the options as keywords. Raises `ConfigError` for an unknown name or
    option (with the nearest known one) and `EnvironmentLacks` for a key or an extra that is not there.
    """
    try:
        cls = POLICIES.load(name)
    except KeyError as error:
        raise ConfigError(f"policy.name: {error.args[0]}") from None
    given = dict(options or {})
    schema = getattr(cls, "Options", None)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return cls(check_options(name, schema, given))
    signature = inspect.signature(cls)
    try:
        signature.bind(**given)
    except TypeError as error:
        known = ", ".join(signature.parameters)
        raise ConfigError(f"policy.options of {name!r}: {error}; known: {known}") from None
    return cls(**given)


def check_options(name: str, schema: type[_Options], given: Mapping[str, Any]) -> _Options:
    """`given` as an instance of `schema`, or a `ConfigError` that names the option and the mend."""
    try:
        return schema.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError(_explain(name, schema, error)) from None


def _explain(name: str, schema: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or "(all)"
    if first["type"] == "extra_forbidden":
        known = list(schema.model_fields)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        message = f"unknown option {path}; {mend}"
    elif first["type"] == "missing":
        message = f"{path} is needed, for instance --set policy.options.{path}=..."
    else:
        message = f"{path}: {first['msg']} (found {first.get('input')!r:.60})"
    more = error.error_count() - 1
    return f"policy.options of {name!r}: {message}" + (f" (and {more} more)" if more else "")
