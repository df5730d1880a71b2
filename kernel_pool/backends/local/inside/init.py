"""PID 1 of a kernel: takes requests from the host one at a time and answers them."""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH112

from __future__ import annotations

import json
import os
import posixpath
import signal
import socket
from typing import Any

from . import doors, execute, files, shell, wire
from .meter import Meter
from .warm import Warm


def serve(host: socket.socket, warm: Warm, meter: Meter) -> None:
    """Answer until the host hangs up; the kernel ends with this process."""
    doors.keep()
    Init(host, warm, meter).loop()


class Init:
    """The kernel's side of `handle.LocalKernel`; one method per operation."""

    def __init__(self, host: socket.socket, warm: Warm, meter: Meter) -> None:
        self._host = host
        self._meter = meter
        self._warm = warm
        self._env: dict[str, str] = {}
        self._workdir = "/"
        self._state = b""  # the shell's state; empty: as a new shell has it
        self._pristine: bytes | None = None  # the text of that new shell, once known
        self._wakeup = child_signals()

    def loop(self) -> None:
        while (received := wire.receive(self._host)) is not None:
            kind, payload = received
            if kind != wire.REQUEST:
                continue  # a cancellation that came too late
            request = json.loads(payload)
            blob = self._take_blob(int(request.get("blob", 0)))
            try:
                answer = self._answer(request, blob)
            except files.Refused as refusal:
                answer = {"refused": str(refusal)}
            except ValueError as error:  # NUL or a lone surrogate, which no path and no argument can hold
                answer = self._cannot_be_passed(request["op"], error)
            except OSError as error:  # out of memory, descriptors or processes: the host hears of it
                answer = {"error": str(error)}
            try:
                message = wire.message(wire.RESULT, answer)
            except wire.WireError:
                message = wire.message(wire.RESULT, {"refused": files.TOO_LARGE})
            self._host.sendall(message)

    def _cannot_be_passed(self, operation: str, error: ValueError) -> dict[str, Any]:
        if operation != "run":
            return {"refused": files.ABSENT}
        self._host.sendall(wire.frame(wire.STDERR, f"{error}\n".encode("utf-8", "backslashreplace")))
        return {"ended": "exited", "exit_code": 126, "signal": None, "wall_s": 0.0}

    def _take_blob(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            received = wire.receive(self._host)
            if received is None:
                raise SystemExit(0)
            parts += received[1]
        return bytes(parts)

    def _answer(self, request: dict[str, Any], blob: bytes) -> dict[str, Any]:
        match request["op"]:
            case "init":
                self._env, self._workdir = request["env"], request["workdir"]
                self._state = request["state"].encode("utf-8", "surrogateescape")
                return {"ready": True}
            case "run":
                return self._run(request, blob)
            case "read":
                data = files.read(self._path(request["path"]), request["max_bytes"])
                self._host.sendall(wire.blob(data))
                return {}
            case "write":
                if not self._meter.has_room(len(blob), request["limits"]):
                    raise files.Refused(files.NO_ROOM)
                files.write(self._path(request["path"]), blob, request["mode"])
                return {}
            case "list":
                path = self._path(request["path"])
                return {"entries": files.listing(path, request["depth"], request["max_entries"])}
            case "ping":
                return {"pong": True}
            case other:
                return {"error": f"no operation {other!r}"}

    def _path(self, path: str) -> str:
        return posixpath.join(self._workdir, path)

    def _run(self, request: dict[str, Any], stdin: bytes) -> dict[str, Any]:
        command = request["command"]
        if isinstance(command, str):
            return self._run_shell(command, request, stdin)
        env = {**self._env, **request["env"]}
        cwd = self._path(request["cwd"] or "")
        enter = None if stdin else self._warm.job(command, env, cwd)
        job = execute.Job(command, env, cwd, request["limits"], stdin, enter=enter)
        outcome = execute.execute(job, self._host, self._wakeup, self._meter)
        return {**vars(outcome), "warm": enter is not None}

    def _run_shell(self, command: str, request: dict[str, Any], stdin: bytes) -> dict[str, Any]:
        if "\0" in "".join((command, request["cwd"] or "", *request["env"], *request["env"].values())):
            raise ValueError("embedded null byte")  # bash would silently leave it out
        argv, long_command = shell.arguments(command)
        learn = self._pristine is None
        cwd = None if request["cwd"] is None else self._path(request["cwd"])
        text = shell.prologue(env=request["env"], cwd=cwd, restore=bool(self._state), learn_pristine=learn)
        content = {
            shell.PROLOGUE_FD: text,
            shell.RESTORE_FD: self._state,
            shell.SAVE_FD: shell.SAVE_TEXT,
            shell.STATE_FD: b"",
            shell.COMMAND_FD: long_command,
        }
        if learn:
            content |= {shell.SAVE_PRISTINE_FD: shell.SAVE_PRISTINE_TEXT, shell.PRISTINE_FD: b""}
        opened = tuple(execute.memory_file(data, number) for number, data in content.items())
        start = self._workdir if os.access(self._workdir, os.X_OK) and os.path.isdir(self._workdir) else "/"
        try:
            job = execute.Job(argv, self._env, start, request["limits"], stdin)
            outcome = execute.execute(job, self._host, self._wakeup, self._meter)
            if learn:
                self._pristine = shell.canonical_state(_content(shell.PRISTINE_FD))
            kept = self._keep_state(_content(shell.STATE_FD), request["env"])
        finally:
            for fd in opened:
                os.close(fd)
        return {**vars(outcome), "state": self._state.decode(), "state_kept": kept}

    def _keep_state(self, saved: bytes, temporary: dict[str, str]) -> bool:
        text = shell.canonical_state(saved, temporary, self._state or self._pristine or b"")
        if text is None:
            return False
        self._state = b"" if text == self._pristine else text
        return True


def child_signals() -> int:
    """A descriptor that becomes readable when a child ends."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what PID 1 has no handler for, it never hears from inside
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _content(fd: int) -> bytes:
    return os.pread(fd, shell.MAX_STATE * 2, 0)
