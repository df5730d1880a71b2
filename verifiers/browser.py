"""The host's end of the browser: one command in a kernel, and what it saw.

The command runs `verifiers/inside/` with a fresh Chromium, which is gone when the command ends; nothing of
one submission can reach the next. A browser that stays up is not needed: with Debian's headless shell a
whole verdict takes about 0.9 s on two cores that others use as well (`scripts/bench_visual.py`).

What the work could try, and why it gains nothing:
- files outside the working directory (loader settings, interpreters, node modules, browser policies,
  fonts): not there, see `workdir.py`;
- a planted `playwright/`, `sitecustomize.py` or `chromium`: the interpreter runs with -I and -S from "/",
  programs are called by their full paths, the environment of node and Chromium is ours;
- reading what is expected: references and expected values never enter the kernel, only what is to be
  measured does (selectors, and the roles and names that are looked for);
- printing a result: only the program's own stdout counts, behind a mark that came by its stdin; the work's
  server writes into a pipe of its own, and Landlock keeps it from tracing or opening anything of the
  browser's;
- patching built-ins in the page: measuring runs in an isolated world;
- the network: a kernel has none but its own loopback.

What remains: Chromium runs without its own sandbox, since the kernel is one. A page with an exploit for
Chromium is in the kernel with the browser and can say anything about itself. A page can also tell that it
is being automated (`navigator.webdriver`) and show a better face than a user would see.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kernel_pool import Backend, BaseSpec, ExecResult, Kernel, Limits, ReadOnlyMount
from kernel_pool.kernel import Images

INSIDE = Path(__file__).parent / "inside"
MOUNT = ReadOnlyMount(INSIDE, "/visual/inside")

#: Where a browser is looked for, the quickest first.
BROWSERS = (
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/bin/chromium-headless-shell",
    "/usr/lib/chromium/chromium",
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome-stable",
)
MEND = "apt-get install chromium-headless-shell; pip install playwright"

_START_S = 60.0  #: seconds that the browser may take to come up, beside the plan's own
_LIMITS = Limits(memory_mb=3072, processes=512, output_bytes=96 * 1024 * 1024)
_ROOM = "/var/tmp"  #: where the browser's private directory is made
_ENTER = "import sys; sys.path.insert(0, '/visual'); from inside.main import main; main()"
_FIRST = 'for python in "$@"; do [ -x "$python" ] && exec "$python" -I -S -c "$0"; done; exit 127'


class Rectangle(BaseModel):
    """In CSS pixels of the viewport."""

    model_config = ConfigDict(frozen=True)

    x: float
    y: float
    width: float
    height: float


class Fact(BaseModel):
    """What was measured for one query."""

    model_config = ConfigDict(frozen=True)

    error: str = ""
    count: int = 0
    bad: tuple[str, ...] = ()  #: matches that are not as the query asks
    text: str | None = None
    attributes: dict[str, str | None] = Field(default_factory=dict)
    style: dict[str, str] = Field(default_factory=dict)
    boxes: tuple[Rectangle, ...] = ()
    width: float = 0.0
    room: float = 0.0


class PageSeen(BaseModel):
    """One page, as it was seen. Untrusted text throughout."""

    model_config = ConfigDict(frozen=True)

    id: str
    problem: str = ""  #: "timeout", "not_loaded", "crash", "page" or "action"; "" when all went well
    detail: str = ""
    facts: dict[str, Fact] = Field(default_factory=dict)
    screenshot: str = Field(default="", repr=False)  #: PNG in base64
    errors: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()

    @property
    def png(self) -> bytes:
        """The screenshot; empty when there is none."""
        try:
            return base64.b64decode(self.screenshot, validate=True)
        except (ValueError, binascii.Error):
            return b""


@dataclass(frozen=True)
class Seen:
    """What came of one look. `cause` is set when it ended early."""

    pages: tuple[PageSeen, ...] = ()
    cause: str = ""
    reason: str = ""
    infra: bool = False
    log: str = ""  #: of the work's server
    browser: str = ""  #: its version
    seconds: Mapping[str, float] = field(default_factory=dict)  #: imports, browser (until it is up), pages
    result: ExecResult | None = None


async def look(kernel: Kernel, plan: Mapping[str, Any], timeout_s: float, images: Images) -> Seen:
    """Carry out a plan (see `inside/main.py`) in a kernel that was started with `MOUNT`. Raises `KernelError`."""
    mark = secrets.token_hex(16)
    stdin = json.dumps(
        {**plan, "timeout_s": timeout_s, "mark": mark, "browsers": BROWSERS, "room": _ROOM}
    ).encode()
    own = (sys.executable,) if images == "none" else ()
    argv = ["/bin/sh", "-c", _FIRST, _ENTER, *own, "/usr/local/bin/python3", "/usr/bin/python3"]
    result = await kernel.run(argv, cwd="/", stdin=stdin, limits=_LIMITS.with_wall(timeout_s + _START_S))
    return read_output(result, mark, timeout_s)


async def probe(backend: Backend) -> tuple[str, str]:
    """(version, problem): whether pages can be looked at in this back-end's plain kernels; "" for no problem.

    Starts a browser and opens a page. Raises `KernelError`.
    """
    if importlib.util.find_spec("PIL") is None:
        return "", "there is no Pillow to compare pictures with: pip install 'rollout-fork[visual]'"
    page: dict[str, Any] = {"id": "page", "path": "index.html", "load_timeout_s": 10.0}
    page |= {"viewport": {"width": 200, "height": 100}, "actions": [], "queries": []}
    plan = {"serve": None, "workdir": "/app", "root": ".", "pages": [page]}
    kernel = await backend.start(await backend.prepare(BaseSpec()), mounts=(MOUNT,))
    try:
        await kernel.write("index.html", b"<!doctype html><title>probe</title>")
        seen = await look(kernel, plan, 30.0, backend.capabilities.images)
    finally:
        await kernel.close()
    return seen.browser, seen.reason or next((page.detail for page in seen.pages if page.problem), "")


def read_output(result: ExecResult, mark: str, timeout_s: float) -> Seen:
    """What the program said, or why it did not. Before the browser was up nothing is the work's fault."""
    said: dict[str, Any] = {}
    pages: list[PageSeen] = []
    seconds: dict[str, float] = {}
    try:
        for line in result.stdout.split(b"\n"):
            if line.startswith(mark.encode() + b" "):
                what = json.loads(line[len(mark) + 1 :])
                said |= what
                seconds |= what.get("seconds", {})
                if "page" in what:
                    pages.append(PageSeen.model_validate(what["page"]))
    except (ValueError, ValidationError) as error:
        return Seen(
            cause="driver", reason=f"what was seen cannot be read: {error}"[:500], infra=True, result=result
        )
    up, log = str(said.get("up", "")), str(said.get("log", ""))
    if "lacks" in said or result.exit_code == 127:
        lacks = said.get("lacks", "Python")
        reason = f"there is no {lacks} in this kernel: {MEND}"
        cause = "no_browser"
        if lacks == "browser":
            reason, cause = f"Chromium does not start: {said['detail']}", "browser_failed"
        if lacks == "Landlock":
            reason = "the work's server cannot be kept from the browser: this needs Linux 5.13 with Landlock"
            cause = "no_landlock"
        return Seen(cause=cause, reason=reason, infra=True, result=result)
    if said.get("done"):
        if said["server"]:
            return Seen((), "no_server", str(said["server"]), log=log, browser=up, result=result)
        return Seen(tuple(pages), log=log, browser=up, seconds=seconds, result=result)
    if said.get("late") or (up and result.ended == "timeout"):
        reason = f"the pages were not done within {timeout_s:g} s"
        return Seen(tuple(pages), "timeout", reason, log=log, browser=up, result=result)
    if result.ended == "exited":
        words = result.stderr[-500:].decode(errors="replace")
        reason = f"looking at the pages broke: {words}"
        return Seen(cause="driver", reason=reason, infra=True, result=result)
    if not up:
        reason = f"the browser was not up when the command was ended ({result.ended})"
        return Seen(cause="browser_failed", reason=reason, infra=True, result=result)
    cause = "crash" if result.ended == "signalled" else result.ended
    reason = f"the pages were ended at their limit: {result.ended}"
    return Seen(tuple(pages), cause, reason, log=log, browser=up, result=result)
