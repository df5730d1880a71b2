"""What a run of the visible tests says: how many failed, which, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_COUNT = re.compile(r"\b(\d+) (failed|passed|errors?|skipped|xfailed|xpassed)\b")
_SUMMARY = re.compile(r"^=*\s*(\d+ (?:failed|passed|errors?|skipped|xfailed|xpassed|deselected|warnings?)\b.*?)"
                      r" in [\d.]+ ?s", re.M)  # fmt: skip
_UNITTEST = re.compile(r"^FAILED \(((?:failures|errors|skipped|expected failures)=\d+.*)\)\s*$", re.M)
_RAN = re.compile(r"^Ran (\d+) tests? in", re.M)
_EXIT = re.compile(r"\bexit(?:ed)?(?: with)?(?: code| status)?[:= ]+(-?\d+)", re.I)
_TAP = re.compile(r"^(?:not ok|FAIL(?:ED)?)\b", re.M)
_FILE = re.compile(r"^(?:FAILED|ERROR) ([^\s:]+\.py)", re.M)
_ENDED = re.compile(r"\b(timed out|timeout|killed|out of memory|output limit)\b", re.I)


@dataclass(frozen=True)
class Outcome:
    """`failing` counts failed tests and errors; None: the run did not get far enough to say."""

    failing: int | None
    passed: int | None
    files: tuple[str, ...] = ()  #: test files named as failing

    @property
    def green(self) -> bool:
        """Tests ran, and none failed. Nothing run is not green."""
        return self.failing == 0

    def better_than(self, other: Outcome) -> bool:
        """Strictly fewer failures, and not because tests went missing."""
        if self.failing is None or other.failing is None:
            return self.failing is not None
        if self.passed is not None and other.passed is not None and self.passed < other.passed:
            return False
        return self.failing < other.failing


@lru_cache(maxsize=256)
def parse(text: str) -> Outcome:
    """Read pytest's, unittest's or a plain runner's output with the exit code that the tool reports."""
    files = tuple(dict.fromkeys(_FILE.findall(text)))
    exit_code = next((int(code) for code in reversed(_EXIT.findall(text))), None)
    summaries = _SUMMARY.findall(text)
    if summaries:
        counts = {word.rstrip("s"): int(n) for n, word in _COUNT.findall(summaries[-1])}
        failing = counts.get("failed", 0) + counts.get("error", 0)
        passed = counts.get("passed", 0)
        if failing == 0 and (exit_code not in (None, 0) or passed == 0):
            failing = 1  # the summary is not the whole story
        return Outcome(failing, passed, files)
    ran = sum(map(int, _RAN.findall(text)))
    if ran:
        bad = sum(
            int(n) for part in _UNITTEST.findall(text) for n in re.findall(r"(?:failures|errors)=(\d+)", part)
        )
        if bad == 0 and exit_code not in (None, 0):
            bad = 1
        return Outcome(bad, max(ran - bad, 0), files)
    if exit_code is None:
        return Outcome(None, None, files)
    if exit_code == 0:
        return Outcome(0, None, files)
    # Without a summary a run that was ended says less than one that failed.
    return Outcome(None if _ENDED.search(text) else max(1, len(_TAP.findall(text))), None, files)
