"""Memory that outlives its processes: System V objects and /dev/shm. No state has it, so no command leaves it."""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH101, PTH104, PTH106, PTH108, PTH118, PTH123, PTH208

from __future__ import annotations

import ctypes
import functools
import os
import stat

from . import doors

_libc = ctypes.PyDLL(None, use_errno=True)
_SHM = "/dev/shm"
_IPC_RMID = 0


def clear() -> None:
    """Remove all of it. Nobody else may be alive in the kernel."""
    if os.listdir(doors.shm()):
        _empty(_SHM)
    for kind in ("shm", "msg", "sem"):
        for fields in _objects(kind):
            _remove(kind, int(fields[1]))


def _empty(top: str) -> None:
    """Remove all that is in a directory, whatever the modes and however deep: each directory comes up here first."""
    todo = [top]
    fresh = 0
    while todo:
        directory = todo.pop()
        os.chmod(directory, 0o700 if directory != top else 0o1777)
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
            elif directory == top:
                todo.append(path)
            else:
                os.chmod(path, 0o700)  # a directory that moves has its own `..` written
                while os.path.lexists(moved := os.path.join(top, str(fresh))):
                    fresh += 1
                os.rename(path, moved)
                todo.append(moved)
        if directory != top:
            os.rmdir(directory)


def _remove(kind: str, number: int) -> None:
    if kind == "shm":
        _libc.shmctl(number, _IPC_RMID, None)
    elif kind == "msg":
        _libc.msgctl(number, _IPC_RMID, None)
    else:
        _libc.semctl(number, 0, _IPC_RMID)


def used() -> int:
    """Bytes in /dev/shm, and in System V segments that no process has attached at the moment."""
    info = os.fstatvfs(doors.shm())
    segments = sum(int(fields[14]) for fields in _objects("shm") if fields[6] == b"0")
    return (info.f_blocks - info.f_bfree) * info.f_frsize + segments


def _objects(kind: str) -> list[list[bytes]]:
    """The fields of each line of /proc/sysvipc. Paths of /proc are relative: see `doors`."""
    fd = _table(kind)
    if fd is None or len(os.pread(fd, 512, 0).splitlines()) < 2:
        return []  # the headings alone, as after nearly every command
    with open(f"sysvipc/{kind}", "rb") as file:
        return [line.split() for line in file.read().splitlines()[1:]]


@functools.cache
def _table(kind: str) -> int | None:
    try:
        return os.open(f"sysvipc/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # a kernel without System V objects
