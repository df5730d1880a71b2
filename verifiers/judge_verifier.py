"""The judge as a verifier: a rubric score of one work, for rewards and gates beside the objective checks.

It is shown the task, the diff, the answer and the last output, never what another verifier said. What it scores is
an opinion: give it a weight and no gate where tests decide, and calibrate it first (`rollouts audit judge`).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from .errors import VerifierError
from .judge import Asked, Score
from .judge_prompt import TOP_SCORE, Work
from .submission import Submission
from .verdict import CheckResult, Verdict

if TYPE_CHECKING:
    from kernel_pool.pool import KernelPool


class JudgeVerifier:
    """Passes work that a judge gives at least `pass_at` of the full score.

    An answer that is none, a time-out, a refusal, a spent budget or an endpoint that fails is "unknown" with that
    cause and `infra=True`. Work that changed nothing and answered nothing fails unasked: empty work passes nothing.
    """

    name = "judge"

    def __init__(self, judge: Asked, pass_at: float = 0.5) -> None:
        """Raises `VerifierError` unless 0 < pass_at <= 1."""
        if isinstance(pass_at, bool) or not (
            isinstance(pass_at, int | float) and math.isfinite(pass_at) and 0 < pass_at <= 1
        ):
            raise VerifierError(f"judge: pass_at {pass_at!r} is not above 0 and at most 1")
        self._judge, self._pass_at = judge, float(pass_at)

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        """One verdict; its score is the mean over criteria, its checks are the criteria."""
        started = time.monotonic()
        if not submission.diff.strip() and not submission.answer.strip():
            return self._verdict(submission, started, Score(0.0, reason="no change and no answer"))
        work = Work.of(submission.diff, submission.answer, submission.messages)
        return self._verdict(submission, started, await self._judge.score(submission.instruction, work))

    def _verdict(self, submission: Submission, started: float, found: Score) -> Verdict:
        seconds, state = time.monotonic() - started, submission.snapshot.digest
        if found.value is None:
            return Verdict(
                verifier=self.name,
                outcome="unknown",
                infra=True,
                reason=f"no score: {found.reason}",
                cause=found.cause,
                seconds=seconds,
                state=state,
            )
        passed = found.value >= self._pass_at
        return Verdict(
            verifier=self.name,
            outcome="pass" if passed else "fail",
            score=found.value,
            reason=f"the judge gives {found.value:.2f}; {self._pass_at:g} passes",
            checks=tuple(self._check(name, value) for name, value in found.criteria.items()),
            log=found.reason[:4000],
            seconds=seconds,
            state=state,
        )

    def _check(self, criterion: str, value: float) -> CheckResult:
        held = value >= self._pass_at * TOP_SCORE
        return CheckResult(
            id=f"judge/{criterion}", outcome="pass" if held else "fail", message=f"{value:g} of {TOP_SCORE}"
        )
