"""The contract of every back-end, as checks that anybody can run: tests, `rollouts doctor`, authors of back-ends.

    outcomes = await check(backend)
    broken = [o for o in outcomes if not o.ok]

The behaviours themselves are in `contract/`, one function each; its docstring is the promise.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .contract import BEHAVIOURS
from .contract.scene import NotPromised, Scene
from .kernel import Backend

ONE_CHECK_S = 60.0  #: seconds after which a check counts as failed


@dataclass(frozen=True)
class CheckOutcome:
    """One behaviour of a back-end, looked at."""

    name: str
    ok: bool  #: it holds, or the back-end does not promise it
    detail: str = ""  #: what was promised and what was seen instead
    skipped: str = ""  #: why the back-end does not promise it; "" when it was checked


def names() -> list[str]:
    """All behaviours, in order."""
    return list(BEHAVIOURS)


async def check(backend: Backend, only: Iterable[str] | None = None) -> list[CheckOutcome]:
    """Check a back-end against the contract (or those behaviours of it). Starts kernels; closes all of them.

    Never raises for what the back-end does wrong. Raises `KeyError` for a behaviour that does not exist.
    """
    chosen = names() if only is None else list(only)
    with tempfile.TemporaryDirectory(prefix="contract-") as scratch:
        return [await _check_one(backend, name, Path(scratch)) for name in chosen]


async def _check_one(backend: Backend, name: str, scratch: Path) -> CheckOutcome:
    behaviour = BEHAVIOURS[name]
    place = scratch / name
    place.mkdir()
    # A task of its own, so that whatever it raises is an outcome, and a hang is one too.
    task = asyncio.get_running_loop().create_task(behaviour(Scene(backend, place)))
    try:
        await asyncio.wait({task}, timeout=ONE_CHECK_S)
    finally:
        ended = task.done()
        if not ended:
            task.cancel()
            await asyncio.wait({task}, timeout=ONE_CHECK_S)
    promise = (behaviour.__doc__ or "").strip()
    if not ended:
        return CheckOutcome(name, False, f"{promise} No end within {ONE_CHECK_S:g} s.")
    if task.cancelled():
        return CheckOutcome(name, False, f"{promise} It ended as cancelled.")
    error = task.exception()
    if error is None:
        return CheckOutcome(name, True, promise)
    if isinstance(error, NotPromised):
        return CheckOutcome(name, True, promise, skipped=str(error))
    return CheckOutcome(name, False, f"{promise} Seen: {type(error).__name__}: {error}")
