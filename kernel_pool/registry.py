"""Implementations by name, imported when they are asked for."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, get_type_hints

from .errors import UnsupportedFeature
from .kernel import Backend

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps a name to "module:Name" and imports that module only when the name is asked for."""

    def __init__(self, kind: str, known: Mapping[str, str]) -> None:
        """`kind` is what messages call an entry, "policy" for instance."""
        self.kind = kind
        self._known = dict(known)

    def register(self, name: str, target: str) -> None:
        """Add an implementation as "module:Name"; a name that is known is replaced."""
        if not all(target.partition(":")):
            raise ValueError(f"{self.kind} {name!r}: {target!r} has to be of the form 'module:Name'")
        self._known[name] = target

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._known)

    def load(self, name: str) -> T:
        """The class (or factory) behind a name. Raises `KeyError` with the nearest name on a miss."""
        if name not in self._known:
            near = difflib.get_close_matches(name, self._known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self.names())}"
            raise KeyError(f"no {self.kind} named {name!r}; {hint}")
        module, _, attribute = self._known[name].partition(":")
        return cast(T, getattr(importlib.import_module(module), attribute))


BACKENDS: Registry[type[Backend]] = Registry(
    "back-end",
    {
        "docker": "kernel_pool.backends.docker:DockerBackend",
        "e2b": "kernel_pool.backends.e2b_cloud:E2BBackend",
        "local": "kernel_pool.backends.local:LocalBackend",
        "subprocess": "kernel_pool.backends.subprocess:SubprocessBackend",
    },
)


def backend(name: str, **options: Any) -> Backend:
    """A new back-end. `state_dir` may be text. Raises `UnsupportedFeature` for an unknown name or option."""
    try:
        cls = BACKENDS.load(name)
    except KeyError as error:
        raise UnsupportedFeature(str(error.args[0])) from None
    if isinstance(options.get("state_dir"), str):
        options["state_dir"] = Path(options["state_dir"]).expanduser()
    try:
        inspect.signature(cls).bind(**options)
    except TypeError as error:
        known = ", ".join(inspect.signature(cls).parameters)
        raise UnsupportedFeature(f"back-end {name}: {error}; its options are {known}") from None
    return cls(**_typed(name, cls, options))


def _typed(name: str, cls: type[Backend], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the types that the back-end declares for them."""
    if not options:
        return {}
    from pydantic import TypeAdapter, ValidationError

    hints = get_type_hints(cls.__init__)
    checked = {}
    for option, value in options.items():
        try:
            checked[option] = TypeAdapter(hints[option]).validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise UnsupportedFeature(f"back-end {name}: option {option} is {value!r:.80}: {reason}") from None
    return checked
