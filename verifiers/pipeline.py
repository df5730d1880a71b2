"""Several verifiers as one: weights for the score, gates for the pass, cheap ones first."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
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
    timeout_s: float | None = None  #: seconds for each run of the verifier; None: only its own limits
    repeats: int = 1  #: runs of the verifier, each on its own; all must pass
    stage: int = 0  #: parts of a later stage run only when every gate of the earlier ones has passed
    when: Callable[[Submission], bool] | None = None  #: whether it applies to a submission; None: always


class Pipeline:
    """Runs its parts stage by stage, those of one stage concurrently, and combines their verdicts.

    Passes when every gate passes; fails when a gate fails; otherwise unknown. A part that breaks or overruns its
    own time-out is unknown with `infra=True`: never a pass, and not the work's failure. Parts that were not
    reached are unknown with the cause "not_reached".

    The score is the weighted mean of the parts; without a decision there is none, nor where a part with a weight
    could not tell: a mean over fewer parts would be on another scale than the siblings'. What was not reached
    earns nothing, so that work which fails early never scores above the same work further on.

    A submission to which no gate applies has no criteria: the outcome is unknown with the cause "no_criteria".
    """

    def __init__(
        self,
        parts: Sequence[Part | tuple[Verifier, float] | tuple[Verifier, float, bool]],
        name: str = "pipeline",
    ) -> None:
        """Tuples are (verifier, weight) or (verifier, weight, gate).

        Raises `EmptyPipeline` without a gate, `BadPipeline` for double names and impossible numbers.
        """
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
            if part.repeats < 1:
                raise BadPipeline(f"verifier {part.verifier.name}: {part.repeats} repeats; at least 1")
        if sum(part.weight for part in self._parts) <= 0:
            raise BadPipeline("all weights are 0, so there would be no score")

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of all parts, in order, whether they apply to a submission or not."""
        return tuple(part.verifier.name for part in self._parts)

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        """The combined verdict, with those of the parts in `parts`. Never raises for a part that breaks."""
        started = time.monotonic()
        parts = [part for part in self._parts if part.when is None or part.when(submission)]
        if not any(part.gate for part in parts):
            reason = "nothing of the task says what a pass is: it brings no tests and declares no checks"
            return self._verdict(submission, started, "unknown", reason, cause="no_criteria")
        verdicts: dict[str, Verdict] = {}
        reached = True
        for _stage, group in groupby(sorted(parts, key=lambda part: part.stage), lambda part: part.stage):
            of_stage = list(group)
            if reached:
                async with asyncio.TaskGroup() as tasks:
                    running = [tasks.create_task(_repeated(part, submission, pool)) for part in of_stage]
                found = [task.result() for task in running]
            else:
                found = [_not_reached(part, submission) for part in of_stage]
            verdicts |= {part.verifier.name: verdict for part, verdict in zip(of_stage, found, strict=True)}
            reached = all(
                verdicts[part.verifier.name].passed for part in parts if part.gate and part in of_stage
            )
        return self._combined(submission, started, parts, verdicts)

    def _combined(
        self, submission: Submission, started: float, parts: Sequence[Part], verdicts: dict[str, Verdict]
    ) -> Verdict:
        ran = [part for part in parts if verdicts[part.verifier.name].cause != NOT_REACHED]
        gates = [verdicts[part.verifier.name] for part in ran if part.gate]
        outcome = _outcome(gates)
        undecided = [verdict for verdict in gates if verdict.outcome == "unknown"]
        return self._verdict(
            submission,
            started,
            outcome,
            _reason(outcome, gates),
            cause=next((verdict.cause for verdict in gates if verdict.outcome == outcome), ""),
            score=None if outcome == "unknown" else _score(parts, verdicts, outcome),
            infra=outcome == "unknown" and any(verdict.infra for verdict in undecided),
            parts=tuple(verdicts[part.verifier.name] for part in parts),
        )

    def _verdict(
        self,
        submission: Submission,
        started: float,
        outcome: Outcome,
        reason: str,
        *,
        cause: str,
        score: float | None = None,
        infra: bool = False,
        parts: tuple[Verdict, ...] = (),
    ) -> Verdict:
        return Verdict(
            verifier=self.name,
            outcome=outcome,
            score=score,
            infra=infra,
            reason=reason,
            cause=cause,
            seconds=time.monotonic() - started,
            parts=parts,
            state=submission.snapshot.digest,
        )


NOT_REACHED = "not_reached"


def _score(parts: Sequence[Part], verdicts: dict[str, Verdict], outcome: Outcome) -> float | None:
    weighed = []
    for part in parts:
        if part.weight > 0:
            verdict = verdicts[part.verifier.name]
            score = 0.0 if verdict.cause == NOT_REACHED else verdict.score
            if score is None:
                return None
            weighed.append((part.weight, score))
    total = math.fsum(weight for weight, _ in weighed)
    if total <= 0:  # no part with a weight applies
        return 1.0 if outcome == "pass" else 0.0
    return min(1.0, math.fsum(weight * score for weight, score in weighed) / total)


async def _repeated(part: Part, submission: Submission, pool: KernelPool) -> Verdict:
    """The verdict of a part: with repeats that of its worst run, which tells how many of them passed."""
    if part.repeats == 1:
        return await guarded(part.verifier, submission, pool, timeout_s=part.timeout_s)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(guarded(part.verifier, submission, pool, timeout_s=part.timeout_s))
            for _ in range(part.repeats)
        ]
    runs = [task.result() for task in running]
    passes = sum(run.passed for run in runs)
    worst = min(runs, key=lambda run: ("fail", "unknown", "pass").index(run.outcome))
    reason = worst.reason if passes < len(runs) else f"all {len(runs)} runs passed"
    if 0 < passes < len(runs):
        reason = f"{passes} of {len(runs)} runs passed; of those that did not: {worst.reason}"
    return worst.model_copy(
        update={
            "parts": tuple(runs),
            "runs": len(runs),
            "passes": passes,
            "reason": reason,
            "seconds": math.fsum(run.seconds for run in runs),
        }
    )


async def guarded(
    verifier: Verifier, submission: Submission, pool: KernelPool, *, timeout_s: float | None = None
) -> Verdict:
    """What a verifier says; what breaks in it, or takes longer than `timeout_s` seconds, is unknown, `infra=True`.

    A verifier may be anybody's: what is no verdict, or has a score that is no number, counts as broken. Raises only
    when the caller is cancelled.
    """
    cause = "broken"
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s) as clock:
            return _checked(await verifier.verify(submission, pool))
    except TimeoutError as error:
        cause = "timeout" if clock.expired() else cause
        reason = f"the verifier took longer than {timeout_s:g} s" if clock.expired() else _told(error)
    except KernelError as error:
        cause, reason = "kernel", _told(error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        reason = f"the verifier broke: {_told(error)}"
    except Exception as error:  # noqa: BLE001 - verifiers are plug-ins; one that breaks must not end the others
        reason = f"the verifier broke: {_told(error)}"
    return _unknown(verifier, submission, reason, cause, infra=True, seconds=time.monotonic() - started)


def _checked(verdict: object) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise TypeError(f"it returned {type(verdict).__name__} and no Verdict")
    if verdict.score is not None and not math.isfinite(verdict.score):
        raise ValueError(f"its score is {verdict.score}, which is no number")
    return verdict


def _not_reached(part: Part, submission: Submission) -> Verdict:
    return _unknown(part.verifier, submission, "an earlier gate did not pass", NOT_REACHED)


def _unknown(
    verifier: Verifier,
    submission: Submission,
    reason: str,
    cause: str,
    *,
    infra: bool = False,
    seconds: float = 0.0,
) -> Verdict:
    return Verdict(
        verifier=verifier.name,
        outcome="unknown",
        infra=infra,
        reason=reason,
        cause=cause,
        seconds=seconds,
        state=submission.snapshot.digest,
    )


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:1000]


def _outcome(gates: Sequence[Verdict]) -> Outcome:
    outcomes = {verdict.outcome for verdict in gates}
    if "fail" in outcomes:
        return "fail"
    return "pass" if outcomes == {"pass"} else "unknown"


def _reason(outcome: Outcome, gates: Sequence[Verdict]) -> str:
    if outcome == "pass":
        return "; ".join(f"{verdict.verifier}: {verdict.reason}" for verdict in gates)
    return "; ".join(f"{v.verifier} {v.outcome}: {v.reason}" for v in gates if v.outcome == outcome)
