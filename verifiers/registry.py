"""Verifiers by name. A new one is one file and one line here, or one `VERIFIERS.register` of your own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel_pool.registry import Registry

from .errors import VerifierError
from .verifier import Verifier

VERIFIERS: Registry[Callable[..., Verifier]] = Registry(
    "verifier",
    {
        "build": "verifiers.build:BuildVerifier",
        "constraints": "verifiers.constraints.verifier:ConstraintVerifier",
        "judge": "verifiers.judge_verifier:JudgeVerifier",
        "visual": "verifiers.visual:VisualVerifier",
    },
)


def verifier(name: str, **options: Any) -> Verifier:
    """A new verifier. Raises `VerifierError` for an unknown name or option."""
    try:
        make = VERIFIERS.load(name)
    except KeyError as error:
        raise VerifierError(str(error.args[0])) from None
    try:
        return make(**options)
    except TypeError as error:
        raise VerifierError(f"verifier {name}: {error}") from None
