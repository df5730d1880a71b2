"""Where pages come from: files of the work, or the server that the work brings."""

from __future__ import annotations

import collections
import http.client
import mimetypes
import os
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from . import shield

if TYPE_CHECKING:
    from playwright.sync_api import Route

#: Files appear under this address. Nothing listens there: requests are answered before they leave the browser.
ORIGIN = "http://work.localhost"
_MAX_FILE = 32 * 1024 * 1024
_LOG_LINES, _LOG_LINE = 200, 500


class Files:
    """Answers the browser's requests with files below one directory; everything else is refused."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._types = mimetypes.MimeTypes()  # the built-in table; the work's /etc has no say

    def answer(self, route: Route) -> None:
        """For `context.route`."""
        url = route.request.url
        if not url.startswith(ORIGIN + "/"):
            route.abort("internetdisconnected")
            return
        path = self._file(url)
        if path is None:
            route.fulfill(status=404, content_type="text/plain", body="not found")
            return
        kind = self._types.guess_type(path.name)[0] or "application/octet-stream"
        if kind.startswith("text/") or kind.endswith(("javascript", "json", "xml")):
            kind += "; charset=utf-8"
        route.fulfill(status=200, content_type=kind, body=path.read_bytes())

    def _file(self, url: str) -> Path | None:
        """The file an address stands for; None when it is none, too large, or lies elsewhere (also by a link)."""
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).lstrip("/")
        if "\0" in name:
            return None
        try:
            path = (self._root / name).resolve()
            if path.is_dir():
                path = (path / "index.html").resolve()
            usable = path.is_relative_to(self._root) and path.is_file() and path.stat().st_size <= _MAX_FILE
            return path if usable and os.access(path, os.R_OK) else None
        except (OSError, RuntimeError):  # a name too long, a circle of links
            return None


class Server:
    """The work's own server, behind the shield."""

    def __init__(self, command: str, url: str, workdir: str, private: Path, env: Mapping[str, str]) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._lines: collections.deque[bytes] = collections.deque(maxlen=_LOG_LINES)
        program = [sys.executable, "-I", "-S", str(Path(shield.__file__)), str(private)]
        self._process = subprocess.Popen(
            [*program, "/bin/sh", "-c", command],
            cwd=workdir,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def log(self) -> str:
        """The end of what it printed."""
        return b"".join(self._lines).decode(errors="replace")

    def wait(self, timeout_s: float) -> str:
        """Until it answers; "" then, else why it does not."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._answers(min(2.0, max(0.1, deadline - time.monotonic()))):
                return ""
            if self._process.poll() is not None and not self._answers(
                1.0
            ):  # it may have gone to the background
                time.sleep(0.05)  # for its last words
                return f"the server ended with {self._process.returncode} before it answered"
            time.sleep(0.02)
        return f"the server did not answer within {timeout_s:g} s"

    def _answers(self, timeout_s: float) -> bool:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=timeout_s)
        try:
            connection.request("GET", self._url.path or "/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_LOG_LINE):
            self._lines.append(line)
