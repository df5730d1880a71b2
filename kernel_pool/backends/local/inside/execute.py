"""One command inside a kernel, as PID 1 runs it: start, pump, bound, end, sweep.

When the command's own process has ended, everything else in the kernel is killed, so that the state a
snapshot sees is at rest.
"""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH
from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import namespaces, syscalls, wire

_CHUNK = 64 * 1024
_BACKLOG = 1024 * 1024  # bytes waiting for the host; beyond it the command's output is left in its pipes
_TICK_S = 0.1  # how often memory is looked at
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Job:
    """What to execute, resolved."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    limits: dict[str, Any]
    stdin: bytes = b""
    files: dict[int, int] = field(default_factory=dict)  #: descriptor in the child -> descriptor here
    enter: Callable[[], None] | None = None  #: called in the child instead of exec; must not return


@dataclass
class Outcome:
    """How it ended; the fields of `ExecResult` without the output."""

    ended: str
    exit_code: int | None
    signal: int | None
    wall_s: float


def memory_file(content: bytes = b"") -> int:
    """A descriptor of an anonymous file with this content, at its start."""
    fd = os.memfd_create("kernel")
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def execute(job: Job, host: socket.socket, wakeup: int) -> Outcome:
    """Run it, streaming its output to the host. `wakeup` becomes readable when a child ends."""
    started = time.monotonic()
    out, err, child = _spawn(job, host)
    run = _Run(job, host, wakeup, child, out, err, started)
    try:
        return run.to_the_end()
    finally:
        os.close(out)
        os.close(err)
        host.setblocking(True)


def _spawn(job: Job, host: socket.socket) -> tuple[int, int, int]:
    stdin = memory_file(job.stdin) if job.stdin else os.open("/dev/null", os.O_RDONLY)
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become(job, host, stdin, out_w, err_w)
        except Exception as error:  # noqa: BLE001 - a child must never go on as a second PID 1
            _give_up(f"{job.argv[0]}: {error}", 126)
    for fd in (stdin, out_w, err_w):
        os.close(fd)
    os.set_blocking(out_r, False)
    os.set_blocking(err_r, False)
    return out_r, err_r, child


def _become(job: Job, host: socket.socket, stdin: int, out: int, err: int) -> None:
    """In the child: take on the command's surroundings and become it."""
    os.setsid()
    for target, source in {0: stdin, 1: out, 2: err, **job.files}.items():
        os.dup2(source, target)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        os.chdir(job.cwd)
    except OSError as error:
        _give_up(f"{job.cwd}: {error.strerror}", 126)
    namespaces.apply_limits(job.limits)
    if job.enter is not None:
        host.detach()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        syscalls.set_dumpable(True)
        job.enter()
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; programs expect the default
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(job.argv[0], job.argv, job.env)
    except FileNotFoundError:
        _give_up(f"{job.argv[0]}: command not found", 127)
    except (OSError, ValueError) as error:
        _give_up(f"{job.argv[0]}: {error}", 126)


def _give_up(message: str, code: int) -> None:
    os.write(2, message.encode("utf-8", "surrogateescape") + b"\n")
    os._exit(code)


class _Run:
    """The loop around one running child."""

    def __init__(
        self, job: Job, host: socket.socket, wakeup: int, child: int, out: int, err: int, started: float
    ) -> None:
        self._limits = job.limits
        self._host = host
        self._wakeup = wakeup
        self._child = child
        self._pipes = {out: wire.STDOUT, err: wire.STDERR}
        self._started = started
        self._budget = int(job.limits["output_bytes"])
        self._backlog = bytearray()
        self._inbox = bytearray()

    def to_the_end(self) -> Outcome:
        self._host.setblocking(False)
        ended, status = self._wait()
        sweep()
        if ended is None:
            ended = self._drain()
        wall_s = time.monotonic() - self._started
        self._host.setblocking(True)
        self._host.sendall(self._backlog)
        if ended is not None or status is None:
            return Outcome(ended or "cancelled", None, None, wall_s)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return Outcome("signalled", None, -code, wall_s)
        return Outcome("exited", code, None, wall_s)

    def _wait(self) -> tuple[str | None, int | None]:
        """Pump until the child ends by itself (its wait status) or has to be ended (the reason)."""
        deadline = self._started + float(self._limits["wall_s"])
        next_look = self._started + _TICK_S
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "timeout", None
            if now >= next_look:
                next_look = now + _TICK_S
                if _memory_in_use() > self._limits["memory_mb"] * 1024 * 1024:
                    return "memory", None
            reason = self._turn(min(deadline, next_look) - now)
            if reason is not None:
                return reason, None
            status = self._reap()
            if status is not None:
                return None, status

    def _turn(self, timeout_s: float) -> str | None:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.register(self._host, select.POLLIN | (select.POLLOUT if self._backlog else 0))
        if len(self._backlog) < _BACKLOG:
            for fd in self._pipes:
                poll.register(fd, select.POLLIN)
        for fd, events in poll.poll(max(0.0, timeout_s) * 1000 + 1):
            if fd == self._wakeup:
                os.read(fd, 512)
            elif fd == self._host.fileno():
                if events & select.POLLOUT:
                    self._flush()
                if events & ~select.POLLOUT and self._cancelled():
                    return "cancelled"
            elif not self._pump(fd):
                return "output"
        return None

    def _pump(self, fd: int) -> bool:
        """Take what is in a pipe; False when the output limit is passed."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            self._pipes.pop(fd)
            return True
        taken = data[: self._budget]
        self._budget -= len(taken)
        if taken:
            self._backlog += wire.frame(self._pipes[fd], taken)
            self._flush()
        return len(taken) == len(data)

    def _drain(self) -> str | None:
        """What is left in the pipes now that nobody writes any more."""
        while self._pipes:
            for fd in list(self._pipes):
                if not self._pump(fd):
                    return "output"
                if len(self._backlog) >= _BACKLOG:
                    select.select([], [self._host], [], 1.0)
                    self._flush()
        return None

    def _flush(self) -> None:
        try:
            sent = self._host.send(self._backlog)
        except BlockingIOError:
            return
        del self._backlog[:sent]

    def _cancelled(self) -> bool:
        """Whether the host asked to stop. Its going away ends this kernel at once."""
        try:
            data = self._host.recv(512)
        except BlockingIOError:
            return False
        if not data:
            os._exit(0)
        self._inbox += data
        return self._inbox[:1] == wire.CANCEL and len(self._inbox) >= wire.HEADER.size

    def _reap(self) -> int | None:
        """Collect whatever has ended; the wait status of our child if it is among it."""
        found = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid == self._child:
                found = status


def sweep() -> None:
    """Kill and reap everything in the kernel but PID 1."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _memory_in_use() -> int:
    """Bytes of private memory of all processes but PID 1, as far as statm tells (shared pages left out)."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == "1":
            continue
        try:
            with open(f"/proc/{name}/statm", "rb") as file:
                fields = file.read().split()
        except OSError:
            continue  # it ended meanwhile
        total += (int(fields[1]) - int(fields[2])) * _PAGE
    return total
