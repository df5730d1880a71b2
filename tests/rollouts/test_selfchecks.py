"""The contract suites of memory stores and exporters: ours keep them, and broken ones are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rollouts.exports import EXPORTERS, Rollout, Row, make_exporter
from rollouts.exports.exporter import TABLES, Column
from rollouts.exports.selfcheck import check_exporter
from rollouts.governance import Admitted, Gate
from rollouts.memory import Memory, MemoryStore, open_memory
from rollouts.memory.selfcheck import check_memory
from rollouts.memory.sqlite import SqliteMemory
from rollouts.memory.store import STORES
from rollouts.records import BranchRecord

TASKS = {
    "cart": "The function `total` in cart.py adds the prices of a shopping cart wrongly. Fix it.",
    "parser": "The CSV parser in reader.py drops the last row of a file without a trailing newline. Repair it.",
    "queue": "The C program does not build: make stops with an undefined reference to `queue_push`.",
}


@pytest.fixture
def rollouts(make_record: Callable[..., BranchRecord]) -> list[list[Admitted]]:
    """Three tasks, each with a solved and a failed branch."""
    found = []
    for task, text in TASKS.items():
        records = (
            make_record(i, ending, rollout_id=task, instruction=text, tokens=True)
            for i, ending in enumerate(("solved", "failed", "solved"))
        )
        admitted = [Gate().admit(record) for record in records]
        found.append([each for each in admitted if isinstance(each, Admitted)])
    return found


@pytest.mark.parametrize("name", sorted(STORES))
def test_a_memory_store_keeps_the_contract(name: str, rollouts: list[list[Admitted]], tmp_path: Path) -> None:
    everything = [each for rollout in rollouts for each in rollout]
    assert check_memory(lambda path: open_memory(name, path), tmp_path, everything) == []


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_an_exporter_keeps_the_contract(name: str, rollouts: list[list[Admitted]]) -> None:
    assert check_exporter(make_exporter(name), rollouts) == []


class TakesAll(SqliteMemory):
    """Says yes to every branch, also twice."""

    def add(self, admitted: Admitted, *, namespace: str = "default") -> bool:
        super().add(admitted, namespace=namespace)
        return True


class OneNamespace(SqliteMemory):
    """Has no namespaces."""

    def add(self, admitted: Admitted, *, namespace: str = "default") -> bool:
        return super().add(admitted)

    def count(self, *, namespace: str = "default") -> int:
        return super().count()


class ShowsOwn(SqliteMemory):
    """Forgets to leave out a task's own entries."""

    def retrieve(self, task_text: str, k: int = 3, **options: Any) -> list[Memory]:
        options.pop("exclude_task", None)
        return super().retrieve(task_text, k, **options)


@pytest.mark.parametrize(
    ("broken", "told"),
    [(TakesAll, "stored once"), (OneNamespace, "namespaces"), (ShowsOwn, "left out by its id")],
)
def test_a_broken_memory_store_is_told_what_it_breaks(
    broken: Callable[[Path], MemoryStore], told: str, rollouts: list[list[Admitted]], tmp_path: Path
) -> None:
    everything = [each for rollout in rollouts for each in rollout]
    assert any(told in problem for problem in check_memory(broken, tmp_path, everything))


class Broken:
    """An exporter with a fault of choice."""

    columns: Mapping[str, Column] = {"reward": "float"}
    name = "broken"
    formats = TABLES

    def __init__(self, fault: str) -> None:
        self.fault, self.calls = fault, 0

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        for admitted in rollout:
            self.calls += 1
            if self.fault == "changes":
                admitted.record.trajectory.messages.pop()
            if self.fault == "silent":
                continue
            row: Row = {"reward": admitted.record.result.reward}
            yield row | {
                "unstable": {"n": self.calls},
                "no json": {"n": {1, 2}},
                "wrong type": {"reward": "high"},
            }.get(self.fault, {})


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("changes", "left as they are"),
        ("silent", "counted under its reason"),
        ("unstable", "same rows"),
        ("no json", "JSON"),
        ("wrong type", "column reward"),
    ],
)
def test_a_broken_exporter_is_told_what_it_breaks(
    fault: str, told: str, rollouts: list[list[Admitted]]
) -> None:
    assert any(told in problem for problem in check_exporter(Broken(fault), rollouts))
