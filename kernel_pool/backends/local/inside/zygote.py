"""The zygote: a small single-threaded process that clones one kernel after the other.

Started by `spawner.Spawner` with an empty environment. As root it builds its private root and then becomes a
user of its own; as an ordinary user it does the same in a user namespace. It ends when its control socket
does, and every kernel ends with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from . import init, namespaces, syscalls, wire
from .warm import Become, Warm

_MESSAGE = 256 * 1024
_ALL_FDS = os.sysconf("SC_OPEN_MAX")


def main(setup: dict[str, Any], served: list[str], known: Iterable[str]) -> Callable[[], None] | None:
    """Serve start and kill requests until the host hangs up.

    Returns only in a forked command, with what is to be done at the top of the interpreter.
    """
    warm = Warm(served, known)
    control = socket.socket(fileno=setup["control"])
    control.set_inheritable(False)
    try:
        uid, gid = _settle(setup)
    except OSError as error:
        control.send(json.dumps({"failed": str(error)}).encode())
        return None
    control.send(json.dumps({"ready": os.getpid()}).encode())
    try:
        _Zygote(control, uid, gid, warm).loop()
    except Become as become:
        return become.job
    return None


def _settle(setup: dict[str, Any]) -> tuple[int, int]:
    """Build the root and become the user that kernels run as: (uid, gid) as this user namespace counts them."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        syscalls.unshare(syscalls.CLONE_NEWNS)
    else:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        namespaces.write_id_maps(uid, gid)
        uid = gid = 0
    namespaces.build_zygote_root(setup["scratch"], setup["state"], tuple(setup["system"]), setup["links"])
    if setup["become"] is not None:
        uid, gid = setup["become"]
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        syscalls.set_dumpable(True)  # a child must be able to write its own id maps
    return uid, gid


class _Zygote:
    def __init__(self, control: socket.socket, uid: int, gid: int, warm: Warm) -> None:
        self._control = control
        self._ids = uid, gid
        self._warm = warm
        self._kernels: dict[int, str] = {}  # pid -> kernel id

    def loop(self) -> None:
        wakeup = init.child_signals()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        while True:
            for fd, _events in poll.poll():
                if fd == wakeup:
                    os.read(wakeup, 512)
                    self._reap()
                elif not self._take_request():
                    self._end()

    def _take_request(self) -> bool:
        data, fds, _flags, _address = socket.recv_fds(self._control, _MESSAGE, 1)
        if not data:
            return False
        request = json.loads(data)
        if request["op"] == "start":
            self._start(request, fds[0])
        elif request["op"] == "kill":
            for pid, name in self._kernels.items():
                if name == request["kernel"]:
                    os.kill(pid, signal.SIGKILL)
        return True

    def _start(self, request: dict[str, Any], fd: int) -> None:
        name = request["kernel"]
        try:
            pid = syscalls.clone(namespaces.KERNEL_NAMESPACES)
        except OSError as error:
            with socket.socket(fileno=fd) as host, contextlib.suppress(OSError):
                host.sendall(wire.message(wire.RESULT, {"error": str(error)}))
            self._tell({"gone": name})
            return
        if pid == 0:
            self._become_kernel(request, fd)
        os.close(fd)
        self._kernels[pid] = name

    def _become_kernel(self, request: dict[str, Any], fd: int) -> NoReturn:
        signal.set_wakeup_fd(-1)
        self._control.detach()  # its number is about to mean something else
        os.dup2(fd, 3)
        os.closerange(4, _ALL_FDS)
        host = socket.socket(fileno=3)
        host.set_inheritable(False)
        try:
            plan = namespaces.KernelPlan(
                lowers=tuple(request["lowers"]),
                upper=request["upper"],
                work=request["work"],
                binds=tuple((source, target) for source, target in request["binds"]),
                system=tuple(request["system"]),
            )
            namespaces.enter_kernel(plan, *self._ids)
        except OSError as error:
            with contextlib.suppress(OSError):
                host.sendall(wire.message(wire.RESULT, {"error": str(error)}))
            os._exit(1)
        init.serve(host, self._warm)
        os._exit(0)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._tell({"gone": self._kernels.pop(pid, "")})

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            self._end()  # the host is gone

    def _end(self) -> NoReturn:
        for pid in self._kernels:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)
