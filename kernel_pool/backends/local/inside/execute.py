"""One command inside a kernel, as PID 1 runs it: start, pump, bound, end, sweep.

When the command's own process has ended, everything else in the kernel is killed, so that the state a
snapshot sees is at rest.
"""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH110, PTH112, PTH113, PTH118

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import doors, limits, shared, syscalls, wire
from .meter import Meter

_CHUNK = 64 * 1024
_BACKLOG = 1024 * 1024  # bytes waiting for the host; beyond it the command's output is left in its pipes


@dataclass
class Job:
    """What to execute, resolved."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    limits: dict[str, Any]
    stdin: bytes = b""
    enter: Callable[[], None] | None = None  #: called in a forked child instead of executing `argv`


@dataclass
class Outcome:
    """How it ended; the fields of `ExecResult` without the output."""

    ended: str
    exit_code: int | None
    signal: int | None
    wall_s: float


def memory_file(content: bytes, number: int | None = None) -> int:
    """A descriptor of an anonymous file with this content, at its start; when asked at a number, for a child."""
    fd = os.memfd_create("kernel")
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    if number is None:
        return fd
    os.dup2(fd, number)
    os.close(fd)
    return number


def execute(job: Job, host: socket.socket, wakeup: int, meter: Meter) -> Outcome:
    """Run it, streaming its output to the host. `wakeup` becomes readable when a child ends."""
    started = time.monotonic()
    try:
        meter.begin(job.limits, len(job.stdin))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return Outcome("oom", None, None, 0.0)  # what lives here already takes more than this command may
    out, err, child = _spawn(job, host, meter)
    run = _Run(job, host, wakeup, child, out, err, started, meter)
    try:
        return run.to_the_end()
    finally:
        os.close(out)
        os.close(err)
        host.setblocking(True)


def _spawn(job: Job, host: socket.socket, meter: Meter) -> tuple[int, int, int]:
    bounds = limits.amounts(job.limits, grouped=meter.grouped)
    stdin = memory_file(job.stdin) if job.stdin else os.open("/dev/null", os.O_RDONLY)
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    with meter.first_victims():
        child = os.fork() if job.enter is not None else _execute(job, bounds, (stdin, out_w, err_w))
    if child == 0 and job.enter is not None:  # no `finally` may lie around this: the child unwinds the stack
        _become(job, bounds, job.enter, host, (stdin, out_w, err_w))
    for fd in (stdin, out_w, err_w):
        os.close(fd)
    os.set_blocking(out_r, False)
    os.set_blocking(err_r, False)
    return out_r, err_r, child


def _execute(job: Job, bounds: limits.Amounts, streams: tuple[int, int, int]) -> int:
    """Start the program without copying this process (vfork); what cannot start is told on its stderr."""
    try:
        program = _found(job)
        os.chdir(job.cwd)
        try:
            with limits.lent(bounds):
                child = os.posix_spawn(
                    program,
                    job.argv,
                    job.env,
                    file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(streams)],
                    setsid=True,
                    setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # which this interpreter ignores
                )
        finally:
            doors.go_home()
    except (OSError, ValueError) as error:
        return _excuse(job, error, streams[2])
    limits.bind(child, bounds)
    return child


def _found(job: Job) -> str:
    """The program's path, once it is known that there is one, and such a directory."""
    if not os.path.isdir(job.cwd):
        raise NotADirectoryError(errno.ENOTDIR, "no such directory", job.cwd)
    name = job.argv[0]
    places = [name] if "/" in name else [os.path.join(d, name) for d in job.env.get("PATH", "").split(":")]
    relative = [os.path.join(job.cwd, place) for place in places]
    for place in relative:
        if os.access(place, os.X_OK) and os.path.isfile(place):
            return place
    if any(os.path.exists(place) for place in relative):
        raise PermissionError(errno.EACCES, "permission denied", name)
    raise FileNotFoundError(errno.ENOENT, "command not found", name)


def _excuse(job: Job, error: Exception, err: int) -> int:
    """A child in place of the one that could not be started: it says why and exits like a shell would."""
    absent = isinstance(error, FileNotFoundError)
    about = getattr(error, "filename", None) or job.argv[0]
    message = f"{about}: {getattr(error, 'strerror', None) or error}\n".encode("utf-8", "surrogateescape")
    child = os.fork()
    if child == 0:
        os.write(err, message)
        os._exit(127 if absent else 126)
    return child


def _become(
    job: Job,
    bounds: limits.Amounts,
    enter: Callable[[], None],
    host: socket.socket,
    streams: tuple[int, int, int],
) -> None:
    """In a forked child: take on the command's surroundings and go on as what `enter` says."""
    try:
        os.setsid()
        for target, source in enumerate(streams):
            os.dup2(source, target)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(job.cwd)
        host.detach()
        os.closerange(3, 1 << 30)
        limits.apply(bounds)
        syscalls.set_dumpable(True)
    except Exception as error:  # noqa: BLE001 - a child must never go on as a second PID 1
        os.write(2, f"{job.argv[0]}: {error}\n".encode("utf-8", "surrogateescape"))
        os._exit(126)
    enter()


class _Run:
    """The loop around one running child."""

    def __init__(
        self,
        job: Job,
        host: socket.socket,
        wakeup: int,
        child: int,
        out: int,
        err: int,
        started: float,
        meter: Meter,
    ) -> None:
        self._limits = job.limits
        self._host = host
        self._wakeup = wakeup
        self._child = child
        self._pipes = {out: wire.STDOUT, err: wire.STDERR}
        self._started = started
        self._meter = meter
        self._budget = int(job.limits["output_bytes"])
        self._backlog = bytearray()
        self._inbox = bytearray()

    def to_the_end(self) -> Outcome:
        self._host.setblocking(False)
        ended, status = self._wait()
        sweep()
        doors.open_again()
        shared.clear()
        if ended is None:
            ended = self._drain() or self._meter.end()
        else:
            self._meter.settle()
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
        next_look = self._started + self._meter.interval_s
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "timeout", None
            if now >= next_look:
                next_look = now + self._meter.interval_s
                passed = self._meter.look()
                if passed is not None:
                    return passed, None
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
