"""One command: start, pass on its output, bound it, end it, and everything it started with it.

The agent is the reaper of all descendants of the command, so that nothing slips away by losing its parent.
"""

from __future__ import annotations

import base64
import ctypes
import os
import resource
import selectors
import signal
import subprocess
import time
from typing import Any

from . import watch, wire
from .identity import Identity

_TICK_S = 0.05  # how often processes are looked at
_CHUNK = 64 * 1024
_MAX_FILE = 1024 * 1024  # bytes of a returned file
_MIB = 1024 * 1024
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38

_libc = ctypes.CDLL(None, use_errno=True)


def run(request: dict[str, Any], stdin: bytes, who: Identity) -> dict[str, Any]:
    """Run `request["argv"]`. `files` are small files it finds open under their numbers; `keep` names those to return."""
    started = time.monotonic()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if request.get("or_root") and not os.path.isdir(request["cwd"]):
        request["cwd"] = "/"
    files = {int(number): base64.b64decode(text) for number, text in request["files"].items()}
    opened = {number: _memory_file(content, number) for number, content in files.items()}
    try:
        process = _start(request, stdin, who, tuple(opened))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return _not_started(request, error)
    ended, status = _Run(process, request["limits"], started).to_the_end(who)
    outcome: dict[str, Any] = {
        "ended": ended,
        "exit_code": None,
        "signal": None,
        "wall_s": time.monotonic() - started,
    }
    if ended == "exited":
        code = os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL
        outcome.update({"signal": -code, "ended": "signalled"} if code < 0 else {"exit_code": code})
    outcome["files"] = {
        str(number): base64.b64encode(os.pread(number, _MAX_FILE, 0)).decode() for number in request["keep"]
    }
    return outcome


def sweep(who: Identity) -> None:
    """Kill all processes of the user, or where the agent is that user, its own descendants."""
    _kill_all_of(who)
    for _ in range(1000):
        found = watch.descendants()
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        _reap()
        if not found:
            return
        time.sleep(0.001)


def _kill_all_of(who: Identity) -> None:
    """One call for all of them, so that no fork bomb is faster. Never of root: E2B's own processes are root's."""
    if who.uid == 0 or not who.other:
        return
    child = os.fork()
    if child == 0:
        try:
            who.become()
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass  # nobody was left
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _memory_file(content: bytes, number: int) -> int:
    fd = os.memfd_create("kernel")
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, number, inheritable=True)
    os.close(fd)
    return number


def _start(
    request: dict[str, Any], stdin: bytes, who: Identity, files: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    env = {**who.environment(), **request["env"]}
    source: int | Any = subprocess.DEVNULL
    if stdin:
        source = _memory_file(stdin, 200)
    bounds = _bounds(request["limits"], who)
    as_root = bool(request.get("as_root"))

    def prepare() -> None:
        for what, wanted in bounds.items():
            hard = resource.getrlimit(what)[1]
            amount = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(what, (amount, amount))
        who.become()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # becoming somebody else clears it
        if not as_root:  # sudo refuses even root that has given it up
            _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    try:
        return subprocess.Popen(
            request["argv"],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=request["cwd"],
            env=env,
            pass_fds=files,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - there is one thread
        )
    finally:
        if stdin:
            os.close(source)


def _bounds(limits: dict[str, Any], who: Identity) -> dict[int, int]:
    """Hard stops. Where the watch gives a name to what went wrong, the stop lies a little behind it."""
    return {
        resource.RLIMIT_DATA: int(limits["memory_mb"]) * _MIB * 3 // 2 + 64 * _MIB,
        resource.RLIMIT_NPROC: watch.tasks_of(who.uid) + int(limits["processes"]) + 8,
        resource.RLIMIT_FSIZE: int(limits["file_mb"]) * _MIB,
        resource.RLIMIT_NOFILE: int(limits["open_files"]),
        resource.RLIMIT_CORE: 0,
    }


def _not_started(request: dict[str, Any], error: Exception) -> dict[str, Any]:
    """What a shell would say of it."""
    absent = isinstance(error, FileNotFoundError) and os.path.isdir(request["cwd"])
    about = request["argv"][0] if os.path.isdir(request["cwd"]) else request["cwd"]
    reason = getattr(error, "strerror", None) or str(error)
    wire.send(b"e", f"{about}: {reason}\n".encode("utf-8", "backslashreplace"))
    code = 127 if absent else 126
    return {"ended": "exited", "exit_code": code, "signal": None, "wall_s": 0.0, "files": {}}


class _Run:
    """The loop around one running command."""

    def __init__(self, process: subprocess.Popen[bytes], limits: dict[str, Any], started: float) -> None:
        self._process = process
        self._limits = limits
        self._deadline = started + float(limits["wall_s"])
        self._budget = int(limits["output_bytes"])
        self._status: int | None = None
        self._select = selectors.DefaultSelector()
        for pipe, kind in ((process.stdout, b"o"), (process.stderr, b"e")):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._select.register(pipe.fileno(), selectors.EVENT_READ, kind)
        self._end = os.pidfd_open(process.pid)
        self._select.register(self._end, selectors.EVENT_READ, b"")

    def to_the_end(self, who: Identity) -> tuple[str, int | None]:
        """How it ended and its wait status; nothing of it is left."""
        ended = self._pump()
        sweep(who)
        self._note(_reap(self._process.pid))
        if ended == "exited" and not self._drain():
            ended = "output"
        self._process.returncode = 0  # it is reaped here
        self._select.close()
        os.close(self._end)
        return ended, self._status

    def _pump(self) -> str:
        next_look = time.monotonic() + _TICK_S
        while True:
            now = time.monotonic()
            if now >= self._deadline:
                return "timeout"
            if now >= next_look:
                self._note(_reap(self._process.pid))
                reason = watch.exceeded(self._limits)
                if reason:
                    return reason
                next_look = time.monotonic() + _TICK_S
            ready = self._select.select(max(0.0, min(self._deadline, next_look) - now))
            for key, _events in ready:
                if key.fd != self._end and not self._take(key.fd, key.data):
                    return "output"
            if any(key.fd == self._end for key, _events in ready) or self._status is not None:
                self._note(_reap(self._process.pid))
                return "exited"

    def _note(self, status: int | None) -> None:
        if status is not None:
            self._status = status

    def _take(self, fd: int, kind: bytes) -> bool:
        """Pass on what is in a pipe; False when there is more than may be."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            self._select.unregister(fd)
            return True
        taken = data[: self._budget]
        self._budget -= len(taken)
        wire.send(kind, taken)
        return len(taken) == len(data)

    def _drain(self) -> bool:
        """What is left now that nobody writes any more."""
        while True:
            pipes = [(key.fd, key.data) for key in self._select.get_map().values() if key.data]
            if not pipes:
                return True
            for fd, kind in pipes:
                if not self._take(fd, kind):
                    return False
            if not self._select.select(0):
                return True  # somebody slipped away and still holds a pipe


def _reap(wanted: int = 0) -> int | None:
    """Collect whatever has ended; the wait status of `wanted` if it is among it."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == wanted:
            found = status
