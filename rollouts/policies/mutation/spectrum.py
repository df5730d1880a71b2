"""Fault localisation: the command that runs the tracer in the sandbox, and what its output says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

MARK = "RF_SPECTRUM"  #: the here-document's delimiter; how a localisation is recognised in a conversation


@dataclass(frozen=True)
class Failure:
    """A failing test as the tracer saw it."""

    id: str
    exc: str
    message: str
    at: tuple[tuple[str, int], ...] = ()  #: (file, line) of the project's frames, innermost first


@dataclass(frozen=True)
class Spectrum:
    """Which lines the failing and the passing tests ran."""

    failed: int = 0
    passed: int = 0
    failures: tuple[Failure, ...] = ()
    lines: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)  #: path -> line -> (ef, ep)
    module: dict[str, frozenset[int]] = field(default_factory=dict)  #: path -> lines that ran at import
    others: tuple[str, ...] = ()  #: sources that no failing test ran

    def ochiai(self, path: str, line: int) -> float:
        """Suspicion of a line: ef / sqrt(F (ef + ep)), 0..1.

        Ochiai's coefficient as a fault localiser: Abreu, Zoeteweij, van Gemund, "On the accuracy of
        spectrum-based fault localization", TAIC PART 2007. F: failing tests; ef, ep: failing and passing
        tests that ran the line.
        """
        ef, ep = self.lines.get(path, {}).get(line, (0, 0))
        if not ef:
            return 0.0
        return float(ef / (max(self.failed, 1) * (ef + ep)) ** 0.5)

    def covers(self, path: str) -> bool:
        """Whether a failing test ran any line of the file."""
        return any(ef for ef, _ in self.lines.get(path, {}).values())

    def files(self) -> list[str]:
        """Paths, the most suspicious first; sources no failing test ran come last."""
        found = {
            path: max((self.ochiai(path, line) for line in lines), default=0.0)
            for path, lines in self.lines.items()
        }
        traced = [path for failure in self.failures for path, _ in failure.at]
        ranked = sorted(found, key=lambda p: (-found[p], traced.index(p) if p in traced else 99, p))
        return list(dict.fromkeys([*(p for p in ranked if found[p] > 0), *traced, *ranked, *self.others]))


@cache
def _script() -> str:
    return (Path(__file__).parent / "tracer.py").read_text(encoding="utf-8")


def command(paths: Sequence[str]) -> str:
    """The shell command that localises: the tracer on standard input, over these test files ([]: all)."""
    python = "$(command -v python || command -v python3)"
    words = " ".join(shlex.quote(path) for path in paths)
    return f"\"{python}\" -B - {words} <<'{MARK}'\n{_script()}{MARK}"


@lru_cache(maxsize=32)
def parse(text: str) -> Spectrum | None:
    """The tracer's report, or None where there is none. Lines that do not parse are left out."""
    head: dict[str, Any] | None = None
    failures: list[Failure] = []
    lines: dict[str, dict[int, tuple[int, int]]] = {}
    module: dict[str, frozenset[int]] = {}
    others: list[str] = []
    for kind, data in _records(text):
        if kind == "rf-spectrum":
            head = data
        elif kind == "rf-test":
            at = tuple((str(p), int(n)) for p, n in data.get("at", ()))
            failures.append(Failure(str(data["id"]), str(data["exc"]), str(data["msg"]), at))
        elif kind == "rf-file":
            lines[data["path"]] = dict(_counts(data["lines"]))
            module[data["path"]] = frozenset(int(n) for n in data["module"].split())
        elif kind == "rf-also":
            others += [str(path) for path in data["paths"]]
    if head is None:
        return None
    failed = int(head["failed"]) + int(head.get("errors", 0))
    return Spectrum(failed, int(head["passed"]), tuple(failures), lines, module, tuple(others))


def _records(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind in ("rf-spectrum", "rf-test", "rf-file", "rf-also"):
            try:
                data = json.loads(rest)
            except ValueError:
                continue
            if isinstance(data, dict):
                yield kind, data


def _counts(text: str) -> Iterator[tuple[int, tuple[int, int]]]:
    for word in text.split():
        line, _, counts = word.partition(":")
        ef, _, ep = counts.partition("/")
        yield int(line), (int(ef), int(ep))
