"""Sites, pictures and submissions for the tests of the visual verifier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernel_pool import BaseSpec, CopyIn
from kernel_pool.pool import KernelPool
from verifiers import Submission, TestPlan, Verdict
from verifiers.pixels import Pixels, encode
from verifiers.visual import VisualVerifier

Look = Callable[..., Awaitable[Verdict]]
HTML = "<!doctype html><html lang=en><meta charset=utf-8><title>t</title><style>body{margin:0}</style>"


def picture(width: int, height: int, color: tuple[int, int, int] = (255, 255, 255)) -> Pixels:
    """One colour."""
    return np.full((height, width, 3), color, dtype=np.uint8)


def page(*checks: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A visual table with one page, index.html at 400 by 300."""
    given = [{"id": f"c{i}", **check} for i, check in enumerate(checks)]
    own = {"path": "index.html", "viewport": {"width": 400, "height": 300}, "checks": given}
    return {"pages": [{**own, **more}]}


def outcomes(verdict: Verdict) -> dict[str, str]:
    """What each check came to, by its id."""
    return {check.id.rpartition("/")[2]: check.outcome for check in verdict.checks}


class Site:
    """A task with a visual table, and what an agent leaves behind in it."""

    def __init__(self, pool: KernelPool, tmp_path: Path) -> None:
        self.pool, self.tests, self._app = pool, tmp_path / "visual-tests", tmp_path / "visual-app"
        self.tests.mkdir()
        self._app.mkdir()
        (self._app / "README").write_text("the work\n")

    async def submission(
        self, files: Mapping[str, str | bytes], table: Mapping[str, Any] | None, *commands: str
    ) -> Submission:
        """The files in /app after the commands, to be looked at by the table."""
        base = await self.pool.prepare(BaseSpec(steps=(CopyIn(self._app, "/app"),)))
        async with self.pool.lease(base) as kernel:
            for name, content in files.items():
                await kernel.write(
                    f"/app/{name}", content if isinstance(content, bytes) else content.encode()
                )
            for command in commands:
                await kernel.run(command)
            snapshot = await kernel.snapshot()
        extras = {} if table is None else {"visual": table}
        return Submission("build it", snapshot, TestPlan(self.tests), base=base, extras=extras)

    async def look(
        self, files: Mapping[str, str | bytes], table: Mapping[str, Any] | None, *commands: str
    ) -> Verdict:
        """The verdict."""
        return await VisualVerifier().verify(await self.submission(files, table, *commands), self.pool)

    def reference(self, name: str, pixels: Pixels) -> str:
        """Put a picture into the task's tests."""
        (self.tests / name).write_bytes(encode(pixels))
        return name


@pytest.fixture
def site(pool: KernelPool, tmp_path: Path) -> Site:
    return Site(pool, tmp_path)
