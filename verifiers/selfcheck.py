"""The contract of every verifier, as code: run it on your own.

problems = await check_verifier(MyVerifier(), pool, good=submission_that_passes, bad=one_that_does_not)
assert not problems, problems
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kernel_pool import KernelError

from .submission import Submission
from .verdict import Verdict
from .verifier import Verifier

if TYPE_CHECKING:
    from kernel_pool.pool import KernelPool


async def check_verifier(
    verifier: Verifier, pool: KernelPool, *, good: Submission, bad: Submission
) -> list[str]:
    """What breaks the contract, one sentence each; empty when nothing does.

    `good` is work the verifier should pass, `bad` work it should not. Both are verified several times.
    """
    problems: list[str] = []
    if not verifier.name or verifier.name != verifier.name.strip():
        problems.append(f"name must be a word, not {verifier.name!r}")
    first, second, failing = await asyncio.gather(
        verifier.verify(good, pool), verifier.verify(good, pool), verifier.verify(bad, pool)
    )
    problems += _well_formed(verifier, good, first) + _well_formed(verifier, bad, failing)
    if not first.passed:
        problems.append(f"good work must pass, got {first.outcome}: {first.reason}")
    if failing.passed:
        problems.append(f"bad work must not pass: {failing.reason}")
    if failing.outcome == "fail" and failing.score == 1.0:
        problems.append("work that fails must not have the full score")
    if (first.outcome, first.score) != (second.outcome, second.score):
        problems.append("the same work verified twice at once must give the same outcome and score")
    again = await verifier.verify(good, pool)
    if (again.outcome, again.score) != (first.outcome, first.score):
        problems.append("verifying must leave the submission as it was: a later verdict differs")
    problems += await _bounded(verifier, good, pool)
    return problems


def _well_formed(verifier: Verifier, submission: Submission, verdict: Verdict) -> list[str]:
    found = []
    if verdict.verifier != verifier.name:
        found.append(f"the verdict names {verdict.verifier!r}, the verifier is {verifier.name!r}")
    if verdict.state != submission.snapshot.digest:
        found.append("the verdict must name the state that was verified (the snapshot's digest)")
    if verdict.outcome == "unknown" and verdict.score is not None:
        found.append(f"unknown has no score, got {verdict.score}")
    if verdict.outcome != "unknown" and verdict.score is None:
        found.append(f"{verdict.outcome} needs a score")
    if verdict.infra and verdict.outcome != "unknown":
        found.append("infra means that the outcome is unknown")
    if verdict.outcome != "pass" and not verdict.reason:
        found.append("whatever is not a pass needs a reason")
    if len(verdict.log) > 200_000:
        found.append(f"the log must be shortened, it has {len(verdict.log)} characters")
    return found


async def _bounded(verifier: Verifier, good: Submission, pool: KernelPool) -> list[str]:
    """Cancelling a verification ends it and gives its kernels back."""
    task = asyncio.ensure_future(verifier.verify(good, pool))
    await asyncio.sleep(0.02)
    task.cancel()
    try:
        async with asyncio.timeout(10):
            await asyncio.gather(task, return_exceptions=True)
            async with pool.lease(good.snapshot):
                pass
    except TimeoutError:
        return ["a cancelled verification must end within 10 s and free its kernels"]
    except KernelError as error:
        return [f"after a cancelled verification the pool no longer serves: {error}"]
    return []
