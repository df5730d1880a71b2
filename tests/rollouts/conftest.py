"""Fixtures of the orchestrator's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import factories
import pytest

from rollouts.records import BranchRecord, RankingRecord
from rollouts.store import RunStore


@pytest.fixture
def make_record() -> Callable[..., BranchRecord]:
    """`factories.make_record`: a realistic branch record."""
    return factories.make_record


@pytest.fixture
def make_ranking() -> Callable[..., RankingRecord]:
    """`factories.make_ranking`."""
    return factories.make_ranking


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunStore]:
    """A finished run in a directory of its own with the given records, opened for reading."""
    made = 0

    def make(*records: BranchRecord, config: str = "branches: 4\n") -> RunStore:
        nonlocal made
        made += 1
        path = tmp_path / f"run{made}"
        with RunStore.create(path, config, run_id="run-1", sync=False) as store:
            writer = store.writer("driver")
            for record in records:
                assert writer.append(record)
        return RunStore.open(path)

    return make
