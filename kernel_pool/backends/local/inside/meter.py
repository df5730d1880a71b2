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

from . import shared
from .groups import Group

_MIB = 1024 * 1024
_TICK = os.sysconf("SC_CLK_TCK")
_FIRST_VICTIM = b"1000"
_GROUPED_S, _WATCHED_S = 0.1, 0.025  #: seconds between two looks
_FEW, _SELDOM = 16, 4  #: with more processes than that, files in memory are summed up every so many looks
_OWN = 8 * _MIB  #: what PID 1 may take itself
_DISK_S = 0.1
_SHARE = 10  #: time between two walks over the disk, as a multiple of what a walk takes
_NOTICED = _MIB  #: bytes of the file system's free space that have to go before a walk is worth it
_HOLES = 8  #: so many bytes of a hole count as one: they take no room, but time when the state is frozen
_LEAST = 4096  #: bytes that any file counts, also an empty one
_SLICE_S, _LAST_SLICE_S = (
    0.02,
    1.0,
)  #: how long one look at the disk may take, and the one after a command's end
_DEEPEST = 200  #: directories inside one another that are measured


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
        self._files = os.fstatvfs(upper).f_ffree
        self._walking: Iterator[int | None] | None = None
        self._left_before = self._room
        self._walked = 0
        self._walked_s = 0.0
        self._next_walk = 0.0
        self._counts = (0, 0) if group is None else group.counts()
        self._cpu_before = 0.0
        self._cpu_seen: dict[tuple[str, bytes], float] = {}  # of every process of this command
        self._looks = 0
        self._files_in_memory = 0  # bytes, where there is no cgroup to count them

    @property
    def grouped(self) -> bool:
        """Whether a cgroup bounds memory and processes."""
        return self._group is not None

    @property
    def interval_s(self) -> float:
        """Seconds between two looks."""
        return _GROUPED_S if self.grouped and self._limits["cpu_s"] is None else _WATCHED_S

    def begin(self, limits: Mapping[str, Any], stdin_bytes: int = 0) -> None:
        """Another command starts now, with these limits. Raises `OSError` (EBUSY) when more is in use already."""
        self._limits = limits
        if self._group is not None:
            # PID 1 is in the group too, with what it passes on.
            extra = (4 * stdin_bytes + _OWN) // _MIB
            self._group.bound({**limits, "memory_mb": limits["memory_mb"] + extra})
        self._disk_before, self._files_in_memory = self._disk, 0
        self._left_before = self._left()
        self._cpu_before = 0.0 if limits["cpu_s"] is None else self._cpu_of_all()
        self._cpu_seen = {}

    def has_room(self, size: int, limits: Mapping[str, Any]) -> bool:
        """Whether a file of so many bytes may still be written, between two commands."""
        if size > limits["file_mb"] * _MIB:
            return False
        self._limits = limits
        self._walking = None
        self._disk_over(_NOTICED, _LAST_SLICE_S)
        grown = max(0, self._room - self._left())  # since then, too little for a walk
        return bool(self._disk + grown + size <= limits["disk_mb"] * _MIB)

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

    def settle(self) -> None:
        """The command was ended, and all its processes are gone: what they did on the way is not the next one's."""
        self._events()
        self._rest()
        self._walking = None
        self._disk_over(0, _LAST_SLICE_S)

    def end(self) -> str | None:
        """The same when the command has ended by itself: what it passed since the last look."""
        passed = self._events()
        self._rest()
        bounded = self._limits["cpu_s"] is not None
        if passed is None and bounded and _over(self._cpu_of_all() - self._cpu_before, self._limits["cpu_s"]):
            passed = "cpu"
        if passed is None:
            much = self._limits["disk_mb"] * _MIB // 8
            now_due = time.monotonic() >= self._next_walk
            passed = self._disk_over(_NOTICED if now_due else max(_NOTICED, much), _LAST_SLICE_S)
        return passed

    def _rest(self) -> None:
        if self._group is not None:
            self._group.rest()

    def _cpu_of_all(self) -> float:
        """Seconds of CPU time so far: of the whole group, or of the processes that have ended."""
        if self._group is not None and self._group.counts_cpu:
            return self._group.cpu_s()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def _events(self) -> str | None:
        if self._group is None:
            return None
        before, self._counts = self._counts, self._group.counts()
        if self._counts[0] > before[0]:
            return "oom"
        return "pids" if self._counts[1] > before[1] else None

    def _sums(self) -> str | None:
        processes = 0
        living = 0.0
        resident: dict[str, int] = {}
        for name in _processes():
            with contextlib.suppress(OSError):  # it ended meanwhile
                fields = _read(f"{name}/stat").rpartition(b")")[2].split()
                processes += int(fields[17])
                living += sum(map(int, fields[11:15])) / _TICK
                self._cpu_seen[name, fields[19]] = sum(map(int, fields[11:13])) / _TICK
                if self._group is None:
                    resident[name] = _field(f"{name}/status", b"RssAnon:", b"RssShmem:")
        cpu = self._cpu_of_all() - self._cpu_before
        if self._group is None or not self._group.counts_cpu:
            # Who ignores the end of its children hides their time; what was seen of them while they lived counts.
            cpu = max(cpu + living, sum(self._cpu_seen.values()))
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
            self._files_in_memory = shared.used() + _open_files()[1]
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
            left, files = self._left(), os.fstatvfs(self._upper).f_ffree
            # A new file may be nothing but a hole, which takes no room.
            if abs(self._room - left) < noticed and (files == self._files or noticed > _NOTICED):
                return None
            self._room, self._files, self._walking = left, files, _walk(self._upper)
            self._walked, self._walked_s = _open_files()[0], 0.0
        started = now = time.monotonic()
        for found in self._walking:
            if found is None:
                return self._lost()
            self._walked += found
            now = time.monotonic()
            if now - started > budget_s:
                self._walked_s += now - started
                return None
        self._walking, self._disk = None, self._walked
        self._next_walk = now + max(_DISK_S, _SHARE * (self._walked_s + now - started))
        # Who is over already may go on, or nothing could be deleted any more; but not grow further.
        return "disk" if self._disk > max(self._limits["disk_mb"] * _MIB, self._disk_before) else None

    def _lost(self) -> str | None:
        """The tree is too deep to be measured: nothing may be added to it, and what only removes may go on."""
        self._walking, self._next_walk = None, time.monotonic() + _DISK_S
        return "disk" if self._left_before - self._left() >= _NOTICED else None


def _processes() -> list[str]:
    """Every process of the kernel but PID 1."""
    return [name for name in os.listdir(".") if name.isdigit() and name != "1"]


def _proportional(name: str, resident: int) -> int:
    """A process' own and shared anonymous memory in bytes, shared pages divided by their users; else what is given."""
    with contextlib.suppress(OSError):  # gone, or it does not let us look
        return _field(f"{name}/smaps_rollup", b"Pss_Anon:", b"Pss_Shmem:") or resident
    return resident


def _field(path: str, *names: bytes) -> int:
    """The sum of lines `name: N kB`, in bytes."""
    return sum(int(line.split()[1]) * 1024 for line in _read(path).splitlines() if line.startswith(names))


def _over(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _walk(root: int) -> Iterator[int | None]:
    """Bytes on disk, directory by directory, below one whose content is ours.

    None for what is nested deeper than `_DEEPEST`: to open such paths again and again has no end.
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
                        found += max(info.st_blocks * 512, info.st_size // _HOLES, _LEAST)
                        if stat.S_ISDIR(info.st_mode):
                            todo.append((*path, entry.name))
            finally:
                os.close(fd)
        yield found if len(path) <= _DEEPEST else None


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
        os.chmod(f"self/fd/{place}", 0o700)
        try:
            return os.open(f"self/fd/{place}", flags & ~os.O_NOFOLLOW)
        finally:
            os.chmod(f"self/fd/{place}", stat.S_IMODE(mode))
    finally:
        os.close(place)


def _open_files() -> tuple[int, int]:
    """Bytes of deleted files that are still open somewhere: (on the kernel's disk, in memory as memfd)."""
    root = os.stat("/").st_dev
    disk: dict[int, int] = {}
    memory: dict[int, int] = {}
    for name in _processes():
        with contextlib.suppress(OSError):  # it ended meanwhile
            for number in os.listdir(f"{name}/fd"):
                info = os.stat(f"{name}/fd/{number}")
                if info.st_nlink == 0 and stat.S_ISREG(info.st_mode):
                    (disk if info.st_dev == root else memory)[info.st_ino] = info.st_blocks * 512
    return sum(disk.values()), sum(memory.values())
