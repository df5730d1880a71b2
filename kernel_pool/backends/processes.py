"""One command as an ordinary process of this machine: limits, output, and an end that takes everything along."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ..errors import KernelStartFailed
from ..journal import end_processes
from ..kernel import Ended, ExecResult, Limits, OutputSink

_CHUNK = 64 * 1024

Stream = Literal["stdout", "stderr"]


async def run(
    argv: Sequence[str],
    *,
    kernel_id: str,
    env: Mapping[str, str],
    cwd: Path,
    stdin: Path,
    limits: Limits,
    on_output: OutputSink | None = None,
    files: Mapping[int, Path] | None = None,
) -> ExecResult:
    """Run it to its end. `env` must carry the kernel's mark. `files` are opened for the command by number.

    Raises `KernelStartFailed` when no process can be made.
    """
    started = time.monotonic()
    if not cwd.is_dir():
        return ExecResult(126, b"", f"{cwd}: no such directory\n".encode(), 0.0)
    try:
        with stdin.open("rb") as source:
            process = subprocess.Popen(
                [*_with_limits(limits, files or {}), *argv],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        raise KernelStartFailed(f"kernel {kernel_id}: no process could be started: {error}") from error
    with process:
        watch = _Watch(process, limits.output_bytes, on_output)
        try:
            ended = await watch.until_the_end(started + limits.wall_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            end_processes(kernel_id)
            watch.stop()
        if ended == "exited" and not watch.drain():
            ended = "output"
    return _result(ended, process.returncode, watch, time.monotonic() - started)


def _with_limits(limits: Limits, files: Mapping[int, Path]) -> list[str]:
    """A bash that lowers its own limits, opens the files and becomes the command (no code between fork and exec)."""
    opens = "".join(f' {number}<>"${{{place}}}"' for place, number in enumerate(files, 1))
    # One that is already stricter cannot be set, and need not be.
    bounds = f"c 0,v {limits.memory_mb * 1024},f {limits.file_mb * 1024},n {limits.open_files}".split(",")
    lines = [f"ulimit -{bound} 2>/dev/null" for bound in bounds]
    if files:
        lines.append(f"exec{opens}")
    script = "\n".join([*lines, f"shift {len(files)}", 'exec "$@"'])
    return ["bash", "--norc", "--noprofile", "-c", script, "kernel", *map(str, files.values())]


def _result(ended: Ended, code: int, watch: _Watch, wall_s: float) -> ExecResult:
    out, err = bytes(watch.output["stdout"]), bytes(watch.output["stderr"])
    if ended != "exited":
        return ExecResult(None, out, err, wall_s, ended)
    if code < 0:
        return ExecResult(None, out, err, wall_s, "signalled", signal=-code)
    return ExecResult(code, out, err, wall_s)


class _Watch:
    """Collects a process's output, up to a budget, and notices its end."""

    def __init__(self, process: subprocess.Popen[bytes], budget: int, on_output: OutputSink | None) -> None:
        assert process.stdout is not None and process.stderr is not None
        self.output: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._budget = budget
        self._on_output = on_output
        self._events: asyncio.Queue[tuple[Stream, bytes] | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._pipes: dict[Stream, int] = {
            "stdout": process.stdout.fileno(),
            "stderr": process.stderr.fileno(),
        }
        self._pid_fd = os.pidfd_open(process.pid)
        for name, fd in self._pipes.items():
            os.set_blocking(fd, False)
            self._loop.add_reader(fd, self._readable, name, fd)
        self._loop.add_reader(self._pid_fd, self._exited)

    async def until_the_end(self, deadline: float) -> Ended:
        """Until the process exits, time is up (on `time.monotonic`) or the budget is spent."""
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                while event := await self._events.get():
                    if not self._take(*event):
                        return "output"
            return "exited"
        except TimeoutError:
            return "timeout"

    def drain(self) -> bool:
        """What is left in the pipes now that nobody writes; False when it passes the budget."""
        while not self._events.empty():
            event = self._events.get_nowait()
            if event and not self._take(*event):
                return False
        for name, fd in self._pipes.items():
            with suppress(BlockingIOError):  # somebody slipped away and still holds the pipe
                while data := os.read(fd, _CHUNK):
                    if not self._take(name, data):
                        return False
        return True

    def stop(self) -> None:
        """Stop watching."""
        for fd in (*self._pipes.values(), self._pid_fd):
            self._loop.remove_reader(fd)
        os.close(self._pid_fd)

    def _readable(self, name: Stream, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._events.put_nowait((name, data))
        else:
            self._loop.remove_reader(fd)

    def _exited(self) -> None:
        self._loop.remove_reader(self._pid_fd)
        self._events.put_nowait(None)

    def _take(self, name: Stream, data: bytes) -> bool:
        taken = data[: self._budget]
        self._budget -= len(taken)
        self.output[name] += taken
        if taken and self._on_output is not None:
            self._on_output(name, taken)
        return len(taken) == len(data)
