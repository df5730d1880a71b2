"""What the processes of a command use together, from /proc."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from typing import Any, NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class _Process(NamedTuple):
    pid: int
    parent: int
    zombie: bool
    cpu_s: float  # its own and that of children it has waited for
    tasks: int


def exceeded(limits: dict[str, Any]) -> str:
    """The name of a limit that the descendants of this process have passed, or ""."""
    found = _below(os.getpid(), list(_processes()))
    if limits.get("cpu_s") is not None:
        waited_for = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = waited_for.ru_utime + waited_for.ru_stime + sum(process.cpu_s for process in found)
        if total > float(limits["cpu_s"]):
            return "cpu"
    if sum(process.tasks for process in found if not process.zombie) > int(limits["processes"]):
        return "pids"
    if sum(_memory(process.pid) for process in found) > int(limits["memory_mb"]) * 1024 * 1024:
        return "oom"
    return ""


def descendants() -> list[int]:
    """Every process below this one that is not dead."""
    return [process.pid for process in _below(os.getpid(), list(_processes())) if not process.zombie]


def tasks_of(uid: int) -> int:
    """How many processes and threads a user has."""
    return sum(process.tasks for process in _processes() if _owner(process.pid) == uid)


def _owner(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return -1


def _below(top: int, processes: list[_Process]) -> list[_Process]:
    children: dict[int, list[_Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[_Process] = []
    todo = [top]
    while todo:
        for child in children.get(todo.pop(), ()):
            found.append(child)
            todo.append(child.pid)
    return found


def _processes() -> Iterator[_Process]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        cpu = sum(map(int, fields[11:15])) / _TICKS
        yield _Process(int(name), int(fields[1]), fields[0] in (b"Z", b"X"), cpu, int(fields[17]))


def _memory(pid: int) -> int:
    """Bytes of private memory (pages that files back are left out)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            fields = file.read().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE
