"""Whichever process of a run on Ray is killed: the run ends or resumes, and no process, group or directory stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from small_tasks import SOLVE, call, write_task

from kernel_pool.backends.local.cgroups import tier
from rollouts.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
MARK = "sleep 0.317"
SLOW = [call("bash", command=f"setsid {MARK} & {MARK}"), *SOLVE]
BRANCHES = 10


def processes(text: str) -> dict[int, str]:
    """pid -> command line of every process with this in it."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text in line and int(path.parent.name) != os.getpid():
                found[int(path.parent.name)] = line
    return found


def groups_of_the_dead() -> set[Path]:
    """Control groups of processes that are gone. Other tests may have their own meanwhile."""
    found = tier()
    all_of_them = (
        [] if found is None else [p for d in found.parents.values() for p in d.glob("rollout-fork-*")]
    )
    return {p for p in all_of_them if not Path("/proc", p.name.split("-")[2]).exists()}


def below(pid: int) -> set[int]:
    """A process and all its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def lines(run: Path) -> int:
    return sum(p.read_bytes().count(b"\n") for p in run.glob("branches/*.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["ray::BranchActor", "ray::VerifierActor", "a zygote", "the driver"])
def test_nothing_is_left_when_a_process_of_a_run_is_killed(victim: str, tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    state = tmp_path / "state"
    config = {
        "tasks": str(tmp_path / "tasks"),
        "branches": BRANCHES,
        "policy": {"name": "scripted", "options": {"branches": [SLOW]}},
        "backend": {"options": {"state_dir": str(state)}},
        "engine": {"kind": "ray", "retries": 3},
        "report": False,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "run"
    command = [sys.executable, "-m", "rollouts", "run", str(tmp_path / "config.yaml"), "--out", str(out)]
    before = groups_of_the_dead()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        deadline = time.monotonic() + 90
        while lines(out) < 2 and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.02)
        family = below(run.pid)
        if victim == "the driver":
            os.kill(run.pid, signal.SIGKILL)
        else:
            mark = str(state) if victim == "a zygote" else victim
            pid = next(pid for pid in processes(mark) if pid in family)
            os.kill(pid, signal.SIGKILL)
        said = run.communicate(timeout=150)[1]
        if victim != "the driver":
            assert run.returncode == 0, said
    if victim == "the driver":
        wait_until_gone(MARK)
        assert (
            subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=150).returncode == 0
        )
    with RunStore.open(out) as store:
        endings = {record.lineage.branch_id: record.result.ending for record in store.branches()}
    assert len(endings) == BRANCHES
    assert set(endings.values()) == {"solved"}
    wait_until_gone(MARK)
    wait_until_gone(str(state))
    assert sorted((state / "instances").iterdir()) == []
    assert sorted((state / "tmp").iterdir()) == []
    assert groups_of_the_dead() - before == set()
    assert str(state) not in Path("/proc/self/mounts").read_text()


def wait_until_gone(text: str) -> None:
    deadline = time.monotonic() + 10
    while processes(text) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes(text) == {}
