"""The line-coverage script that the policy runs inside the sandbox: `python -B - [pytest arguments]`.

It is sent as text on standard input, leaves no file behind and imports nothing of this project. It runs the
tests under a line tracer and prints, each on a line of its own and small enough not to be shortened:

    rf-spectrum {"failed": F, "passed": P, "errors": E, "total": lines traced}
    rf-test {"id": ..., "exc": exception type, "msg": first line, "at": [[file, line], ...]}   innermost first
    rf-file {"path": ..., "lines": "12:3/0 13:3/1", "module": "1 2"}    line:failing/passing tests that ran it
    rf-also {"paths": [...]}                                            other sources of the project
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter, defaultdict
from types import FrameType
from typing import Any

TEST_SECONDS = 1.5  # a test that runs longer counts as failing, with the lines it ran
TOTAL_SECONDS = 12.0
MAX_LINES = 240  # lines printed, the most suspicious first
MAX_TESTS = 8
ROOT = os.getcwd() + os.sep  # noqa: PTH109 - the script must start fast
SKIP = ("site-packages", "dist-packages", ".venv", "node_modules", ".git", "__pycache__")

#: Sources in other languages, and data, that a repair may touch.
TEXT = (
    *(".c", ".h", ".cc", ".cpp", ".sh", ".awk", ".sed", ".js", ".ts", ".rs", ".go", ".java", ".rb", ".pl"),
    *(".sql", ".json", ".csv", ".cfg", ".ini", "Makefile", ".mk", ".toml", ".yaml", ".yml"),
)


class Hang(BaseException):
    """Raised in a test that takes too long; no `except Exception` under test swallows it."""


def is_source(path: str) -> bool:
    """Whether a file belongs to the project and is no test."""
    if not path.startswith(ROOT) or not path.endswith(".py"):
        return False
    parts = path[len(ROOT) :].split("/")
    name = parts[-1]
    if any(part in SKIP for part in parts) or name in ("conftest.py", "setup.py"):
        return False
    return not (name.startswith("test_") or name.endswith("_test.py") or parts[0] in ("tests", "test"))


class Spectrum:
    """A pytest plugin that counts, for every source line, the failing and passing tests that ran it."""

    def __init__(self) -> None:
        self.known: dict[str, bool] = {}
        self.now: set[tuple[str, int]] = set()
        self.module: set[tuple[str, int]] = set()
        self.failing: Counter[tuple[str, int]] = Counter()
        self.passing: Counter[tuple[str, int]] = Counter()
        self.tests: list[dict[str, Any]] = []
        self.counts = {"failed": 0, "passed": 0, "errors": 0}
        self.bad = False
        self.left = TOTAL_SECONDS

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        path = frame.f_code.co_filename
        wanted = self.known.get(path)
        if wanted is None:
            wanted = self.known[path] = is_source(path)
        if not wanted:
            return None
        if event == "line":
            self.now.add((path, frame.f_lineno))
        return self.trace

    def on(self) -> None:
        self.now = set()
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def off(self) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def pytest_collection(self, session: Any) -> Any:
        self.on()
        try:
            yield
        finally:
            self.off()
            self.module |= self.now

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.counts["errors"] += 1
            text = str(report.longrepr).strip().splitlines()
            found = [line for line in text if line.startswith("E ")] or text[-1:] or [""]
            words = found[-1].lstrip("E ").split(":", 1)
            self.add(report.nodeid, words[0], words[-1].strip(), places(text))

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Any:
        self.bad = False
        self.on()
        signal.setitimer(signal.ITIMER_REAL, max(0.05, min(TEST_SECONDS, self.left)))
        try:
            yield
        finally:
            self.left -= TEST_SECONDS - signal.setitimer(signal.ITIMER_REAL, 0)[0]
            self.off()
            self.counts["failed" if self.bad else "passed"] += 1
            (self.failing if self.bad else self.passing).update(self.now)

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        info = call.excinfo
        if info is None or info.typename in ("Skipped", "XFailed"):
            return
        self.bad = True
        at = [[entry.path, entry.lineno + 1] for entry in reversed(info.traceback)]
        at = [[str(path)[len(ROOT) :], line] for path, line in at if is_source(str(path))]
        message = (str(info.value) or info.exconly()).strip()
        self.add(item.nodeid, info.typename, message.split("\n")[0], at)

    def add(self, nodeid: str, exc: str, message: str, at: list[Any]) -> None:
        if len(self.tests) < MAX_TESTS:
            self.tests.append({"id": nodeid[:120], "exc": exc[:60], "msg": message[:240], "at": at[:6]})


def places(text: list[str]) -> list[list[Any]]:
    """`file:line` and `File "x", line n` mentions of project sources, innermost first."""
    found: list[list[Any]] = []
    for line in reversed(text):
        words = line.replace('File "', " ").replace('", line ', ":").split()
        for word in words:
            path, _, rest = word.partition(":")
            number = rest.split(":")[0].split(",")[0]
            full = path if path.startswith(os.sep) else ROOT + path
            if number.isdigit() and is_source(full):
                found.append([full[len(ROOT) :], int(number)])
    return found


def sources(limit: int = 40) -> list[str]:
    """The project's sources relative to the working directory, Python first."""
    found: list[str] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(f for f in folders if f not in SKIP and not f.startswith("."))
        found += [os.path.join(folder, n)[len(ROOT) :] for n in sorted(names)]  # noqa: PTH118
        if len(found) > 20 * limit:
            break
    mine = [path for path in found if is_source(ROOT + path)]
    text = [path for path in found if path.endswith(TEXT) and path.split("/")[0] not in ("tests", "test")]
    return (mine + text)[:limit]


def report(spectrum: Spectrum) -> list[str]:
    """The lines to print."""
    failing = spectrum.failing
    total = spectrum.counts["failed"] or 1

    def suspicion(at: tuple[str, int]) -> float:
        # Ochiai's coefficient: ef / sqrt(F * (ef + ep)).
        return float(failing[at] / (total * (failing[at] + spectrum.passing[at])) ** 0.5)

    top = sorted(failing, key=lambda at: (-suspicion(at), at))[:MAX_LINES]
    by_file: dict[str, list[int]] = defaultdict(list)
    for path, line in top:
        by_file[path].append(line)
    modules: dict[str, list[int]] = defaultdict(list)
    for path, line in spectrum.module:
        modules[path].append(line)
    out = ["rf-spectrum " + json.dumps({**spectrum.counts, "total": len(failing)})]
    out += ["rf-test " + json.dumps(test) for test in spectrum.tests]
    for path in [*by_file, *(p for p in modules if p not in by_file)][:12]:
        lines = " ".join(
            f"{n}:{failing[path, n]}/{spectrum.passing[path, n]}" for n in sorted(by_file.get(path, ()))
        )
        module = " ".join(str(n) for n in sorted(modules.get(path, ()))[:60])
        out.append("rf-file " + json.dumps({"path": path[len(ROOT) :], "lines": lines, "module": module}))
    seen = {path[len(ROOT) :] for path in (*by_file, *modules)}
    out.append("rf-also " + json.dumps({"paths": [p for p in sources() if p not in seen]}))
    return out


def main(arguments: list[str]) -> int:
    """Run pytest quietly under the tracer, then print the report."""

    def hang(number: int, frame: Any) -> None:
        raise Hang("took too long")

    signal.signal(signal.SIGALRM, hang)
    hooks: list[Any] = [Spectrum.pytest_collection, Spectrum.pytest_runtest_protocol]
    for hook in hooks:
        hook.pytest_impl = {"hookwrapper": True}
    spectrum = Spectrum()
    out = os.dup(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        import pytest

        pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[spectrum])
    except ImportError:
        pass  # no pytest here: the list of sources still helps
    finally:
        spectrum.off()
        os.write(out, ("\n".join(report(spectrum)) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
