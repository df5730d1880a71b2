"""The visual verifier: open what the work built in a real browser and hold it to the task's visual checks.

The checks are the table `[metadata.rollout_fork.visual]` (`visual_spec.py`); references lie in the task's
tests/. `browser.py` says what a hostile work could try and what remains; the kernel that is looked at is
the task's base with the work's directory over it (`workdir.py`), so that programs the work installed
elsewhere are not there.

Outcomes. The work's own fault is a "fail": a check that does not hold, and with a `cause`
- "build": the declared build command failed; "no_server": the declared server did not answer;
- "timeout", "not_loaded", "action", "page": a page did not load in time, is not there, cannot be used as
  the task says, or cannot be measured;
- "crash": the page took the browser down, which was up before; "oom", "pids", "disk", "output", "cpu": a
  limit;
- "size": a picture has another size than its reference. Pictures are never scaled to fit;
- "outside": an element that is compared reaches out of the viewport, where there is no picture of it.
"unknown" is what the work cannot be blamed for: "no_checks", "bad_spec", "bad_reference" (the task),
"no_browser", "no_pillow", "browser_failed", "driver", "no_landlock", "network", "no_base" (the machinery, `infra=True`).
None of these is ever a pass.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_pool import FileAccessError, Kernel, Limits, Snapshot
from kernel_pool.text import shorten

from .browser import MOUNT, Seen, look
from .submission import Submission
from .verdict import CheckResult, Evidence, Verdict
from .visual_spec import BadVisualSpec, VisualSpec, read_spec
from .workdir import only_workdir

if TYPE_CHECKING:
    from kernel_pool.pool import KernelPool

    from .pixels import Pixels

_EVIDENCE_BYTES = 12 * 1024 * 1024  # all pictures of one verdict


@dataclass
class _Story:
    """What is known so far; becomes the verdict."""

    checks: list[CheckResult] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    cause: str = ""
    notes: list[str] = field(default_factory=list)


class _Ended(Exception):
    """Nothing more can be looked at."""

    def __init__(self, outcome: str, cause: str, reason: str, *, infra: bool = False, log: str = "") -> None:
        super().__init__(reason)
        self.outcome, self.cause, self.reason, self.infra, self.log = outcome, cause, reason, infra, log


class VisualVerifier:
    """Looks at pages and pictures of a submission whose `extras` have a "visual" table."""

    name = "visual"

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        """One verdict; its score is the share of checks that hold. Raises `KernelError`."""
        started, story = time.monotonic(), _Story()
        try:
            log = await self._look(submission, pool, story)
            return self._verdict(submission, story, started, log)
        except _Ended as end:
            failed = end.outcome == "fail"
            return Verdict(
                verifier=self.name,
                outcome="fail" if failed else "unknown",
                score=0.0 if failed else None,
                infra=end.infra,
                reason=end.reason,
                cause=end.cause,
                checks=tuple(story.checks),
                evidence=tuple(story.evidence),
                log=shorten(end.log).text,
                seconds=time.monotonic() - started,
                state=submission.snapshot.digest,
            )

    async def _look(self, submission: Submission, pool: KernelPool, story: _Story) -> str:
        """Fill the story; the log of the work's server."""
        if importlib.util.find_spec("PIL") is None:
            reason = "pictures are compared with Pillow, which is not installed: pip install 'rollout-fork[visual]'"
            raise _Ended("unknown", "no_pillow", reason, infra=True)
        spec = _spec(submission)
        references = await asyncio.to_thread(_references, spec, submission)
        workdir = submission.tests.workdir if submission.tests else "/app"
        if pool.backend.capabilities.network != "none":
            reason = "pages are only looked at where there is no network; set the back-end's network to none"
            raise _Ended("unknown", "network", reason, infra=True)
        state = await _state(spec, submission, pool, workdir)
        async with pool.lease(state, mounts=(MOUNT,)) as kernel:
            await _images(spec, kernel, workdir, references, story)
            if not spec.pages:
                return ""
            seen = await look(kernel, _plan(spec, workdir), _time(spec), pool.backend.capabilities.images)
        await asyncio.to_thread(_pages, spec, seen, references, story)
        if seen.cause:
            raise _Ended(
                "unknown" if seen.infra else "fail", seen.cause, seen.reason, infra=seen.infra, log=seen.log
            )
        return seen.log

    def _verdict(self, submission: Submission, story: _Story, started: float, log: str) -> Verdict:
        passed, total = sum(check.outcome == "pass" for check in story.checks), len(story.checks)
        first = next((check for check in story.checks if check.outcome != "pass"), None)
        reason = f"{passed} of {total} checks hold"
        if first is not None:
            reason += f"; {first.id}: {first.message}"
        return Verdict(
            verifier=self.name,
            outcome="fail" if first is not None else "pass",
            score=passed / total,
            reason=reason[:1000],
            cause=story.cause if first is not None else "",
            checks=tuple(story.checks),
            evidence=tuple(story.evidence),
            seconds=time.monotonic() - started,
            log=shorten("\n".join([*story.notes, log]) if story.notes else log).text,
            state=submission.snapshot.digest,
        )


def _spec(submission: Submission) -> VisualSpec:
    table = submission.extras.get("visual")
    if table is None:
        raise _Ended("unknown", "no_checks", "the task declares no visual checks")
    try:
        return read_spec(table)
    except BadVisualSpec as error:
        raise _Ended("unknown", "bad_spec", f"the task's visual table: {error}", infra=True) from None


def _references(spec: VisualSpec, submission: Submission) -> dict[str, Pixels]:
    """The pictures to compare with. They are read here and never enter a kernel."""
    from .pixels import MAX_BYTES, BadPicture, decode

    found: dict[str, Pixels] = {}
    for name in sorted(set(spec.references())):
        directory = submission.tests.directory.resolve() if submission.tests else Path("/nonexistent")
        path = directory / name
        try:
            if not path.resolve().is_relative_to(directory) or not path.is_file():
                raise BadPicture("it is not a file in the task's tests/")
            if path.stat().st_size > MAX_BYTES:
                raise BadPicture(f"it is larger than {MAX_BYTES} bytes")
            found[name] = decode(path.read_bytes())
        except (BadPicture, OSError) as error:
            raise _Ended("unknown", "bad_reference", f"reference {name}: {error}", infra=True) from None
    return found


async def _state(spec: VisualSpec, submission: Submission, pool: KernelPool, workdir: str) -> Snapshot:
    """The work on the task's base, built when the task says how."""
    if submission.base is None:
        reason = "the submission does not say which state the work started from, so it cannot be told apart"
        raise _Ended("unknown", "no_base", reason, infra=True)
    try:
        state = await only_workdir(pool, submission.base, submission.snapshot, workdir)
        if spec.build is None:
            return state
        async with pool.lease(state) as kernel:
            limits = Limits(wall_s=spec.build_timeout_s)
            result = await kernel.run(["/bin/bash", "-c", spec.build], cwd=workdir, limits=limits)
            if not result.ok:
                how = (
                    f"exited with {result.exit_code}"
                    if result.ended == "exited"
                    else f"ended by {result.ended}"
                )
                log = (result.stdout + result.stderr).decode(errors="replace")
                raise _Ended("fail", "build", f"the build command {how}", log=log)
            built = await kernel.snapshot()
        return await only_workdir(pool, submission.base, built, workdir)
    except ValueError as error:
        raise _Ended("unknown", "bad_spec", str(error), infra=True) from None


async def _images(
    spec: VisualSpec, kernel: Kernel, workdir: str, references: Mapping[str, Pixels], story: _Story
) -> None:
    from .pixels import MAX_BYTES
    from .visual_checks import Finding, judge_image

    for check in spec.images:
        try:
            data = await kernel.read(f"{workdir}/{check.path}", max_bytes=MAX_BYTES)
        except FileAccessError as error:
            finding, data = Finding(f"{check.path}: {error.reason}"), b""
        else:
            finding = await asyncio.to_thread(judge_image, check, data, references[check.reference])
        _add(story, f"image/{check.id}", finding)
        _keep(story, f"{check.id}.png", data)
        _keep(story, f"{check.id}-difference.png", finding.picture)


def _pages(spec: VisualSpec, seen: Seen, references: Mapping[str, Pixels], story: _Story) -> None:
    from .visual_checks import judge

    by_id = {page.id: page for page in seen.pages}
    for page in spec.pages:
        found = by_id.get(page.id)
        if found is None:
            message = seen.reason or "was not looked at"
            story.checks += [_error(f"{page.id}/{check.id}", message) for check in page.checks]
            continue
        _keep(story, f"{page.id}.png", found.png)
        if found.problem:
            story.cause = story.cause or found.problem
            story.checks.append(_error(f"{page.id}/opened", f"{found.problem}: {found.detail}"))
        if found.problem and found.problem != "action":
            story.checks += [
                _error(f"{page.id}/{check.id}", "the page was not there") for check in page.checks
            ]
            continue
        for check in page.checks:
            finding = judge(check, found, references)
            _add(story, f"{page.id}/{check.id}", finding)
            _keep(story, f"{page.id}-{check.id}-difference.png", finding.picture)


def _add(story: _Story, name: str, finding: Any) -> None:
    story.checks.append(finding.result(name))
    story.cause = story.cause or finding.cause


def _error(name: str, message: str) -> CheckResult:
    return CheckResult(id=name, outcome="error", message=message[:1000])


def _keep(story: _Story, name: str, data: bytes) -> None:
    """A picture as evidence, bounded; what cannot be kept is told in the log."""
    from .pixels import BadPicture, bounded_png

    if not data:
        return
    try:
        data, factor = bounded_png(data)
    except BadPicture as error:
        story.notes.append(f"{name} is not kept: {error}")
        return
    if sum(kept.size for kept in story.evidence) + len(data) > _EVIDENCE_BYTES:
        story.notes.append(f"{name} is not kept: there are {_EVIDENCE_BYTES} bytes of pictures already")
        return
    if factor > 1:
        story.notes.append(f"{name} is kept at 1/{factor} of its size")
    story.evidence.append(Evidence.of(name, "image/png", data))


def _plan(spec: VisualSpec, workdir: str) -> dict[str, Any]:
    from .visual_checks import queries

    pages = [
        {
            **page.model_dump(mode="json", include={"id", "path", "viewport", "load_timeout_s", "actions"}),
            "queries": queries(page),
        }
        for page in spec.pages
    ]
    own = spec.model_dump(mode="json", include={"serve", "url", "ready_timeout_s", "root"})
    return {**own, "workdir": workdir, "pages": pages}


def _time(spec: VisualSpec) -> float:
    return spec.timeout_s + (spec.ready_timeout_s if spec.serve else 0.0)
