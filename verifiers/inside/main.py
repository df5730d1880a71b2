"""The program that looks: a plan on its stdin, what it saw as lines of JSON on its stdout, each behind the
mark.

The mark comes with the plan, and stdin is closed before anything else is started. The browser is up ("up")
before any page is opened or server started: whatever fails from then on was not for want of a browser.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from pathlib import Path
from typing import Any

_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>/usr/share/fonts</dir><cachedir>{cache}</cachedir>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>"""

#: No sandbox of its own (the kernel is one), no GPU, no service in the background, the same letters everywhere.
_SWITCHES = (
    "--disable-gpu",
    "--disable-lcd-text",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--js-flags=--max-old-space-size=512",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)


def main() -> None:
    """Read the plan, look, say what was seen, and leave without waiting for anything."""
    plan: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    mark = plan.pop("mark")

    one_line = threading.Lock()

    def say(**what: Any) -> None:
        with one_line:
            sys.stdout.write(f"{mark} {json.dumps(what)}\n")
            sys.stdout.flush()

    _look(plan, say)
    os._exit(0)


def _look(plan: dict[str, Any], say: Any) -> None:
    executable = next((path for path in plan["browsers"] if os.access(path, os.X_OK)), None)
    if executable is None:
        say(lacks="Chromium", detail="")
        return
    started = time.monotonic()
    _find_packages()
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        say(lacks="Playwright", detail=str(error))
        return

    from . import shield
    from .pages import look
    from .site import ORIGIN, Files, Server

    if plan["serve"] is not None and not shield.abi():
        say(lacks="Landlock", detail="")
        return
    imported = time.monotonic()
    private, env = _private(plan["room"])
    try:
        browser = (
            sync_playwright()
            .start()
            .chromium.launch(executable_path=executable, chromium_sandbox=False, args=list(_SWITCHES))
        )
    except Error as error:
        say(lacks="browser", detail=error.message[:2000])
        return
    up = time.monotonic()
    say(up=browser.version, seconds={"imports": imported - started, "browser": up - imported})
    _end_after(plan["timeout_s"], say)
    answer, server, origin = None, None, ORIGIN + "/"
    if plan["serve"] is None:
        answer = Files(Path(plan["workdir"], plan["root"])).answer
    else:
        origin = plan["url"]
        server = Server(plan["serve"], origin, plan["workdir"], private, env)
        if problem := server.wait(plan["ready_timeout_s"]):
            say(done=True, server=problem, log=server.log)
            return
    for page in plan["pages"]:
        page["url"] = origin.rstrip("/") + "/" + page["path"].lstrip("/")
        say(page=look(browser, page, answer))
    say(done=True, server="", log=server.log if server else "", seconds={"pages": time.monotonic() - up})


def _end_after(seconds: float, say: Any) -> None:
    """A page can keep its browser busy for ever; this program ends all the same, with what it has seen."""

    def end() -> None:
        say(late=True)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _find_packages() -> None:
    """The interpreter's own packages, for it was started without `site`: no .pth file adds a path of its own."""
    home, version = (
        Path(sys.executable).parent.parent,
        f"python{sys.version_info.major}.{sys.version_info.minor}",
    )
    for place in (home, Path(sys.prefix)):
        for name in (f"lib/{version}/site-packages", "lib/python3/dist-packages"):
            path = str(place / name)
            if path not in sys.path:
                sys.path.append(path)


def _private(room: str) -> tuple[Path, dict[str, str]]:
    """A directory for the browser alone, and the environment as it was. Ours is then empty but for a few words."""
    private = Path(room, f"visual-{secrets.token_hex(8)}")
    private.mkdir(mode=0o700)
    fonts = private / "fonts.conf"
    fonts.write_text(_FONTS.format(cache=private / "fonts"), encoding="utf-8")
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(
        {
            name: str(private)
            for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        }
    )
    os.environ.update(PATH="/usr/bin:/bin", LANG="C.UTF-8", TZ="UTC", FONTCONFIG_FILE=str(fonts))
    os.environ.update(
        WS_NO_BUFFER_UTIL="1", WS_NO_UTF_8_VALIDATE="1"
    )  # which node would look for in /node_modules
    return private, before
