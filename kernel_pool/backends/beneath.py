"""File operations below a directory that somebody untrusted writes to: no path and no link leads out of it.

Paths are walked one name at a time from descriptor to descriptor, never following a link the kernel's way; links
are read and walked in turn, absolute ones from the root directory. What changes meanwhile cannot lead out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal

from ..errors import FileAccessError, KernelError
from ..kernel import FileInfo

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40
_REASONS = {
    errno.ENOENT: FileAccessError.ABSENT,
    errno.ENOTDIR: FileAccessError.ABSENT,
    errno.ELOOP: FileAccessError.ABSENT,
    errno.ENAMETOOLONG: FileAccessError.ABSENT,
    errno.EISDIR: FileAccessError.NOT_A_FILE,
    errno.ENXIO: FileAccessError.NOT_A_FILE,
    errno.EACCES: FileAccessError.DENIED,
    errno.EPERM: FileAccessError.DENIED,
    errno.EROFS: FileAccessError.DENIED,
    errno.ETXTBSY: FileAccessError.DENIED,
}


@contextmanager
def located(root: Path, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """(descriptor of a directory below root, last name, which is no link); "." for the directory itself.

    `make` creates missing directories on the way. The last name may be absent. Raises `FileAccessError`.
    """
    with _reasons(path):
        stack = [os.open(root, _DIRECTORY)]
        try:
            name = _walk(stack, root, path, make)
        except OSError:
            _close(stack)
            raise
    try:
        yield stack[-1], name
    finally:
        _close(stack)


@contextmanager
def directory(root: Path, path: str, *, make: bool = False) -> Iterator[int]:
    """Descriptor of a directory below root. Raises `FileAccessError`."""
    with located(root, path, make=make) as (parent, name), _reasons(path):
        if make and _mode(name, parent) is None:
            os.mkdir(name, 0o755, dir_fd=parent)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def read(root: Path, path: str, max_bytes: int) -> bytes:
    """All of a regular file of at most `max_bytes`."""
    with located(root, path) as (parent, name), _reasons(path):
        fd = _open_file(path, name, parent, os.O_RDONLY)
        with os.fdopen(fd, "rb", buffering=0) as file:
            parts = bytearray()
            while len(parts) <= max_bytes and (chunk := file.read(min(1 << 20, max_bytes + 1 - len(parts)))):
                parts += chunk
    if len(parts) > max_bytes:
        raise FileAccessError(path, FileAccessError.TOO_LARGE)
    return bytes(parts)


def write(root: Path, path: str, data: bytes, mode: int) -> None:
    """Replace a file's content, making its directories. A file that was there keeps its mode, plus `mode`'s bits."""
    with located(root, path, make=True) as (parent, name), _reasons(path):
        existed = _mode(name, parent) is not None
        fd = _open_file(path, name, parent, os.O_WRONLY | os.O_CREAT)
        with os.fdopen(fd, "wb", buffering=0) as file:
            os.ftruncate(fd, 0)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fchmod(fd, mode | (stat.S_IMODE(os.fstat(fd).st_mode) if existed else 0))


def listing(root: Path, path: str, depth: int, max_entries: int) -> list[FileInfo]:
    """What is below a directory, no link followed, sorted by path."""
    found: list[FileInfo] = []
    with directory(root, path) as top:
        todo = deque([("", os.dup(top), 1)])
    try:
        while todo and len(found) < max_entries:
            relative, fd, level = todo.popleft()
            try:
                for entry in sorted(os.listdir(fd)):  # noqa: PTH208 - of a descriptor, not of a path
                    info = os.stat(entry, dir_fd=fd, follow_symlinks=False)
                    here = f"{relative}{entry}"
                    found.append(
                        FileInfo(here, _kind(info.st_mode), info.st_size, stat.S_IMODE(info.st_mode))
                    )
                    if level < depth and stat.S_ISDIR(info.st_mode) and len(todo) < 512:
                        try:
                            todo.append((f"{here}/", os.open(entry, _DIRECTORY, dir_fd=fd), level + 1))
                        except PermissionError:
                            continue  # its name is listed, its content is closed to us
            finally:
                os.close(fd)
    finally:
        for _, fd, _ in todo:
            os.close(fd)
    return sorted(found, key=lambda info: info.path)[:max_entries]


def where(root: Path, parent: int, name: str) -> PurePosixPath:
    """The real place of what `located` gave, from the root: "/app/x"."""
    here = Path(f"/proc/self/fd/{parent}").readlink()
    return PurePosixPath("/", here.relative_to(root.resolve()).as_posix(), name)


def _walk(stack: list[int], root: Path, path: str, make: bool) -> str:
    todo = deque(_names(path))
    links = 0
    while todo:
        name = todo.popleft()
        if name == "..":
            if len(stack) > 1:
                os.close(stack.pop())
            continue
        mode = _mode(name, stack[-1])
        if mode is not None and stat.S_ISLNK(mode):
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, "too many links")
            target = os.readlink(name, dir_fd=stack[-1])
            if target.startswith("/"):
                _close(stack[1:])
                del stack[1:]
                target = target.removeprefix(f"{root}/")  # a link that a command made with its real path
            todo.extendleft(reversed(_names(target)))
            continue
        if not todo:
            return name
        if mode is None and make:
            os.mkdir(name, 0o755, dir_fd=stack[-1])
        stack.append(os.open(name, _DIRECTORY, dir_fd=stack[-1]))
    return "."


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _mode(name: str, parent: int) -> int | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _open_file(path: str, name: str, parent: int, flags: int) -> int:
    """Open a regular file without ever waiting for anybody at its other end."""
    more = os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags | more, 0o600, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileAccessError(path, FileAccessError.NOT_A_FILE)
    return fd


def _kind(mode: int) -> Literal["file", "dir", "symlink", "other"]:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


@contextmanager
def _reasons(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:  # no refusal: a full disk, no descriptors left
            raise KernelError(f"{path}: {error}") from error
        raise FileAccessError(path, _REASONS[error.errno]) from error
    except ValueError as error:  # a NUL in the path
        raise FileAccessError(path, FileAccessError.ABSENT) from error
