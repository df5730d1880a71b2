"""What a person sees while a batch runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .records import BranchRecord, RankingRecord

#: Seconds between plain lines, at least.
PLAIN_EVERY_S = 10.0


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
        """See `batch.Progress`."""
        self._counts.total, self._counts.before = total, done
        self._task = self._bar.add_task("branches", total=total, completed=done, words="", rate=0.0)
        self._bar.start()

    def branch(self, record: BranchRecord) -> None:
        """See `batch.Progress`."""
        self._counts.endings[record.result.ending] += 1
        self._bar.update(self._task, advance=1, words=self._counts.words(), rate=self._counts.rate())

    def rollout(self, ranking: RankingRecord) -> None:
        """See `batch.Progress`."""
        self._bar.console.print(ranking_line(ranking), highlight=False, markup=False)

    def note(self, text: str) -> None:
        """See `batch.Progress`."""
        self._bar.console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        """See `batch.Progress`."""
        self._bar.stop()


class PlainProgress:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._last = 0.0

    def start(self, total: int, done: int) -> None:
        """See `batch.Progress`."""
        self._counts.total, self._counts.before = total, done
        self._say(f"{total} branches planned" + (f", {done} done already" if done else ""))

    def branch(self, record: BranchRecord) -> None:
        """See `batch.Progress`."""
        c = self._counts
        c.endings[record.result.ending] += 1
        now = time.monotonic()
        if now - self._last >= PLAIN_EVERY_S or c.done == c.total:
            self._last = now
            left = (c.total - c.done) / max(c.rate(), 1e-6) * 60
            self._say(f"{c.done}/{c.total} branches: {c.words()} ({c.rate():.0f}/min, {left:.0f} s left)")

    def rollout(self, ranking: RankingRecord) -> None:
        """See `batch.Progress`."""
        self._say(ranking_line(ranking))

    def note(self, text: str) -> None:
        """See `batch.Progress`."""
        self._say(text)

    def stop(self) -> None:
        """See `batch.Progress`."""

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def ranking_line(ranking: RankingRecord) -> str:
    """One rollout in one line."""
    passes, n = ranking.power["passes"], ranking.power["n"]
    missing = f", {len(ranking.missing)} missing" if ranking.missing else ""
    winner = f"winner {ranking.winner}" if ranking.winner else "no winner"
    return f"  {ranking.task_id:<28} {passes}/{n} solved{missing}, {winner}"
