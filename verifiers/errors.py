"""The errors of the verifier layer.

    VerifierError                   a verifier was set up wrongly; nothing was verified
    ├── EmptyPipeline               a pipeline without a verifier, or without a gate
    ├── BadPipeline                 a name twice, a weight that is no weight
    └── ConstraintError             constraints that cannot be checked; carries every problem

What goes wrong while verifying is no error but a `Verdict`: "fail" when the work is at fault, "unknown" when
nobody can tell, with `infra=True` when it was the machinery. Only `kernel_pool.KernelError` leaves `verify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class VerifierError(ValueError):
    """A verifier was set up wrongly. Says what and what to do."""


class EmptyPipeline(VerifierError):
    """Nothing that could fail: a pipeline without criteria would pass everything."""


class BadPipeline(VerifierError):
    """The parts of a pipeline contradict each other."""


@dataclass(frozen=True)
class ConstraintProblem:
    """What is wrong with one constraint of a list."""

    index: int  #: 0-based place in the list
    constraint_id: str  #: "" when it has none
    message: str

    def __str__(self) -> str:
        name = f" ({self.constraint_id})" if self.constraint_id else ""
        return f"constraint {self.index + 1}{name}: {self.message}"


class ConstraintError(VerifierError):
    """Constraints cannot be checked: unknown methods, bad arguments, contradictions."""

    def __init__(self, problems: Sequence[ConstraintProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[ConstraintError], tuple[tuple[ConstraintProblem, ...]]]:
        return type(self), (self.problems,)
