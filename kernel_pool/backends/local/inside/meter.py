"""What the commands of one kernel use, and the name of the limit that one of them has passed.

Where a cgroup may be used it bounds memory and processes, and its counters are read here. Elsewhere the sums
over /proc are compared with the limits some forty times a second. CPU time and disk space are always measured.
"""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH101, PTH116, PTH208

from __future__ import annotations

import contextlib
import os
import resource
import stat
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .groups import Group

_MIB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_FIRST_VICTIM = b"1000"
_GROUPED_S, _WATCHED_S = 0.1, 0.025  #: seconds between two looks
_FEW, _SELDOM = 16, 4  #: with more processes than that, files in memory are summed up every so many looks
_DISK_S = 0.1
_SHARE = 10  #: time between two walks over the disk, as a multiple of what a walk takes
_NOTICED = _MIB  #: bytes of the file system's free space that have to go before a walk is worth it
_LEAST = 4096  #: bytes that any file counts, also an empty one
_SLICE_S, _LAST_SLICE_S = (
    0.02,
    1.0,
)  #: how long one look at the disk may take, and the one after a command's end
_DEEPEST, _ENDLESS = 200, 1 << 60  #: directories inside one another, and what more of them count


class Meter:
    """One per kernel. `begin` before a command, `look` while it runs, `end` when all its processes are gone."""

    def __init__(self, upper: int, score: int, group: Group | None) -> None:
        """Descriptors of the directory that takes the kernel's changes, and of PID 1's own oom_score_adj."""
        self._upper = upper
        self._score = score
        self._own_score = os.pread(score, 16, 0).strip()
        self._group = group
        self._limits: Mapping[str, Any] = {}
        self._disk_before = 0  # bytes at the end of the last command
        self._disk = 0
        self._room = self._left()  # when the disk was last measured
        self._walking: Iterator[int] | None = None
        self._walked = 0
        self._walked_s = 0.0
        self._next_walk = 0.0
        self._counts = (0, 0) if group is None else group.counts()
        self._cpu_before = 0.0
        self._looks = 0
        self._files_in_memory = 0  # bytes, where there is no cgroup to count them

    @property
    def grouped(self) -> bool:
        """Whether a cgroup bounds memory and processes."""
        return self._group is not None

    @property
    def interval_s(self) -> float:
        """Seconds between two looks."""
        return _GROUPED_S if self.grouped else _WATCHED_S

    def begin(self, limits: Mapping[str, Any]) -> None:
        """Another command starts now, with these limits."""
        self._limits = limits
        if self._group is not None:
            self._group.bound(limits)
        self._disk_before, self._files_in_memory = self._disk, 0
        self._cpu_before = _cpu_of_the_dead()

    @contextlib.contextmanager
    def first_victims(self) -> Iterator[None]:
        """Processes started meanwhile, and theirs, are killed before PID 1 when memory runs out."""
        os.pwrite(self._score, _FIRST_VICTIM, 0)
        try:
            yield
        finally:
            os.pwrite(self._score, self._own_score, 0)

    def look(self) -> str | None:
        """The name of a limit that the running command has passed, if any."""
        passed = self._events()
        if passed is None and (self._group is None or self._limits["cpu_s"] is not None):
            passed = self._sums()
        if passed is None and (self._walking is not None or time.monotonic() >= self._next_walk):
            passed = self._disk_over(_NOTICED)
        return passed

    def end(self) -> str | None:
        """The same when the command has ended by itself: what it passed since the last look."""
        passed = self._events()
        if passed is None and _over(_cpu_of_the_dead() - self._cpu_before, self._limits["cpu_s"]):
            passed = "cpu"
        if passed is None:
            much = self._limits["disk_mb"] * _MIB // 8
            now_due = time.monotonic() >= self._next_walk
            passed = self._disk_over(_NOTICED if now_due else max(_NOTICED, much), _LAST_SLICE_S)
        return passed

    def _events(self) -> str | None:
        if self._group is None:
            return None
        before, self._counts = self._counts, self._group.counts()
        if self._counts[0] > before[0]:
            return "oom"
        return "pids" if self._counts[1] > before[1] else None

    def _sums(self) -> str | None:
        processes = 0
        cpu = _cpu_of_the_dead() - self._cpu_before
        resident: dict[str, int] = {}
        for name in _processes():
            with contextlib.suppress(OSError):  # it ended meanwhile
                fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
                processes += int(fields[17])
                cpu += sum(map(int, fields[11:15])) / _TICK
                if self._group is None:
                    _size, pages, shared = map(int, _read(f"/proc/{name}/statm").split()[:3])
                    resident[name] = (pages - shared) * _PAGE
        if _over(cpu, self._limits["cpu_s"]):
            return "cpu"
        if self._group is not None:
            return None
        if processes >= self._limits["processes"]:
            return "pids"
        return "oom" if self._memory_over(resident) else None

    def _memory_over(self, resident: dict[str, int]) -> bool:
        limit = self._limits["memory_mb"] * _MIB
        self._looks += 1
        if len(resident) < _FEW or self._looks % _SELDOM == 0:
            self._files_in_memory = _shared_memory() + _open_files()[1]
        if sum(resident.values()) + self._files_in_memory <= limit:
            return False
        # What a fork shares with its parent was counted for both; the exact sum takes a hundred times longer.
        exact = sum(_proportional(name, pages) for name, pages in resident.items())
        return bool(exact + self._files_in_memory > limit)

    def _left(self) -> int:
        """Bytes that the file system has left; a file that can still be made counts too."""
        info = os.fstatvfs(self._upper)
        return info.f_bfree * info.f_frsize + info.f_ffree * _LEAST

    def _disk_over(self, noticed: int, budget_s: float = _SLICE_S) -> str | None:
        """Measure the disk, when its free space has changed by so many bytes that it could be us.

        A walk takes a slice of time at each look, so that nothing else waits for it.
        """
        if self._walking is None:
            left = self._left()
            if abs(self._room - left) < noticed:
                return None
            self._room, self._walking = left, _walk(self._upper)
            self._walked, self._walked_s = _open_files()[0], 0.0
        started = now = time.monotonic()
        for found in self._walking:
            self._walked += found
            now = time.monotonic()
            if now - started > budget_s:
                self._walked_s += now - started
                return self._over_disk(self._walked)
        self._walking, self._disk = None, self._walked
        self._next_walk = now + max(_DISK_S, _SHARE * (self._walked_s + now - started))
        return self._over_disk(self._disk)

    def _over_disk(self, used: int) -> str | None:
        # Who is over already may go on, or nothing could be deleted any more; but not grow further.
        return "disk" if used > max(self._limits["disk_mb"] * _MIB, self._disk_before) else None


def _processes() -> list[str]:
    """Every process of the kernel but PID 1."""
    return [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def _proportional(name: str, resident: int) -> int:
    """A process' anonymous memory in bytes, shared pages divided by their users; else what is given."""
    with contextlib.suppress(OSError):  # gone, or it does not let us look
        for line in _read(f"/proc/{name}/smaps_rollup").splitlines():
            if line.startswith(b"Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return resident


def _over(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _cpu_of_the_dead() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _walk(root: int) -> Iterator[int]:
    """Bytes on disk, directory by directory, below one whose content is ours.

    What is nested deeper than `_DEEPEST` counts without end: to open such paths again and again has no end either.
    """
    todo: list[tuple[str, ...]] = [()]
    while todo:
        path = todo.pop()
        found = 0
        with contextlib.suppress(OSError):  # removed meanwhile
            fd = _open_directory(root, path)
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        info = entry.stat(follow_symlinks=False)
                        found += max(info.st_blocks * 512, _LEAST)
                        if stat.S_ISDIR(info.st_mode):
                            todo.append((*path, entry.name))
            finally:
                os.close(fd)
        yield _ENDLESS if len(path) > _DEEPEST else found


def _open_directory(root: int, path: tuple[str, ...]) -> int:
    """A descriptor of it, no link followed; a closed mode is opened for the moment of looking."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.dup(root)
    for name in path:
        try:
            below = os.open(name, flags, dir_fd=fd)
        except PermissionError:
            below = _open_closed(name, fd, flags)
        finally:
            os.close(fd)
        fd = below
    return fd


def _open_closed(name: str, parent: int, flags: int) -> int:
    # By the descriptor of the very directory: a name may mean something else a moment later, also a link out of here.
    place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(place).st_mode
        os.chmod(f"/proc/self/fd/{place}", 0o700)
        try:
            return os.open(f"/proc/self/fd/{place}", flags & ~os.O_NOFOLLOW)
        finally:
            os.chmod(f"/proc/self/fd/{place}", stat.S_IMODE(mode))
    finally:
        os.close(place)


def _open_files() -> tuple[int, int]:
    """Bytes of deleted files that are still open somewhere: (on the kernel's disk, in memory as memfd)."""
    root = os.stat("/").st_dev
    disk: dict[int, int] = {}
    memory: dict[int, int] = {}
    for name in _processes():
        with contextlib.suppress(OSError):  # it ended meanwhile
            for number in os.listdir(f"/proc/{name}/fd"):
                info = os.stat(f"/proc/{name}/fd/{number}")
                if info.st_nlink == 0 and stat.S_ISREG(info.st_mode):
                    (disk if info.st_dev == root else memory)[info.st_ino] = info.st_blocks * 512
    return sum(disk.values()), sum(memory.values())


def _shared_memory() -> int:
    """Bytes in /dev/shm."""
    info = os.statvfs("/dev/shm")
    return (info.f_blocks - info.f_bfree) * info.f_frsize
