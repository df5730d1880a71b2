"""What a killed process leaves behind is found and removed; what lives is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from pool_support import eventually

from kernel_pool import Backend, BaseSpec
from kernel_pool.journal import Journal, end_processes, process_start, reap
from kernel_pool.registry import backend

_OWNER = """
import asyncio, sys
from kernel_pool import BaseSpec
from kernel_pool.registry import backend

async def main():
    plain = backend("subprocess", state_dir=sys.argv[1], allow_unsandboxed=True)
    kernel = await plain.start(await plain.prepare(BaseSpec()))
    running = asyncio.ensure_future(kernel.run("echo $$ > pid; setsid sleep 300"))
    while not [entry for entry in await asyncio.to_thread(lambda: list(kernel.root.glob("app/pid"))) if entry.stat().st_size]:
        await asyncio.sleep(0.02)
    print(kernel.id, flush=True)
    await running

asyncio.run(main())
"""


def _killed_owner(state_dir: Path) -> str:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(state_dir)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner:
        kernel_id = owner.stdout.readline().strip()
        owner.kill()
    return kernel_id


async def test_the_kernels_of_a_killed_process_are_removed_with_their_processes(tmp_path: Path) -> None:
    kernel_id = await asyncio.to_thread(_killed_owner, tmp_path)
    room = tmp_path / "plain" / "kernels" / kernel_id
    pid = int((room / "root" / "app" / "pid").read_text())
    assert process_start(pid) is not None  # it really outlived its owner
    assert reap(tmp_path / "plain") == 1
    assert not room.exists()
    await eventually(lambda: process_start(pid) is None)
    assert reap(tmp_path / "plain") == 0


async def test_a_new_back_end_reaps_by_itself_and_spares_the_living(tmp_path: Path, plain: Backend) -> None:
    alive = await plain.start(await plain.prepare(BaseSpec()))
    kernel_id = await asyncio.to_thread(_killed_owner, tmp_path / "state")
    other = backend("subprocess", state_dir=tmp_path / "state", allow_unsandboxed=True)
    await other.prepare(BaseSpec())
    assert not (tmp_path / "state" / "plain" / "kernels" / kernel_id).exists()
    assert (await alive.run("echo alive")).stdout == b"alive\n"
    await alive.close()
    await other.close()
    assert list((tmp_path / "state" / "plain" / "kernels").iterdir()) == []


def test_a_pid_that_was_given_to_another_process_is_told_apart(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "kernels" / "k1").mkdir(parents=True)
    journal.add("k1", tmp_path / "kernels" / "k1")
    [file] = (tmp_path / "owners").iterdir()
    assert reap(tmp_path) == 0  # this process is alive
    start = process_start(os.getpid())
    file.write_text(file.read_text().replace(f'"start": {start}', f'"start": {int(start or 0) - 1}'))
    assert reap(tmp_path) == 1
    assert not (tmp_path / "kernels" / "k1").exists()


def test_a_journal_never_makes_the_reaper_remove_anything_else(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "room")
    precious = tmp_path / "precious"
    precious.mkdir()
    journal.add("k1", precious)
    [file] = (tmp_path / "room" / "owners").iterdir()
    file.write_text(file.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4194304'))
    assert reap(tmp_path / "room") == 0
    assert precious.exists()


def test_process_start_knows_the_living_from_the_dead() -> None:
    process = subprocess.Popen(["sleep", "30"])
    assert process_start(process.pid) == process_start(process.pid) is not None
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) is None  # a zombie holds nothing
    process.wait()
    assert process_start(process.pid) is None


def test_end_processes_leaves_unmarked_processes_alone() -> None:
    marked = subprocess.Popen(
        ["sleep", "30"], env={**os.environ, "KERNEL_ID": "the-one"}, start_new_session=True
    )
    other = subprocess.Popen(["sleep", "30"], env={**os.environ, "KERNEL_ID": "the-one-more"})
    end_processes("the-one")
    assert marked.wait(timeout=5) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()
