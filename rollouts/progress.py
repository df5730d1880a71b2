"""What a person sees while a batch runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .records import BranchRecord, RankingRecord

#: Seconds between plain lines, at least.
PLAIN_EVERY_S = 10.0


class Progress(Protocol):
    """Told what a batch does."""

    def start(self, total: int, done: int) -> None:
        """`total` branches are planned, `done` of them were there already."""
        ...

    def more(self, count: int) -> None:
        """So many more are planned: forks of branches that are done."""
        ...

    def branch(self, record: BranchRecord) -> None:
        """A branch is done and written."""
        ...

    def rollout(self, ranking: RankingRecord) -> None:
        """All branches of a task are done and ranked."""
        ...

    def note(self, text: str) -> None:
        """Something a reader should know."""
        ...

    def stop(self) -> None:
        """Nothing more comes."""
        ...


class Silent:
    """A progress that says nothing."""

    def start(self, total: int, done: int) -> None:
        """See `Progress`."""

    def more(self, count: int) -> None:
        """See `Progress`."""

    def branch(self, record: BranchRecord) -> None:
        """See `Progress`."""

    def rollout(self, ranking: RankingRecord) -> None:
        """See `Progress`."""

    def note(self, text: str) -> None:
        """See `Progress`."""

    def stop(self) -> None:
        """See `Progress`."""


class _Counts:
    def __init__(self) -> None:
        self.endings: Counter[str] = Counter()
        self.began = time.monotonic()
        self.total = self.before = 0

    @property
    def done(self) -> int:
        return self.before + sum(self.endings.values())

    def rate(self) -> float:
        """Branches per minute of this call."""
        return 60 * sum(self.endings.values()) / max(time.monotonic() - self.began, 1e-6)

    def words(self) -> str:
        missing = sum(n for e, n in self.endings.items() if e in ("policy_error", "infra_error", "cancelled"))
        parts = [f"{self.endings['solved']} solved", f"{self.endings['failed']} failed"]
        parts += [f"{self.endings['truncated']} truncated"] if self.endings["truncated"] else []
        parts += [f"{missing} missing"] if missing else []
        return ", ".join(parts)


class TerminalProgress:
    """One live line with a bar, counts, rate and time left."""

    def __init__(self, console: Console | None = None) -> None:
        self._counts = _Counts()
        self._bar = Bar(
            TextColumn("[bold]branches"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TextColumn("[dim]{task.fields[rate]:.0f}/min, left"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )

    def start(self, total: int, done: int) -> None:
        """See `Progress`."""
        self._counts.total, self._counts.before = total, done
        self._task = self._bar.add_task("branches", total=total, completed=done, words="", rate=0.0)
        self._bar.start()

    def more(self, count: int) -> None:
        """See `Progress`."""
        self._counts.total += count
        self._bar.update(self._task, total=self._counts.total)

    def branch(self, record: BranchRecord) -> None:
        """See `Progress`."""
        self._counts.endings[record.result.ending] += 1
        self._bar.update(self._task, advance=1, words=self._counts.words(), rate=self._counts.rate())

    def rollout(self, ranking: RankingRecord) -> None:
        """See `Progress`."""
        self._bar.console.print(ranking_line(ranking), highlight=False, markup=False)

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._bar.console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        """See `Progress`."""
        self._bar.stop()


class PlainProgress:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._last = 0.0

    def start(self, total: int, done: int) -> None:
        """See `Progress`."""
        self._counts.total, self._counts.before = total, done
        self._say(f"{total} branches planned" + (f", {done} done already" if done else ""))

    def more(self, count: int) -> None:
        """See `Progress`."""
        self._counts.total += count

    def branch(self, record: BranchRecord) -> None:
        """See `Progress`."""
        c = self._counts
        c.endings[record.result.ending] += 1
        now = time.monotonic()
        if now - self._last >= PLAIN_EVERY_S or c.done == c.total:
            self._last = now
            left = (c.total - c.done) / max(c.rate(), 1e-6) * 60
            self._say(f"{c.done}/{c.total} branches: {c.words()} ({c.rate():.0f}/min, {left:.0f} s left)")

    def rollout(self, ranking: RankingRecord) -> None:
        """See `Progress`."""
        self._say(ranking_line(ranking))

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._say(text)

    def stop(self) -> None:
        """See `Progress`."""

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def ranking_line(ranking: RankingRecord) -> str:
    """One rollout in one line."""
    passes, n = ranking.power["passes"], ranking.power["n"]
    forks = f" and {len(ranking.order) - n} forks" if len(ranking.order) > n else ""
    missing = f", {len(ranking.missing)} missing" if ranking.missing else ""
    winner = f"winner {ranking.winner}" if ranking.winner else "no winner"
    return f"  {ranking.task_id:<28} {passes}/{n} solved{forks}{missing}, {winner}"
