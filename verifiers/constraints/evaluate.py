"""All constraints of a set against the artifacts they are about."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..verdict import CheckResult
from .check import Artifact, Check
from .patterns import PatternTimeout
from .record import Constraint, ConstraintSet

HARD_WEIGHT = 1.0
SOFT_WEIGHT = 0.5


@dataclass(frozen=True)
class Compliance:
    """What a set of constraints found. `results` has one entry a constraint, in the set's order."""

    constraints: ConstraintSet
    results: tuple[CheckResult, ...]
    empty: bool  #: nothing that it is about has anything in it: no text, no file

    @property
    def passed(self) -> bool:
        """No hard constraint is violated or undecided, and there is something to judge: where all constraints
        are soft, empty work does not pass either. The one definition of a pass, everywhere."""
        return not self.empty and not any(r.outcome != "pass" for c, r in self._pairs() if c.level == "hard")

    @property
    def undecided(self) -> bool:
        """No hard constraint is known to be violated, and one could not be told."""
        hard = [r.outcome for c, r in self._pairs() if c.level == "hard"]
        return "fail" not in hard and "error" in hard

    @property
    def score(self) -> float:
        """Weighted share of the constraints that pass, in [0, 1]: a hard one weighs 1, a soft one 0.5."""
        weights = [HARD_WEIGHT if c.level == "hard" else SOFT_WEIGHT for c in self.constraints.constraints]
        passed = sum(w for w, r in zip(weights, self.results, strict=True) if r.outcome == "pass")
        return passed / sum(weights)

    @property
    def violations(self) -> tuple[tuple[Constraint, CheckResult], ...]:
        """What did not pass, most urgent first: hard before soft, then by priority, then in the set's order."""
        found = [pair for pair in self._pairs() if pair[1].outcome != "pass"]
        return tuple(sorted(found, key=lambda pair: (pair[0].level != "hard", -pair[0].priority)))

    def _pairs(self) -> list[tuple[Constraint, CheckResult]]:
        return list(zip(self.constraints.constraints, self.results, strict=True))


def evaluate(constraints: ConstraintSet, artifacts: Mapping[str | None, Artifact]) -> Compliance:
    """Check every constraint; `artifacts` maps each path (None: the answer) to what stands there.

    Blocking, up to seconds for long texts: see `evaluate_async`.
    """
    results = tuple(_result(c, check, artifacts[c.path]) for c, check in constraints)
    return Compliance(constraints, results, all(artifacts[path].empty for path in paths(constraints)))


async def evaluate_async(constraints: ConstraintSet, artifacts: Mapping[str | None, Artifact]) -> Compliance:
    """`evaluate` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(evaluate, constraints, artifacts)


def paths(constraints: ConstraintSet) -> Sequence[str | None]:
    """What has to be read for a set: each path once, in order."""
    return list(dict.fromkeys(constraint.path for constraint in constraints.constraints))


def _result(constraint: Constraint, check: Check, artifact: Artifact) -> CheckResult:
    try:
        finding = check.look(artifact)
    except PatternTimeout as error:
        outcome: Literal["error", "fail"] = "error" if check.has_pattern else "fail"
        return CheckResult(id=constraint.id, outcome=outcome, message=str(error)[:500])
    return CheckResult(
        id=constraint.id,
        outcome="pass" if finding.passed else "fail",
        message=finding.message[:500],
        spans=finding.spans,
    )
