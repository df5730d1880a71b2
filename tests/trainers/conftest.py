"""A small real run to export, made once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rollouts
from rollouts.config import parse_config
from rollouts.records import BranchRecord
from rollouts.store import RunStore

sys.path.insert(0, str(Path(__file__).parents[1] / "rollouts"))  # for factories

CONFIG = """
tasks: suite
task_ids: [interval-merge, word-count]
branches: 2
policy: {name: mutation, options: {tries: 4}}
sampling: {temperatures: [0.5, 1.0]}
fork: {at: step, step: 4, branches: 1, parents: 1}
engine: {kind: inline}
"""


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundled tasks, for each two branches of the mutation policy and a fork of one after four steps."""
    path = tmp_path_factory.mktemp("runs") / "small"
    rollouts.run(parse_config(CONFIG), path)
    return path


@pytest.fixture
def store(run_dir: Path) -> Iterator[RunStore]:
    """That run, opened for reading."""
    with RunStore.open(run_dir) as opened:
        yield opened


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunStore]:
    """A run with the given records."""

    def make(*records: BranchRecord) -> RunStore:
        path = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        with RunStore.create(path, "branches: 4\n", run_id="run-1", sync=False) as made:
            writer = made.writer("driver")
            for record in records:
                assert writer.append(record)
        return RunStore.open(path)

    return make
