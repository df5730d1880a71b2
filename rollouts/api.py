"""The Python API: what the command line does, from a script or a notebook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from .config import RunConfig, load_config, parse_config
from .records import BranchRecord, RankingRecord
from .store import RunStore

T = TypeVar("T")


class Run:
    """A run directory, opened for reading."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with RunStore.open(self.path) as store:
            self.run_id: str = store.run_id

    def branches(self, task: str | None = None) -> Iterator[BranchRecord]:
        """All branch records, or those of one task, one at a time."""
        with RunStore.open(self.path) as store:
            for record in store.branches():
                if task in (None, record.task.task_id):
                    yield record

    def rankings(self) -> dict[str, RankingRecord]:
        """The ranking of every rollout by its id."""
        with RunStore.open(self.path) as store:
            return store.rankings()

    def winner(self, task: str) -> BranchRecord | None:
        """The winning branch of a task; None when there is no winner."""
        ranking = self.rankings().get(task)
        wanted = ranking.winner if ranking else None
        return next((b for b in self.branches(task) if b.lineage.branch_id == wanted), None)

    def summary(self) -> dict[str, Any]:
        """The totals, as `rollouts show RUN --json` prints them."""
        from .views import summary

        with RunStore.open(self.path) as store:
            return summary(store)

    def export(self, to: str, out: Path | str | None = None, **options: Any) -> list[Path]:
        """Write training data (`rollouts.exports.EXPORTERS` names all kinds); returns the files.

        `options` go to the export, for instance `form="prompt_completion"` for `sft`.
        """
        from .exports import export

        with RunStore.open(self.path) as store:
            return export(store, to, Path(out) if out else self.path / "exports" / to, **options).files

    def report(self) -> Path:
        """Write `report.html`; returns its path."""
        from .views import write_report

        with RunStore.open(self.path) as store:
            return write_report(store)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def run(config: RunConfig | Path | str, out: Path | str, overrides: Mapping[str, Any] | None = None) -> Run:
    """Run a batch (or finish it, when `out` holds an unfinished one with the same config).

    `overrides` are dotted settings: `{"branches": 8, "engine.kind": "inline"}`. Raises the errors of
    `rollouts.errors` and `kernel_pool.errors`.
    """
    from .batch import run_batch

    pairs = [f"{key}={value}" for key, value in (overrides or {}).items()]
    if isinstance(config, RunConfig):
        config = parse_config(config.yaml(), pairs) if pairs else config
    else:
        config = load_config(config, pairs)
    _wait(run_batch(config, Path(out)))
    return Run(out)


def fork(run: Run | Path | str, branch: str, step: int, n: int = 4) -> list[BranchRecord]:
    """Fork a finished branch (`TASK/bNNN`) at one of its steps into `n` new ones; returns their records."""
    from .progress import Silent
    from .refork import refork

    path = run.path if isinstance(run, Run) else Path(run)
    with RunStore.open(path) as store:
        config = parse_config(store.config_text, origin=str(path / "config.yaml"))
    return _wait(refork(config, path, branch, step, n, Silent()))


def load(path: Path | str) -> Run:
    """Open a run directory for reading."""
    return Run(path)


def _wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also from inside a notebook's running loop (then in a thread)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    box: list[T] = []
    errors: list[BaseException] = []

    def main() -> None:
        try:
            box.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - carried over to the calling thread
            errors.append(error)

    thread = threading.Thread(target=main, name="rollouts")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return box[0]
