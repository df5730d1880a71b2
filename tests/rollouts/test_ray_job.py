"""A batch submitted to a running cluster the way the README says."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollouts.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    """This environment with the project's own programs first, and no cluster it could stray to."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}:{env['PATH']}"
    return {**env, "PATH": path, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def dashboard(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[str]:
    """A real head on this machine with its dashboard; everything it started ends with it."""
    temp = Path(f"/tmp/rj{os.getpid()}")  # short: Ray keeps sockets below it
    port = free_port()
    head = subprocess.Popen(
        [
            *(RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={free_port()}"),
            *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"),
            *(f"--temp-dir={temp}", "--num-cpus=2", "--object-store-memory=100000000"),
            *(f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"),
            "--disable-usage-stats",
        ],
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and head.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/api/version", timeout=2):
                break
            time.sleep(0.3)
        yield address
    finally:
        head.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        subprocess.run(["rm", "-rf", str(temp)], check=False)


def test_a_batch_submitted_as_a_ray_job_ends_in_a_whole_run_directory(
    dashboard: str, tmp_path: Path, home: Path
) -> None:
    out = tmp_path / "run"
    done = subprocess.run(
        [
            *(RAY, "job", "submit", "--address", dashboard, "--working-dir", ".", "--"),
            *("python", "-m", "rollouts", "run", "configs/quickstart.yaml", "--out", str(out)),
            *("--set", "task_ids=[pagination,lru-cache]", "--set", "branches=2"),
        ],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "succeeded" in done.stdout
    with RunStore.open(out) as store:
        keys = sorted(record.key for record in store.branches())
    assert keys == [(task, f"b00{i}") for task in ("lru-cache", "pagination") for i in (0, 1)]
    assert (out / "report.html").is_file()
