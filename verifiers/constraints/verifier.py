"""The constraint verifier: does the answer, or a file of the finished work, do what the task's constraints ask?

Where the constraints come from: `submission.extras["constraints"]`, which are the tables
`[[metadata.rollout_fork.constraints]]` of a task.toml, and the verifier's own option, which adds its constraints
to those of every task. Both are one set then: an id that both have, or demands of one that contradict the other's,
are "bad_constraint".

Outcomes: "fail" when a hard constraint is violated (an absent, empty, overlong or undecodable text violates
every one that is about it; text without a visible character is empty); "unknown" without `infra` and with a cause when it is not the work's fault:
"no_constraints" and "bad_constraint" (the task is wrong), "timeout" (a pattern of the task's that does not end;
if another hard constraint is violated, that decides). Soft constraints lower the score and never the outcome; where
there are only soft ones, any work passes with the score they give, except work that is empty: that fails.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernel_pool import FileAccessError

from ..errors import ConstraintError
from ..submission import Submission
from ..verdict import Verdict
from .check import Artifact
from .evaluate import Compliance, evaluate_async, paths
from .record import ConstraintSet, read_constraints

if TYPE_CHECKING:
    from kernel_pool.kernel import Kernel
    from kernel_pool.pool import KernelPool

#: A file larger than this is not read, and violates whatever is asked of it.
MAX_BYTES = 1024 * 1024
_PROBLEMS = {
    FileAccessError.ABSENT: "absent",
    FileAccessError.NOT_A_FILE: "not a file",
    FileAccessError.DENIED: "not a file",
    FileAccessError.TOO_LARGE: "too large",
}


class ConstraintVerifier:
    """Checks a set of constraints. The score is the weighted share that passes (hard 1, soft 0.5)."""

    name = "constraints"

    def __init__(self, constraints: Sequence[Mapping[str, Any]] | None = None) -> None:
        """`constraints` are asked of every task, beside the task's own. Raises `ConstraintError`."""
        self._own = None if constraints is None else read_constraints(constraints)

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        """One verdict with a check for each constraint. Raises `KernelError`."""
        started = time.monotonic()
        try:
            constraints = joined(self._own, submission.extras.get("constraints"))
        except ConstraintError as error:
            return self._unknown(submission, "bad_constraint", str(error)[:1000])
        if constraints is None:
            return self._unknown(submission, "no_constraints", "the task brings no constraints")
        found = await evaluate_async(constraints, await _artifacts(constraints, submission, pool))
        if found.undecided:
            reason = "; ".join(f"{r.id}: {r.message}" for r in found.results if r.outcome == "error")
            verdict = self._unknown(submission, "timeout", reason[:1000])
            return verdict.model_copy(update={"checks": found.results, "seconds": time.monotonic() - started})
        return Verdict(
            verifier=self.name,
            outcome="pass" if found.passed else "fail",
            score=found.score,
            reason=_reason(found),
            checks=found.results,
            seconds=time.monotonic() - started,
            state=submission.snapshot.digest,
        )

    def _unknown(self, submission: Submission, cause: str, reason: str) -> Verdict:
        return Verdict(
            verifier=self.name,
            outcome="unknown",
            reason=reason,
            cause=cause,
            state=submission.snapshot.digest,
        )


def joined(own: ConstraintSet | None, tables: Any) -> ConstraintSet | None:
    """A verifier's own constraints and a task's tables as one set, the task's first; None when there are neither.

    Raises `ConstraintError` for tables that are broken, and for sets that cannot be asked together: an id twice,
    a contradiction, too many.
    """
    if tables is None:
        return own
    theirs = read_constraints(tables)
    if own is None:
        return theirs
    try:
        return read_constraints([*theirs.constraints, *own.constraints])
    except ConstraintError as error:
        where = f"(1 to {len(theirs)} are the task's, the others the verifier's own)"
        raise ConstraintError(
            [replace(problem, message=f"{problem.message} {where}") for problem in error.problems]
        ) from None


async def _artifacts(
    constraints: ConstraintSet, submission: Submission, pool: KernelPool
) -> dict[str | None, Artifact]:
    """What the constraints are about; files from one fresh fork of the finished state."""
    wanted = paths(constraints)
    found: dict[str | None, Artifact] = {}
    files = [path for path in wanted if path is not None]
    if None in wanted:
        found[None] = Artifact.of(submission.answer)
    if files:
        async with pool.lease(submission.snapshot) as kernel:
            for path in files:
                found[path] = await _file(kernel, path)
    return found


async def _file(kernel: Kernel, path: str) -> Artifact:
    """A file's text. The kernel reads within its own walls, so a link leads nowhere else."""
    try:
        data = await kernel.read(path, max_bytes=MAX_BYTES)
    except FileAccessError as error:
        return Artifact(problem=_PROBLEMS.get(error.reason, error.reason))
    try:
        return Artifact(data.decode("utf-8"), len(data))
    except UnicodeDecodeError:
        return Artifact(size=len(data), problem="no UTF-8 text")


def _reason(found: Compliance) -> str:
    told = "; ".join(f"{c.id} ({c.level}): {r.message}" for c, r in found.violations[:5])
    more = len(found.violations) - 5
    return (told + (f"; and {more} more" if more > 0 else "")) or f"all {len(found.results)} constraints hold"
