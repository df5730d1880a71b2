"""`rollouts doctor`: what works here, found by doing it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernel_pool import BaseSpec, KernelError
from kernel_pool.backends.local import LocalBackend, escapes
from kernel_pool.registry import BACKENDS
from kernel_pool.registry import backend as make_backend
from kernel_pool.selfcheck import check
from verifiers import browser

#: Back-ends that the default set-up does without.
OPTIONAL = tuple(name for name in BACKENDS.names() if name not in ("local", "subprocess"))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    needed: bool = False  #: the default set-up cannot work without it
    notes: tuple[str, ...] = ()

    @property
    def lacks(self) -> bool:
        """Whether the default set-up cannot work here because of this."""
        return self.needed and not self.ok

    def __str__(self) -> str:
        mark = "ok  " if self.ok else "LACK" if self.needed else "weak"
        return "\n".join([f"{mark} {self.what}: {self.detail}", *(f"     - {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"lacks": self.lacks}


async def examine(*, clean: bool = False) -> list[Finding]:
    """Look at the interpreter, the tools, the sandbox (its whole contract, for real) and the packages."""
    findings = [_python(), *_tools(), await _sandbox(), await _ways_out(), _memory()]
    findings += [await _browser(), *[await _optional(name) for name in OPTIONAL], *_packages(), *_keys()]
    if clean:
        findings += [await _clean(name) for name in BACKENDS.names()]
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), f"{version}, {os.cpu_count()} cores", needed=True)


def _tools() -> list[Finding]:
    wanted = {"bash": "every kernel's shell", "gcc": "C tasks", "make": "C tasks", "git": "some tasks"}
    return [
        Finding(
            name,
            shutil.which(name) is not None,
            f"for {use}" if shutil.which(name) else f"missing, needed for {use}: apt-get install {name}",
            needed=name == "bash",
        )
        for name, use in wanted.items()
    ]


async def _sandbox() -> Finding:
    backend = None
    try:
        backend = make_backend("local")
        outcomes = await check(backend)
        failed = [o.name for o in outcomes if not o.ok and not o.skipped]
        if failed:
            return Finding("sandbox", False, f"contract broken: {', '.join(failed)}", needed=True)
        given = backend.capabilities
        held = [f"{limit} is held by {how}" for limit, how in given.enforces.items()]
        detail = f"local back-end keeps its contract ({len(outcomes)} checks)"
        return Finding("sandbox", True, detail, notes=(*held, *given.notes))
    except KernelError as error:
        return Finding("sandbox", False, str(error), needed=True)
    finally:
        if backend is not None:
            await backend.close()


async def _ways_out() -> Finding:
    """Every known way out of a kernel, tried."""
    backend = None
    try:
        backend = LocalBackend()
        kernel = await backend.start(await backend.prepare(BaseSpec()))
        with (
            tempfile.TemporaryDirectory(prefix="lures-") as scratch,
            escapes.lures(Path(scratch), backend.store.root) as out,
        ):
            tried = [attempt async for attempt in escapes.try_all(kernel, out)]
    except KernelError as error:
        return Finding("isolation", False, str(error), needed=True)
    finally:
        if backend is not None:
            await backend.close()
    open_ways = tuple(f"{attempt.what}: {attempt.seen}" for attempt in tried if not attempt.held)
    detail = f"{len(tried)} ways out of the sandbox tried, {len(open_ways) or 'none'} open"
    return Finding("isolation", not open_ways, detail, needed=True, notes=open_ways)


async def _browser() -> Finding:
    """A browser that is started in a sandbox and opens a page."""
    backend = None
    try:
        backend = make_backend("local")
        version, problem = await browser.probe(backend)
    except KernelError as error:
        return Finding("browser", False, f"{error}; only visual tasks need it")
    finally:
        if backend is not None:
            await backend.close()
    if problem:
        return Finding("browser", False, f"{problem}; only visual tasks need it")
    return Finding("browser", True, f"Chromium {version} opens a page in a sandbox")


async def _optional(name: str) -> Finding:
    """A back-end that only those need who choose it."""
    try:
        backend = make_backend(name)
    except KernelError as error:
        return Finding(name, True, f"not here: {error}; only the {name} back-end needs it")
    try:
        await backend.check()
        return Finding(name, True, "works", notes=backend.capabilities.notes)
    except KernelError as error:
        return Finding(name, False, f"{error}; only the {name} back-end needs it")
    finally:
        await backend.close()


async def _clean(name: str) -> Finding:
    """Remove what killed processes left behind."""
    what = f"left-overs of {name}"
    try:
        backend = make_backend(name, **({"allow_unsandboxed": True} if name == "subprocess" else {}))
    except KernelError:
        return Finding(what, True, "not looked for: the back-end is not here")
    try:
        return Finding(what, True, f"{await backend.reap()} kernels removed")
    except KernelError as error:
        return Finding(what, False, str(error))
    finally:
        await backend.close()


def _memory() -> Finding:
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.execute("CREATE VIRTUAL TABLE texts USING fts5(text)")
    except sqlite3.OperationalError as error:
        return Finding(
            "memory", False, f"this Python's SQLite has no full-text search ({error})", needed=True
        )
    return Finding("memory", True, f"SQLite {sqlite3.sqlite_version} with FTS5")


def _packages() -> list[Finding]:
    findings = []
    for module in ("verifiers", "envs", "ranking", "kernel_pool", "rollouts"):
        spec = importlib.util.find_spec(module)
        owners = set(importlib.metadata.packages_distributions().get(module, ()))
        foreign = owners - {"rollout-fork"}
        origin = spec.origin if spec else "not importable"
        detail = (
            f"also claimed by {', '.join(foreign)}; use an environment of its own" if foreign else str(origin)
        )
        findings.append(
            Finding(f"package {module}", spec is not None and not foreign, detail, needed=spec is None)
        )
    return findings


def _keys() -> list[Finding]:
    return [
        Finding(name, True, f"{'set' if os.environ.get(name) else 'not set'}; only the {use} needs it")
        for name, use in (("ANTHROPIC_API_KEY", "anthropic policy"), ("OPENAI_API_KEY", "openai policy"))
    ]
