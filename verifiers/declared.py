"""The verifiers that tasks themselves declare, as one pipeline: what is used where nobody names others."""

from __future__ import annotations

from collections.abc import Callable

from .pipeline import Part, Pipeline
from .registry import verifier
from .submission import Submission

#: The cheap ones first: (name, stage). Each applies to the tasks that declare it.
DECLARED: tuple[tuple[str, int], ...] = (("constraints", 0), ("build", 1), ("visual", 2))

#: What a task has to bring for a verifier to apply to it; verifiers not named here apply always.
APPLIES: dict[str, Callable[[Submission], bool]] = {
    "build": lambda work: work.tests is not None and bool(work.tests.command),
    "visual": lambda work: "visual" in work.extras,
    "constraints": lambda work: "constraints" in work.extras,
}


def declared() -> Pipeline:
    """A pipeline of `DECLARED`, each with weight 1 and a gate."""
    return Pipeline([Part(verifier(name), stage=stage, when=APPLIES[name]) for name, stage in DECLARED])
