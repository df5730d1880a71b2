"""What a visual verdict costs: a static page, a fresh kernel and a fresh browser each time.

    python scripts/bench_visual.py [--runs 15] [--json]

The verdict is the whole of it: the work told apart from the rest of its state, a kernel forked, Playwright
and Chromium started, the page opened, measured, photographed and compared, everything ended. The other
figures say where that time goes, in runs of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kernel_pool import BaseSpec, CopyIn
from kernel_pool.pool import KernelPool
from kernel_pool.registry import backend
from verifiers import Submission, TestPlan
from verifiers.browser import MOUNT, look
from verifiers.pixels import encode
from verifiers.visual import VisualVerifier

LIMIT_S = 1.0
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Bench</title>
<style>body { margin: 0; font-family: sans-serif } #box { width: 300px; height: 120px; background: #3465a4 }</style>
<h1>Hello</h1><div id="box"></div><form><label>Name <input></label><button>Save</button></form>
"""
VIEWPORT = {"width": 1280, "height": 720}
CHECKS = [
    {"id": "heading", "kind": "selector", "selector": "h1", "text": "Hello"},
    {"id": "name", "kind": "role", "role": "textbox", "name": "Name"},
    {"id": "shown", "kind": "visible", "selector": "#box"},
    {"id": "save", "kind": "not_covered", "selector": "button"},
    {"id": "fits", "kind": "no_horizontal_scroll"},
    {"id": "console", "kind": "console"},
    {"id": "box", "kind": "pixels", "reference": "box.png", "clip": "#box"},
]


async def measure(runs: int) -> list[dict[str, Any]]:
    """The figures, as `{measure, value, limit}`, in seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-visual-") as scratch:
        app, tests = Path(scratch, "app"), Path(scratch, "tests")
        app.mkdir()
        tests.mkdir()
        (app / "README").write_text("a page\n", encoding="utf-8")
        (tests / "box.png").write_bytes(encode(np.full((120, 300, 3), (0x34, 0x65, 0xA4), dtype=np.uint8)))
        sandbox = backend("local", state_dir=Path(scratch, "state"))
        pool = KernelPool(sandbox, 2)
        try:
            return await _measure(pool, app, tests, runs)
        finally:
            await pool.close()
            await sandbox.close()


async def _measure(pool: KernelPool, app: Path, tests: Path, runs: int) -> list[dict[str, Any]]:
    base = await pool.prepare(BaseSpec(steps=(CopyIn(app, "/app"),)))
    async with pool.lease(base) as kernel:
        await kernel.write("index.html", PAGE.encode())
        state = await kernel.snapshot()
    by_facts = [check for check in CHECKS if check["kind"] != "visible"]
    asked = [
        Submission(
            "",
            state,
            TestPlan(tests),
            base=base,
            extras={"visual": {"pages": [{"path": "index.html", "viewport": VIEWPORT, "checks": checks}]}},
        )
        for checks in (by_facts, CHECKS)
    ]
    verifier = VisualVerifier()
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(runs + 1):
        for submission, verdicts in zip(asked, found, strict=True):
            began = time.monotonic()
            verdict = await verifier.verify(submission, pool)
            if not verdict.passed:
                raise SystemExit(f"the page should pass: {verdict.reason}")
            if number:  # the first one reads Chromium from the disk
                verdicts.append(time.monotonic() - began)
    parts = await _parts(pool, asked[0], runs)
    return [
        _row("visual verdict on a static page, p50 (s)", found[0], LIMIT_S),
        {**_row("visual verdict on a static page, p90 (s)", found[0]), "value": _p90(found[0])},
        _row("the same with a check by pictures (visible), p50 (s)", found[1]),
        *[_row(f"of which {name}, p50 (s)", values) for name, values in parts.items()],
    ]


async def _parts(pool: KernelPool, submission: Submission, runs: int) -> dict[str, list[float]]:
    """Seconds of each part, run by run."""
    page = {"id": "page", "path": "index.html", "viewport": VIEWPORT, "load_timeout_s": 10.0, "actions": []}
    queries = [{"id": "h", "what": "selector", "selector": "h1", "attributes": [], "style": []}]
    plan = {"serve": None, "workdir": "/app", "root": ".", "pages": [{**page, "queries": queries}]}
    parts: dict[str, list[float]] = {}
    for _ in range(runs):
        began = time.monotonic()
        async with pool.lease(submission.snapshot, mounts=(MOUNT,)) as kernel:
            forked = time.monotonic()
            seen = await look(kernel, plan, 30.0, pool.backend.capabilities.images)
            looked = time.monotonic()
        inside = dict(seen.seconds)
        interpreter = looked - forked - sum(inside.values())
        ended = time.monotonic() - looked
        times = {"the fork": forked - began, "the interpreter": interpreter, **inside, "the end": ended}
        for name, seconds in times.items():
            parts.setdefault(name, []).append(seconds)
    return parts


def _row(name: str, seconds: Sequence[float], limit: float | None = None) -> dict[str, Any]:
    return {"measure": name, "value": round(statistics.median(seconds), 3), "limit": limit}


def _p90(seconds: Sequence[float]) -> float:
    return round(sorted(seconds)[int(0.9 * (len(seconds) - 1))], 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = asyncio.run(measure(max(2, arguments.runs)))
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        limit = "" if row["limit"] is None else f"  (limit {row['limit']:g})"
        print(f"{row['measure']:<54} {row['value']:>7}{limit}")


if __name__ == "__main__":
    main()
