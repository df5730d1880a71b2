"""A whole batch on the e2b back-end, by the real SDK against the loopback server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.e2b import E2BServer
from small_tasks import SOLVE, write_task

ROOT = Path(__file__).resolve().parents[2]


async def rollouts(*arguments: object, key: str = "") -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "E2B_API_KEY"}
    command = [sys.executable, "-m", "rollouts", *map(str, arguments)]
    return await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**env, **({"E2B_API_KEY": key} if key else {})},
    )


def config(root: Path, server: E2BServer, **options: Any) -> Path:
    write_task(root / "tasks")
    urls = {name: value for name, value in server.connection.items() if name != "api_key"}
    written = {
        "tasks": str(root / "tasks"),
        "branches": 2,
        "policy": {"name": "scripted", "options": {"branches": [SOLVE]}},
        "engine": {"kind": "inline"},
        "backend": {
            "name": "e2b",
            "options": {"state_dir": str(root / "state"), "creates_per_s": 50, **urls, **options},
        },
    }
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


async def test_a_batch_runs_on_sandboxes_and_leaves_none(tmp_path: Path) -> None:
    async with E2BServer(tmp_path) as server:
        path = config(tmp_path, server)
        done = await rollouts("run", path, "--out", tmp_path / "run", key=server.api_key)
        assert done.returncode == 0, done.stderr
        shown = json.loads((await rollouts("show", tmp_path / "run", "--json")).stdout)
        assert shown["totals"]["solved"] == 2, shown
        assert server.count("create") > 2
        assert server.live == {}


@pytest.mark.parametrize(
    ("key", "options", "words"),
    [
        ("", {}, "set E2B_API_KEY"),
        ("e2b_wrong", {}, "set E2B_API_KEY"),
        ("right", {"template": "no-such-template"}, "no-such-template"),
        ("right", {"api_url": "http://127.0.0.1:9"}, "does not answer"),
    ],
)
async def test_what_the_environment_lacks_is_one_line_and_exit_code_3(
    tmp_path: Path, key: str, options: dict[str, Any], words: str
) -> None:
    async with E2BServer(tmp_path) as server:
        path = config(tmp_path, server, **options)
        given = server.api_key if key == "right" else key
        done = await rollouts("run", path, "--out", tmp_path / "run", key=given)
        assert done.returncode == 3, done.stdout + done.stderr
        assert words in done.stderr and "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "run").exists()
        assert server.live == {}


async def test_the_bundled_config_names_the_variable_it_lacks() -> None:
    done = await rollouts("run", "configs/e2b.yaml")
    assert done.returncode == 3
    assert "E2B_API_KEY" in done.stderr and len(done.stderr.strip().splitlines()) == 1
