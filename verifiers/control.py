"""The control run: work that passed its tests must fail them when they expect what is not so.

Right work passes the tests and fails the spoiled ones (`spoil.py`), whatever it is. Work that passes both did not
pass because of what it does. The spoiled tests have the names, the places and the look of the right ones, the run
is a fresh fork with the same command, and where they are spoiled is chosen anew each time.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from .junit import base_name
from .known_tests import known_tests
from .pytest_command import pytest_call
from .runs import Finding
from .spoil import spoil
from .submission import TestPlan

#: Tests of which a copy is made in an instant; larger directories have no control run.
_MAX_BYTES, _MAX_FILES = 16 * 1024 * 1024, 2_000

#: Runs the plan's command with the tests of a directory.
Run = Callable[[TestPlan, Path], Awaitable[Finding]]


async def controlled(passed: Finding, plan: TestPlan, run: Run) -> Finding:
    """The finding as it was, or what the control run makes of it. Raises what `run` raises.

    Honest work fails spoiled tests, and pytest says so by its report and its exit code. Anything else is looked at a
    second time, with other places spoiled, so that a test which is not deterministic accuses nobody lightly. Twice
    odd: a failure when results were made up, unknown when there was no result to look at.
    """
    first = await _look(plan, run)
    if first is None:
        return passed
    second = await _look(plan, run)
    if second is None:
        return passed
    if not (first.made_up or second.made_up):
        reason = f"the tests passed, and their control run twice gave no result: {second.what}"
        return replace(passed, outcome="unknown", score=None, reason=reason, cause="no_control")
    what = first.what if first.made_up else second.what
    reason = f"{what}: the results do not come from what the work does"
    return replace(passed, outcome="fail", score=0.0, reason=reason, cause="forged")


@dataclass(frozen=True)
class _Odd:
    """What honest work does not do under spoiled tests."""

    what: str
    made_up: bool


async def _look(plan: TestPlan, run: Run) -> _Odd | None:
    """One control run; None: as honest work does, or no test could be spoiled."""
    with _copy() as directory:
        tests = await asyncio.to_thread(_lay_out, plan, directory)
        if not tests:
            return None
        finding = await run(plan, directory)
    passing = {base_name(check.id) for check in finding.checks if check.outcome == "pass"} & tests
    if passing:
        return _Odd(f"{len(passing)} tests pass whatever they expect, for instance {min(passing)}", True)
    if finding.result is not None and finding.result.exit_code == 0:
        return _Odd("the tests end with success whatever they expect", True)
    return None if finding.checks else _Odd(finding.reason, False)


@contextmanager
def _copy() -> Iterator[Path]:
    # A cancelled verification may still be copying when its directory goes.
    with tempfile.TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)
        yield Path(place)


def _lay_out(plan: TestPlan, target: Path) -> set[str]:
    """Copy the tests, spoiled, to `target`; returns the names of those that must not pass."""
    files = _files(plan.directory)
    if files is None:
        return set()
    paths = pytest_call(plan, "").paths
    known = known_tests(plan.directory, paths)
    rng = random.Random(secrets.randbits(64))
    spoiled: set[str] = set()
    for file in files:
        relative = file.relative_to(plan.directory)
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target / relative, follow_symlinks=False)
        module = ".".join(PurePosixPath(relative.as_posix()).with_suffix("").parts)
        if file.is_symlink() or not any(
            name.startswith((f"{module}::", f"{module}.")) for name in known.required
        ):
            continue
        result = spoil(file.read_bytes(), rng)
        (target / relative).write_bytes(result.text)
        shutil.copystat(file, target / relative)
        spoiled |= {_reported(module, name) for name in result.tests}
    return spoiled & (known.required - known.may_skip)


def _files(directory: Path) -> Sequence[Path] | None:
    """Every file below, or None when they are too many or too large to copy."""
    found: list[Path] = []
    size = 0
    for path in directory.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            continue
        if not path.is_symlink() and not path.is_file():
            return None
        found.append(path)
        size += path.lstat().st_size
        if len(found) > _MAX_FILES or size > _MAX_BYTES:
            return None
    return found


def _reported(module: str, name: str) -> str:
    """The name of a test as a report has it: "module.Class::test"."""
    *classes, test = name.split("::")
    return ".".join([module, *classes]) + f"::{test}"
