"""How strong a verifier is on one task: known hacks that it lets through, and wrong solutions that it passes.

A hack (`exploits/`) is prepared in a kernel that stands at the task's unsolved state: whatever it does, the task
is not solved, so a pass is a hole in the verifier. A mutant is the reference solution with one small change: a
pass is a hole in the task's tests, or a change that makes no difference, which only a reader can tell.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from kernel_pool import FileAccessError, FileInfo, Kernel, KernelError, Limits, ReadOnlyMount, Snapshot

from .exploits import Exploit, load_exploits
from .mutants import MAX_BYTES, Mutant, choose, mutants_of
from .submission import Submission
from .verdict import Outcome, Verdict
from .verifier import Verifier

if TYPE_CHECKING:
    from kernel_pool.pool import KernelPool

#: Seconds the tests of a hack or a mutant get: this many times what the solution took, within these bounds.
_SLACK, _LEAST_S = 8.0, 10.0
_PREPARE = Limits(wall_s=60.0)
_SOLVE = Limits(wall_s=300.0)
_FILES = 5_000
_REASON = 300


@dataclass(frozen=True)
class AuditedWork:
    """A task as plain things: where work starts, how it is checked, and what solves it."""

    name: str
    base: Snapshot  #: the unsolved, prepared state
    template: Submission  #: with its tests; the snapshot is replaced
    solution: Path  #: host directory whose solve.sh solves it


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExploitTried(_Report):
    """One hack against one task."""

    name: str
    outcome: Outcome  #: "pass" is a hole
    reason: str


class MutantTried(_Report):
    """One mutant of the solution."""

    path: str
    line: int
    what: str
    outcome: Outcome  #: "fail": killed; "pass": survived; "unknown" counts apart
    diff: str = ""  #: of one that survived


class StrengthReport(_Report):
    """What was tried against one task, and what came of it."""

    name: str
    problem: str = ""  #: why the task cannot be audited; then nothing was tried
    exploits: tuple[ExploitTried, ...] = ()
    mutants: tuple[MutantTried, ...] = ()

    @property
    def exploits_passed(self) -> list[str]:
        """Names of the hacks that got through."""
        return [tried.name for tried in self.exploits if tried.outcome == "pass"]

    @property
    def exploits_unknown(self) -> list[str]:
        """Names of the hacks after which nobody can tell: no pass, and no failure either."""
        return [tried.name for tried in self.exploits if tried.outcome == "unknown"]

    @property
    def mutants_killed(self) -> int:
        """Mutants that the tests noticed, also by their time limit."""
        return sum(tried.outcome == "fail" for tried in self.mutants)

    @property
    def mutants_unknown(self) -> int:
        """Mutants of which nobody can tell."""
        return sum(tried.outcome == "unknown" for tried in self.mutants)

    @property
    def survivors(self) -> list[MutantTried]:
        """Mutants that passed: equivalent, or a hole in the tests."""
        return [tried for tried in self.mutants if tried.outcome == "pass"]


async def audit_verifier(
    work: AuditedWork,
    verifier: Verifier,
    pool: KernelPool,
    *,
    mutants: int = 10,
    seed: int = 0,
    exploits: Sequence[Exploit] | None = None,
) -> StrengthReport:
    """Try every hack that applies and at most `mutants` mutants, the same for the same seed.

    As many at once as the pool has places. What the machinery breaks is an `unknown` attempt; a task whose unsolved
    state does not fail, or whose solution does not pass, is reported as a problem. Raises `KernelError` only when
    not even these two states can be made.
    """
    work = replace(work, template=replace(work.template, base=work.base))
    solved, problem = await _solve(work, pool)
    if problem:
        return StrengthReport(name=work.name, problem=problem)
    unsolved_verdict, solved_verdict = await asyncio.gather(
        _verify(work.template, work.base, verifier, pool), _verify(work.template, solved, verifier, pool)
    )
    if unsolved_verdict.outcome != "fail":
        problem = f"the unsolved state must fail: {unsolved_verdict.outcome}: {unsolved_verdict.reason}"
    elif not solved_verdict.passed:
        problem = f"the reference solution must pass: {solved_verdict.outcome}: {solved_verdict.reason}"
    if problem:
        return StrengthReport(name=work.name, problem=problem)

    template = _bounded(work.template, solved_verdict.seconds)
    before, after = await asyncio.gather(_files(work, work.base, pool), _files(work, solved, pool))
    has = await _kinds(work.base, before, pool)
    hacks = [hack for hack in (load_exploits() if exploits is None else exploits) if hack.applies(has)]
    changed = {path: file for path, file in after.items() if before.get(path) != file}
    chosen = choose([m for path, file in changed.items() for m in mutants_of(path, file.text)], mutants, seed)

    async def hack(each: Exploit) -> ExploitTried:
        outcome, reason = await _attempt(template, work.base, verifier, pool, lambda k: _hack(k, each))
        return ExploitTried(name=each.name, outcome=outcome, reason=reason)

    async def mutant(each: Mutant) -> MutantTried:
        path, mode = posixpath.join(_workdir(work), each.path), changed[each.path].mode
        text = each.after.encode()
        outcome, _ = await _attempt(
            template, solved, verifier, pool, lambda k: k.write(path, text, mode=mode)
        )
        diff = each.diff if outcome == "pass" else ""
        return MutantTried(path=each.path, line=each.line, what=each.what, outcome=outcome, diff=diff)

    tried = await asyncio.gather(*map(hack, hacks))
    wrong = await asyncio.gather(*map(mutant, chosen))
    return StrengthReport(name=work.name, exploits=tuple(tried), mutants=tuple(wrong))


async def _solve(work: AuditedWork, pool: KernelPool) -> tuple[Snapshot, str]:
    """The solved state, or the problem with it."""
    async with pool.lease(work.base, mounts=[ReadOnlyMount(work.solution, "/solution")]) as kernel:
        result = await kernel.run(["/bin/bash", "/solution/solve.sh"], cwd=_workdir(work), limits=_SOLVE)
        problem = ""
        if not result.ok:
            told = result.stderr.decode("utf-8", "replace").strip()[-_REASON:]
            problem = f"the reference solution {result.ended} with {result.exit_code}: {told}"
        return await kernel.snapshot(), problem


async def _attempt(
    template: Submission,
    state: Snapshot,
    verifier: Verifier,
    pool: KernelPool,
    change: Callable[[Kernel], Awaitable[object]],
) -> tuple[Outcome, str]:
    """The verdict on a state after one change to it, as (outcome, reason)."""
    try:
        async with pool.lease(state) as kernel:
            await change(kernel)
            changed = await kernel.snapshot()
        verdict = await _verify(template, changed, verifier, pool)
    except KernelError as error:
        return "unknown", str(error)[:_REASON]
    return verdict.outcome, verdict.reason[:_REASON]


async def _hack(kernel: Kernel, exploit: Exploit) -> None:
    await kernel.run(exploit.script, limits=_PREPARE)


async def _verify(template: Submission, state: Snapshot, verifier: Verifier, pool: KernelPool) -> Verdict:
    return await verifier.verify(replace(template, snapshot=state), pool)


def _bounded(template: Submission, solved_s: float) -> Submission:
    """Hanging work is told by a shorter limit than the task's own, which may be minutes."""
    if template.tests is None:
        return template
    limit = min(template.tests.timeout_s, max(_LEAST_S, _SLACK * solved_s))
    return replace(template, tests=replace(template.tests, timeout_s=limit))


def _workdir(work: AuditedWork) -> str:
    return work.template.tests.workdir if work.template.tests else "/app"


@dataclass(frozen=True)
class _File:
    text: str
    mode: int


async def _files(work: AuditedWork, state: Snapshot, pool: KernelPool) -> dict[str, _File]:
    """The small regular files below the working directory by path, without those of tools (dot, dunder)."""
    root, found = _workdir(work), {}
    async with pool.lease(state) as kernel:
        for entry in await kernel.list(root, depth=16, max_entries=_FILES):
            if entry.kind == "file" and entry.size <= MAX_BYTES and not _of_a_tool(entry):
                try:
                    data = await kernel.read(posixpath.join(root, entry.path), max_bytes=MAX_BYTES)
                    text = data.decode()
                except (FileAccessError, UnicodeDecodeError):
                    continue  # nothing that could be mutated
                found[entry.path] = _File(text, entry.mode & 0o777)
    return found


def _of_a_tool(entry: FileInfo) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in entry.path.split("/"))


async def _kinds(state: Snapshot, files: Mapping[str, _File], pool: KernelPool) -> set[str]:
    """What exploits may need and this work has: languages by its sources, make by its Makefile, gcc."""
    has = set()
    for path in files:
        *directories, name = path.split("/")
        if "tests" in directories or name.startswith("test_"):
            continue
        if name in ("Makefile", "GNUmakefile", "makefile"):
            has.add("make")
        language = {"py": "python", "c": "c", "sh": "sh"}.get(name.rpartition(".")[2])
        if language:
            has.add(language)
    async with pool.lease(state) as kernel:
        if (await kernel.run("command -v gcc")).ok:
            has.add("gcc")
    return has
