"""Policies: what decides the next action. Found by name, built from checked options."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from kernel_pool.registry import Registry

from ..errors import ConfigError
from .place import COMMAND, OptionError, Place
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

__all__ = [
    "COMMAND",
    "POLICIES",
    "Finish",
    "Place",
    "Policy",
    "PolicyReply",
    "check_converses",
    "make_policy",
]


def make_policy(name: str, options: Mapping[str, Any] | None = None, place: Place | None = None) -> Policy:
    """The policy registered under `name`.

    A policy class with a pydantic model in its attribute `Options` gets a checked instance of it as its one
    argument; any other class gets the options as keywords. Raises `ConfigError` for an unknown name or
    option (with the nearest known one, and with the place where both are given: None for the config's section
    `policy`) and `EnvironmentLacks` for a key or an extra that is not there.
    """
    place = place or Place()
    try:
        cls = POLICIES.load(name)
    except KeyError as error:
        raise ConfigError(f"{place.name}: {error.args[0]}") from None
    given = dict(options or {})
    try:
        return _made(cls, name, given, place)
    except OptionError as error:
        raise ConfigError(f"{place.option(error.option)}: {error.reason}") from None


def check_converses(policy: Policy, place: Place) -> None:
    """Raises `ConfigError` for a policy that does not answer in words, where nothing else is wanted of it."""
    if not getattr(policy, "converses", False):  # somebody's own policy may be older than the attribute
        raise ConfigError(
            f"{place.name}: the policy {policy.name!r} does not answer questions; choose one with a language model, "
            "for instance openai or anthropic"
        )


def _made(cls: Callable[..., Policy], name: str, given: dict[str, Any], place: Place) -> Policy:
    schema = getattr(cls, "Options", None)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            options = schema.model_validate(given)
        except ValidationError as error:
            raise ConfigError(_explain(name, schema, error, place)) from None
        return cls(options)
    signature = inspect.signature(cls)
    try:
        signature.bind(**given)
    except TypeError as error:
        known = ", ".join(signature.parameters)
        raise ConfigError(f"{place.options} of {name!r}: {error}; known: {known}") from None
    return cls(**given)


def _explain(name: str, schema: type[BaseModel], error: ValidationError, place: Place) -> str:
    """The first problem as one line that names the option and the mend."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or "(all)"
    if first["type"] == "extra_forbidden":
        known = list(schema.model_fields)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        message = f"unknown option {path}; {mend}"
    elif first["type"] == "missing":
        message = f"{path} is needed, for instance {place.give(path)}"
    else:
        message = f"{path}: {first['msg']} (found {first.get('input')!r:.60})"
    more = error.error_count() - 1
    return f"{place.options} of {name!r}: {message}" + (f" (and {more} more)" if more else "")
