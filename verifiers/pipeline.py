"""Several verifiers as one: weights for the score, gates for the pass."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel_pool import KernelError

from .errors import BadPipeline, EmptyPipeline
from .submission import Submission
from .verdict import Outcome, Verdict
from .verifier import Verifier

if TYPE_CHECKING:
    from kernel_pool.pool import KernelPool


@dataclass(frozen=True)
class Part:
    """One verifier in a pipeline."""

    verifier: Verifier
    weight: float = 1.0  #: its share of the score
    gate: bool = True  #: whether the whole passes only when this one does
    timeout_s: float | None = None  #: seconds for the verifier itself; None: only its own limits


class Pipeline:
    """Runs its parts concurrently and combines their verdicts. A `Verifier` itself.

    Passes when every gate passes; fails when a gate fails; otherwise unknown. The score is the weighted mean
    of the parts that have one; without a decision there is none. A part that breaks or overruns its own
    time-out is unknown with `infra=True`: never a pass, and not the work's failure.
    """

    def __init__(
        self,
        parts: Sequence[Part | tuple[Verifier, float] | tuple[Verifier, float, bool]],
        name: str = "pipeline",
    ) -> None:
        """Tuples are (verifier, weight) or (verifier, weight, gate). Raises `EmptyPipeline` without a gate, `BadPipeline` for double names and impossible weights."""
        self.name = name
        self._parts = tuple(part if isinstance(part, Part) else Part(*part) for part in parts)
        if not any(part.gate for part in self._parts):
            raise EmptyPipeline("a pipeline needs at least one gate; without one it would pass anything")
        names = [part.verifier.name for part in self._parts]
        twice = sorted({each for each in names if names.count(each) > 1})
        if twice:
            raise BadPipeline(f"verifier {twice[0]} is in the pipeline twice; give one of them another name")
        for part in self._parts:
            if not math.isfinite(part.weight) or part.weight < 0:
                raise BadPipeline(f"verifier {part.verifier.name}: weight {part.weight} is not 0 or above")
        if sum(part.weight for part in self._parts) <= 0:
            raise BadPipeline("all weights are 0, so there would be no score")

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        """The combined verdict, with those of the parts in `parts`. Never raises for a part that breaks."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_guarded(part, submission, pool)) for part in self._parts]
        verdicts = [task.result() for task in tasks]
        gates = [verdict for part, verdict in zip(self._parts, verdicts, strict=True) if part.gate]
        outcome = _combined(gates)
        undecided = [verdict for verdict in gates if verdict.outcome == "unknown"]
        return Verdict(
            verifier=self.name,
            outcome=outcome,
            score=None if outcome == "unknown" else self._score(verdicts),
            infra=outcome == "unknown" and any(verdict.infra for verdict in undecided),
            reason=_reason(outcome, gates),
            seconds=time.monotonic() - started,
            parts=tuple(verdicts),
            state=submission.snapshot.digest,
        )

    def _score(self, verdicts: Sequence[Verdict]) -> float | None:
        weighed = [
            (part.weight, verdict.score)
            for part, verdict in zip(self._parts, verdicts, strict=True)
            if verdict.score is not None and part.weight > 0
        ]
        total = math.fsum(weight for weight, _ in weighed)
        if total <= 0:
            return None
        return min(1.0, math.fsum(weight * score for weight, score in weighed) / total)


async def _guarded(part: Part, submission: Submission, pool: KernelPool) -> Verdict:
    name, digest = part.verifier.name, submission.snapshot.digest
    started = time.monotonic()
    try:
        async with asyncio.timeout(part.timeout_s) as clock:
            return await part.verifier.verify(submission, pool)
    except TimeoutError as error:
        reason = f"the verifier took longer than {part.timeout_s:g} s" if clock.expired() else _told(error)
    except KernelError as error:
        reason = _told(error)
    except Exception as error:  # noqa: BLE001 - verifiers are plug-ins; one that breaks must not end the others
        reason = f"the verifier broke: {_told(error)}"
    return Verdict(
        verifier=name,
        outcome="unknown",
        infra=True,
        reason=reason,
        seconds=time.monotonic() - started,
        state=digest,
    )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:1000]


def _combined(gates: Sequence[Verdict]) -> Outcome:
    outcomes = {verdict.outcome for verdict in gates}
    if "fail" in outcomes:
        return "fail"
    return "pass" if outcomes == {"pass"} else "unknown"


def _reason(outcome: Outcome, gates: Sequence[Verdict]) -> str:
    if outcome == "pass":
        return "; ".join(f"{verdict.verifier}: {verdict.reason}" for verdict in gates)
    return "; ".join(f"{v.verifier} {v.outcome}: {v.reason}" for v in gates if v.outcome == outcome)
