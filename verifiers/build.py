"""The build verifier: run a task's own tests against a fresh fork of the finished work.

What an agent may have prepared, and why it gains nothing by it:
- edited, deleted or replaced tests: the task's tests are laid read-only over theirs;
- a daemon, shell functions, PATH, aliases: the fork has no processes, and commands are executed as
  sequences in the base's own environment;
- conftest.py, pytest.ini, pytest.py, sitecustomize.py, packages under ~/.local: see `pytest_command.py` and
  `runs.py`;
- a reward file or report written beforehand: /logs is emptied, and the report has a name nobody could know;
- sys.exit(0) or os._exit(0) in the code under test: a run without a complete report has failed, whatever its
  exit code, and every test that the files define must be in it;
- skipping: a skipped test counts as not passed unless the test file itself marks it;
- whatever makes tests pass from within, because the work runs inside the test process (patched pytest, reports
  rewritten, objects that equal everything, expected values read from the tests as they run): work that passed
  is tested once more with expectations that are wrong, and must fail then (`control.py`).

What remains: work that knows of the control run and finds out which of the two it is in, for instance by where the
tests are mounted from, and forges only the other; tests of which no expectation can be changed, and directories too
large to copy; and results other than pytest's, where a script's reward or exit code is taken as it comes.

Outcomes: a time-out, a flood of output or a missing report is a "fail" with score 0 (work that hangs has not
passed). "unknown" is kept for what the work cannot be blamed for: no tests, an unusable reward file, a test
command that cannot be pinned, a kernel without pytest; where the state before the work is known, the same tests
must be impossible there as well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kernel_pool import Limits, ReadOnlyMount, Snapshot
from kernel_pool.text import shorten

from .control import controlled
from .runs import Finding, run_tests
from .submission import Submission, TestPlan
from .verdict import CheckResult, Verdict

if TYPE_CHECKING:
    from kernel_pool.pool import KernelPool

_KEPT_CHECKS = 500

# /logs may hold anything, also a link or a directory without permissions. Where / is not the user's, /logs itself
# stays, and has to be empty then; the last line checks the workdir.
_SET_UP = """
chmod -R u+rwX /logs 2>/dev/null
rm -rf /logs 2>/dev/null
[ ! -L /logs ] && { [ ! -e /logs ] || [ -z "$(ls -A /logs 2>&1)" ]; } || exit 8
mkdir -p /logs/verifier /logs/agent /logs/artifacts /logs/home || exit 8
cd "$1" || exit 7
"""


class BuildVerifier:
    """Runs the tests of the submission's `TestPlan` in a fresh fork. `Part.repeats` repeats it."""

    name = "build"

    def __init__(self, limits: Limits | None = None, *, control: bool = True) -> None:
        """`limits` bound the test command; its wall time is the plan's own.

        `control`: test work that passed once more, with expectations that are wrong. It costs passing work one
        more run of its tests, failing work nothing.
        """
        self._limits = limits or Limits()
        self._control = control

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        """One verdict. Raises `KernelError`."""
        plan = submission.tests
        if plan is None:
            finding = Finding("unknown", None, "the task brings no tests", cause="no_tests")
            return self._verdict(submission, finding)
        return await self._run_once(submission, plan, pool)

    async def _run_once(self, submission: Submission, plan: TestPlan, pool: KernelPool) -> Verdict:
        started = time.monotonic()
        finding = await self._run(submission.snapshot, pool, plan, plan.directory)
        if finding.outcome == "unknown":
            finding = await self._blamed(finding, submission, plan, pool)
        if self._control and finding.outcome == "pass" and plan.result == "pytest":
            finding = await controlled(finding, plan, partial(self._run, submission.snapshot, pool))
        return self._verdict(submission, finding, time.monotonic() - started)

    async def _blamed(
        self, finding: Finding, submission: Submission, plan: TestPlan, pool: KernelPool
    ) -> Finding:
        """An unknown result is the work's own failure when the same tests can be run where the work began."""
        if submission.base is None or submission.base.digest == submission.snapshot.digest:
            return finding
        before = await self._run(submission.base, pool, plan, plan.directory)
        if before.outcome == "unknown":
            return finding
        reason = f"{finding.reason}; before the work the same tests could be run"
        return replace(finding, outcome="fail", score=0.0, infra=False, reason=reason, cause="broke_tests")

    async def _run(self, state: Snapshot, pool: KernelPool, plan: TestPlan, tests: Path) -> Finding:
        """The plan's tests as they stand in `tests`, in a fresh fork."""
        mounts = (ReadOnlyMount(tests, plan.target),)
        async with pool.lease(state, mounts=mounts) as kernel:
            ready = await kernel.run(["/bin/sh", "-c", _SET_UP, "sh", plan.workdir], cwd="/")
            if ready.exit_code == 7:
                return Finding("fail", 0.0, f"the working directory {plan.workdir} is gone", result=ready)
            if not ready.ok:
                reason = "/logs could not be prepared"
                return Finding("unknown", None, reason, infra=True, cause="no_logs", result=ready)
            return await run_tests(kernel, plan, self._limits)

    def _verdict(self, submission: Submission, finding: Finding, seconds: float = 0.0) -> Verdict:
        result = finding.result
        full = b"" if result is None else result.stdout
        if result is not None and result.stderr:
            full += b"\n--- stderr ---\n" + result.stderr
        shortened = shorten(full)
        return Verdict(
            verifier=self.name,
            outcome=finding.outcome,
            score=finding.score,
            infra=finding.infra,
            reason=finding.reason,
            cause=finding.cause,
            checks=_kept(finding.checks),
            command=finding.command or ("" if submission.tests is None else submission.tests.command),
            exit_code=None if result is None else result.exit_code,
            ended="" if result is None else result.ended,
            seconds=seconds,
            log=shortened.text,
            log_digest=shortened.full_digest if full else "",
            state=submission.snapshot.digest,
        )


def _kept(checks: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """At most 500, those that did not pass first in line for a place, in the report's order."""
    if len(checks) <= _KEPT_CHECKS:
        return tuple(checks)
    by_need = sorted(range(len(checks)), key=lambda i: (checks[i].outcome == "pass", i))
    return tuple(checks[i] for i in sorted(by_need[:_KEPT_CHECKS]))
