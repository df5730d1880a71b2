"""Episodes for callers without an event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs import EpisodeOver, Task, ToolCall
from envs.blocking import Workshop, run
from kernel_pool import UnsupportedFeature
from verifiers import declared


@pytest.fixture
def workshop(options: dict[str, str]) -> Iterator[Workshop]:
    opened = Workshop.open("local", options, max_kernels=2, max_checks=1)
    yield opened
    opened.close()


def step(workshop: Workshop, task: Task) -> str:
    episode = workshop.run(workshop.start(task))
    workshop.run(episode.reset())
    seen = workshop.run(episode.step(ToolCall(id="1", name="bash", arguments={"command": "cat add.py"})))
    workshop.run(episode.close())
    return seen.text


def test_an_episode_is_played_and_verified(workshop: Workshop, add_task: Task) -> None:
    episode = workshop.run(workshop.start(add_task))
    workshop.run(episode.reset())
    edit = {"path": "add.py", "old": "-", "new": "+"}
    workshop.run(episode.step(ToolCall(id="1", name="edit_file", arguments=edit)))
    assert workshop.run(workshop.verify(episode, declared())).score == 1.0


def test_equal_users_share_one_back_end_and_the_last_one_closes_it(options: dict[str, str]) -> None:
    one, other = (Workshop.open("local", options, max_kernels=3) for _ in range(2))
    different = Workshop.open("local", options, max_kernels=4)
    assert one.pool is other.pool
    assert one.pool is not different.pool
    different.close()
    one.close()
    one.close()
    assert other.usable
    other.close()
    with pytest.raises(EpisodeOver, match="closed"):
        other.run(asyncio.sleep(0))


def test_any_thread_may_call(workshop: Workshop, add_task: Task) -> None:
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(step(workshop, add_task))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["exit code 0\ndef add(a, b):\n    return a - b\n"] * 4


def test_a_forked_process_has_a_loop_and_sandboxes_of_its_own(workshop: Workshop, add_task: Task) -> None:
    before = step(workshop, add_task)

    def child(options: dict[str, str], out: int) -> None:
        assert not workshop.usable
        workshop.close()
        own = Workshop.open("local", options)
        os.write(out, step(own, add_task).encode())
        own.close()

    options = {"state_dir": str(Path(add_task.path or "").parent / "child")}
    read, write = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(options, write))
    process.start()
    process.join(60)
    os.close(write)
    assert process.exitcode == 0
    assert os.read(read, 1000).decode() == before
    os.close(read)
    assert step(workshop, add_task) == before


def test_an_interrupt_cancels_the_coroutine_and_waits_for_its_end() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.1)
            ended.append("cleaned up")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run(slow())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ended == ["cleaned up"]


def test_time_runs_out_and_errors_come_through() -> None:
    async def wrong() -> None:
        raise LookupError("so it is")

    with pytest.raises(TimeoutError):
        run(asyncio.sleep(30), timeout_s=0.05)
    with pytest.raises(LookupError, match="so it is"):
        run(wrong())


def test_waiting_for_itself_is_refused() -> None:
    async def inner() -> None:
        run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="its own loop"):
        run(inner())


def test_an_unknown_back_end_is_named_with_the_nearest() -> None:
    with pytest.raises(UnsupportedFeature, match="did you mean local"):
        Workshop.open("locale")


def test_what_nobody_closed_is_closed_at_exit(add_task: Task, tmp_path: Path) -> None:
    program = (
        "import sys; from envs.code_task import CodeTaskEnv\n"
        "env = CodeTaskEnv(sys.argv[1], backend_options={'state_dir': sys.argv[2]})\n"
        "env.reset()\n"
    )
    command = [sys.executable, "-c", program, str(add_task.path), str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert list((tmp_path / "state" / "instances").iterdir()) == []
