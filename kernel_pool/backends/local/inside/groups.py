"""Control groups from the kernel's side: a place of its own in each hierarchy, made and removed by the zygote.

Nothing in a kernel sees the hierarchies; they are reached by descriptors of directories, which were opened
before the zygote left the machine's root behind. Version 1 and version 2 differ in names only.
"""

# Descriptors, mount targets and hot paths: pathlib has no words for them.

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

_MIB = 1024 * 1024
_AT_REST = 512 * _MIB
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Group:
    """One kernel's directories, by controller: memory, pids and maybe cpuacct; one directory in version 2."""

    def __init__(self, name: str, version: int, parents: Mapping[str, int]) -> None:
        self.name = name
        self._version = version
        self._parents = parents
        self._fds: dict[str, int] = {}
        self._in_force: tuple[int, int] | None = None
        self._events: tuple[int, int] | None = None
        self._cpu: int | None = None

    def create(self) -> None:
        """Make the directories. Raises `OSError`; nothing is left then."""
        try:
            for controller, parent in self._parents.items():
                with contextlib.suppress(FileExistsError):  # version 2: one directory for both
                    os.mkdir(self.name, dir_fd=parent)
                self._fds[controller] = os.open(self.name, _DIRECTORY, dir_fd=parent)
        except OSError:
            self.remove()
            raise

    def descriptors(self) -> list[int]:
        """What a child must not lose when it closes everything else."""
        return list(self._fds.values())

    def join(self) -> None:
        """Move the calling process in."""
        for fd in self._fds.values():
            _write(fd, "cgroup.procs", "0")

    def bound(self, limits: Mapping[str, Any]) -> None:
        """Put limits in force for all processes together: MiB of memory, number of processes (+ PID 1)."""
        wanted = limits["memory_mb"] * _MIB, limits["processes"] + 1
        if wanted == self._in_force:
            return
        memory, processes = str(wanted[0]), str(wanted[1])
        _write(self._fds["pids"], "pids.max", processes)
        if self._version == 2:
            _write(self._fds["memory"], "memory.max", memory)
            with contextlib.suppress(OSError):  # no swap accounting in this kernel
                _write(self._fds["memory"], "memory.swap.max", "0")
        else:
            # Memory with swap must never be the smaller one, so which goes first depends on the direction.
            names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
            for name in names if self._in_force is None or wanted[0] < self._in_force[0] else reversed(names):
                with contextlib.suppress(FileNotFoundError):  # no swap accounting
                    _write(self._fds["memory"], name, memory)
        self._in_force = wanted

    def counts(self) -> tuple[int, int]:
        """How often the kernel has killed for memory, and refused a process, since the group was made."""
        if self._events is None:
            name = "memory.events" if self._version == 2 else "memory.oom_control"
            self._events = _open(self._fds["memory"], name), _open(self._fds["pids"], "pids.events")
        return _count(self._events[0], b"oom_kill"), _count(self._events[1], b"max")

    @property
    def counts_cpu(self) -> bool:
        """Whether the time of processes that nobody waited for is counted too."""
        return self._version == 2 or "cpuacct" in self._fds

    def cpu_s(self) -> float:
        """Seconds of CPU time of everything that ever ran in it."""
        if self._cpu is None:
            name = "cpu.stat" if self._version == 2 else "cpuacct.usage"
            self._cpu = _open(self._fds["memory" if self._version == 2 else "cpuacct"], name)
        if self._version == 2:
            return _count(self._cpu, b"usage_usec") / 1e6
        return int(os.pread(self._cpu, 64, 0)) / 1e9

    def rest(self) -> None:
        """No command runs: a small limit must not stand in the way of what the host asks of PID 1."""
        if self._in_force is not None and self._in_force[0] < _AT_REST:
            self.bound({"memory_mb": _AT_REST // _MIB, "processes": self._in_force[1] - 1})

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds = {}

    def remove(self) -> None:
        """Remove the directories; every process in them must be gone."""
        self.close()
        for parent in self._parents.values():
            with contextlib.suppress(OSError):  # gone, or a process is still on its way out: swept later
                os.rmdir(self.name, dir_fd=parent)


def _write(directory: int, name: str, text: str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _open(directory: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)


def _count(fd: int, key: bytes) -> int:
    for line in os.pread(fd, 4096, 0).splitlines():
        word, _space, value = line.partition(b" ")
        if word == key:
            return int(value)
    return 0
