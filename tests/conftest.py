"""What every test stands on: a home directory of its own, so that nothing a test runs can reach the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

#: modules that share something costly or machine-wide: all their tests run in one process, one after another
_TOGETHER = {
    "test_batch": "ray",
    "test_cli": "ray",
    "test_judge_rewards": "ray",
    "test_nothing_left": "ray",
    "test_ray_job": "ray",
    "test_ray_vector": "ray",
    "test_docker": "engine",
    "test_docker_life": "engine",
    "test_docker_limits": "engine",
    "test_docker_states": "engine",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = _TOGETHER.get(item.path.stem)
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("home")
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(directory)
    yield directory
    if before is not None:
        os.environ["HOME"] = before
