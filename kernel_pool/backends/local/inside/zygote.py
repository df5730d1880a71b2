"""The zygote: a small single-threaded process that clones one kernel after the other.

Started by `spawner.Spawner` with an empty environment. As root it builds its private root and then becomes a
user of its own; as an ordinary user it does the same in a user namespace. It ends when its control socket
does, and every kernel ends with it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from . import init, namespaces, syscalls, wire
from .groups import Group
from .warm import Become, Warm

_MESSAGE = 256 * 1024
_ALL_FDS = 1 << 30
_SPARES = 2  # children made ahead: cloning one takes as long as all the rest of a start
_QUIET_MS = 2.0  # with nothing to do for so long, the next one is made


@dataclass(frozen=True)
class _Spare:
    pid: int
    line: socket.socket  #: takes the request and the host's descriptor
    group: Group | None


def main(setup: dict[str, Any], served: list[str], known: Iterable[str]) -> Callable[[], None] | None:
    """Serve start and kill requests until the host hangs up.

    Returns only in a forked command, with what is to be done at the top of the interpreter.
    """
    warm = Warm(served, known)
    control = socket.socket(fileno=setup["control"])
    control.set_inheritable(False)
    # What kernels hold in flight counts for our user too, and is compared with this when we pass descriptors on.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        ids = _settle(setup)
    except OSError as error:
        control.send(json.dumps({"failed": str(error)}).encode())
        return None
    control.send(json.dumps({"ready": os.getpid()}).encode())
    try:
        _Zygote(control, setup, ids, warm).loop()
    except Become as become:
        return become.job
    return None


def _settle(setup: dict[str, Any]) -> tuple[int, int]:
    """Build the root and become the user that kernels run as: (uid, gid) as this user namespace counts them."""
    if setup["groups"] is not None:
        version, paths = setup["groups"]
        opened = {path: os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in paths.values()}
        setup["groups"] = version, {controller: opened[path] for controller, path in paths.items()}
    uid, gid = os.geteuid(), os.getegid()
    if setup["become"] is not None:
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
    def __init__(
        self, control: socket.socket, setup: dict[str, Any], ids: tuple[int, int], warm: Warm
    ) -> None:
        self._control = control
        self._network: str = setup["network"]
        self._flags = namespaces.flags(self._network)
        self._ids = ids
        self._warm = warm
        self._groups: tuple[int, dict[str, int]] | None = setup["groups"]
        self._numbers = itertools.count(1)
        self._spares: dict[int, _Spare] = {}  # by pid
        self._kernels: dict[int, tuple[str, Group | None]] = {}  # by pid: kernel id

    def loop(self) -> None:
        wakeup = init.child_signals()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        while True:
            full = len(self._spares) >= _SPARES
            ready = poll.poll(None if full else _QUIET_MS)
            if not ready:
                self._lay_up()
            for fd, _events in ready:
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
            self._start(request["kernel"], data, fds[0])
        elif request["op"] == "kill":
            for pid, (name, _group) in self._kernels.items():
                if name == request["kernel"]:
                    os.kill(pid, signal.SIGKILL)
        return True

    def _lay_up(self) -> None:
        """One more spare, if it can be had: a start that needs it and cannot have it says why."""
        with contextlib.suppress(OSError):
            spare = self._clone()
            self._spares[spare.pid] = spare

    def _start(self, name: str, request: bytes, fd: int) -> None:
        try:
            pid = next(iter(self._spares), None)
            spare = self._clone() if pid is None else self._spares.pop(pid)
        except OSError as error:
            with socket.socket(fileno=fd) as host, contextlib.suppress(OSError):
                host.sendall(wire.message(wire.RESULT, {"error": str(error)}))
            self._tell({"gone": name})
            return
        self._kernels[spare.pid] = name, spare.group
        with spare.line, contextlib.suppress(OSError):  # it died meanwhile, and is reaped like any other
            socket.send_fds(spare.line, [request], [fd])
        os.close(fd)

    def _clone(self) -> _Spare:
        """A child with everything that kernels have in common, waiting for the rest. Raises `OSError`."""
        group = None
        if self._groups is not None:
            version, parents = self._groups
            group = Group(f"k{next(self._numbers)}", version, parents)
            group.create()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = syscalls.clone(self._flags)
        except OSError:
            ours.close()
            theirs.close()
            if group is not None:
                group.remove()
            raise
        if pid == 0:
            self._become_kernel(theirs, group)
        theirs.close()
        if group is not None:
            group.close()
        return _Spare(pid, ours, group)

    def _become_kernel(self, line: socket.socket, group: Group | None) -> NoReturn:
        signal.set_wakeup_fd(-1)
        kept = sorted([line.fileno(), *(group.descriptors() if group is not None else ())])
        for low, high in itertools.pairwise([2, *kept, _ALL_FDS]):
            os.closerange(low + 1, high)
        failed: OSError | None = None
        try:
            if group is not None:
                group.join()
            namespaces.begin_kernel(*self._ids, self._network)
        except OSError as error:
            failed = error
        data, fds, _flags, _address = socket.recv_fds(line, _MESSAGE, 1)
        if not data:
            os._exit(0)  # the zygote is gone
        line.close()
        host = socket.socket(fileno=fds[0])
        host.set_inheritable(False)
        try:
            if failed is not None:
                raise failed
            request = json.loads(data)
            plan = namespaces.KernelPlan(
                lowers=tuple(request["lowers"]),
                upper=request["upper"],
                work=request["work"],
                binds=tuple((source, target) for source, target in request["binds"]),
                system=tuple(request["system"]),
                group=group,
            )
            meter = namespaces.enter_kernel(plan)
        except OSError as error:
            with contextlib.suppress(OSError):
                wire.receive(host)  # only once the host has asked does it listen
                host.sendall(wire.message(wire.RESULT, {"error": str(error)}))
            os._exit(1)
        init.serve(host, self._warm, meter)
        os._exit(0)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                name = self._forget(pid)
                if name:
                    self._tell({"gone": name})

    def _forget(self, pid: int) -> str:
        """Let go of what a child that is gone had; the id of the kernel it was, "" for none."""
        spare = self._spares.pop(pid, None)
        name, group = ("", spare.group) if spare is not None else self._kernels.pop(pid, ("", None))
        if group is not None:
            group.remove()
        return name

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            self._end()  # the host is gone

    def _end(self) -> NoReturn:
        for pid in [*self._kernels, *self._spares]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                self._forget(os.waitpid(-1, 0)[0])
        os._exit(0)
