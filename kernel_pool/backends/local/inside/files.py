"""Reading, writing and listing files from PID 1, which sees only the kernel's own tree.

Links resolve inside the kernel like for any process in it. Only regular files are read or written: a FIFO
would block, a device or a file of /proc is no content.
"""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH103, PTH116, PTH118, PTH120

from __future__ import annotations

import errno
import os
import stat
from typing import Any

ABSENT, NOT_A_FILE, TOO_LARGE, DENIED = "absent", "not a file", "too large", "denied"
NO_ROOM = "no room: the kernel's limit disk_mb or file_mb"
_REASONS = {
    errno.ENOENT: ABSENT,
    errno.ENOTDIR: ABSENT,
    errno.EEXIST: ABSENT,  # a directory is wanted where something else is
    errno.ELOOP: ABSENT,
    errno.ENAMETOOLONG: ABSENT,
    errno.EISDIR: NOT_A_FILE,
    errno.ENXIO: NOT_A_FILE,
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
    errno.EROFS: DENIED,
    errno.ETXTBSY: DENIED,
}


class Refused(Exception):
    """The operation cannot be done; the reason is one of the strings above."""


def read(path: str, max_bytes: int) -> bytes:
    """All of a regular file of at most `max_bytes`."""
    fd = _open(path, os.O_RDONLY)
    with os.fdopen(fd, "rb", buffering=0) as file:
        if os.fstat(fd).st_size > max_bytes:
            raise Refused(TOO_LARGE)
        parts = bytearray()
        while chunk := file.read(1 << 20):
            parts += chunk
            if len(parts) > max_bytes:
                raise Refused(TOO_LARGE)
        return bytes(parts)


def write(path: str, data: bytes, mode: int) -> None:
    """Replace a file's content, making its directories. A file that was there keeps its mode, plus `mode`'s bits."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise Refused(_reason(error)) from error
    existed = os.path.lexists(path)
    fd = _open(path, os.O_WRONLY | os.O_CREAT)
    with os.fdopen(fd, "wb", buffering=0) as file:
        try:
            os.ftruncate(fd, 0)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fchmod(fd, mode | (stat.S_IMODE(os.fstat(fd).st_mode) if existed else 0))
        except OSError as error:
            raise Refused(_reason(error)) from error


def listing(path: str, depth: int, max_entries: int) -> list[list[Any]]:
    """[path, kind, size, mode] of what is below a directory, no link followed, sorted by path."""
    found: list[list[Any]] = []
    todo = [("", 1)]
    while todo and len(found) < max_entries:
        relative, level = todo.pop(0)
        try:
            with os.scandir(os.path.join(path, relative)) as entries:
                for entry in sorted(entries, key=lambda e: e.name):
                    name = os.path.join(relative, entry.name)
                    info = entry.stat(follow_symlinks=False)
                    found.append([name, _kind(info.st_mode), info.st_size, stat.S_IMODE(info.st_mode)])
                    if level < depth and stat.S_ISDIR(info.st_mode):
                        todo.append((name, level + 1))
        except OSError as error:
            if not relative:
                raise Refused(_reason(error)) from error
    return sorted(found)[:max_entries]


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def _open(path: str, flags: int) -> int:
    """Open a regular file without ever waiting for anybody at its other end."""
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    except OSError as error:
        raise Refused(_reason(error)) from error
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_dev == os.stat("/proc").st_dev:
        os.close(fd)
        raise Refused(NOT_A_FILE)
    return fd


def _reason(error: OSError) -> str:
    """Why it was refused; what is no refusal (a full disk) is raised again as what it is."""
    if error.errno not in _REASONS:
        raise error
    return _REASONS[error.errno]
