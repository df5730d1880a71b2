"""What the file tree holds, where it can change, and content into and out of it."""

from __future__ import annotations

import os
import stat
import time
from typing import Any, cast

from . import wire
from .identity import Identity

_OUTSIDE = ("/proc", "/sys", "/dev", "/run")
_MAX_ENTRIES = 400_000


class TooMuch(OSError):
    """The tree has more entries than can be told."""


def places(who: Identity, room: str) -> list[str]:
    """The topmost directories and files that the user can change; nothing else can differ after its commands.

    A directory it neither owns nor may write is looked into, and stays as it is.
    """
    if who.uid == 0:
        return ["/"]
    groups = who.groups()
    found = []
    todo = ["/"]
    while todo:
        path = todo.pop()
        info = os.lstat(path)
        if path == room or path in _OUTSIDE or not _changes(info, who.uid, groups):
            if path != room and path not in _OUTSIDE and stat.S_ISDIR(info.st_mode):
                todo += _inside(path, info.st_dev)
        elif stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode):
            found.append(path)
    return sorted(found)


def _changes(info: os.stat_result, uid: int, groups: set[int]) -> bool:
    mine = info.st_uid == uid
    by_group = info.st_gid in groups and bool(info.st_mode & stat.S_IWGRP)
    return mine or by_group or (bool(info.st_mode & stat.S_IWOTH) and not stat.S_ISLNK(info.st_mode))


def _inside(directory: str, device: int) -> list[str]:
    """Paths in a directory, without directories that are mounted there."""
    try:
        with os.scandir(directory) as entries:
            return [
                entry.path
                for entry in entries
                if not entry.is_dir(follow_symlinks=False)
                or entry.stat(follow_symlinks=False).st_dev == device
            ]
    except OSError:
        return []  # removed meanwhile, or closed even to the agent


def scan(tops: list[str], room: str, since: int) -> dict[str, Any]:
    """Entries [path, kind, mode, size, mtime, ctime, inode, link target, attributes, sha256] and the present time.

    The sha256 is that of files that changed after `since`, None otherwise; times are in ns.
    """
    found: list[list[Any]] = []
    for top in tops:
        todo = [top]
        device = None
        while todo:
            path = todo.pop()
            if path == room or path in _OUTSIDE:
                continue
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                continue
            device = info.st_dev if device is None else device
            kind = _kind(info.st_mode)
            if kind and path != "/":
                digest = content(path[1:]) if kind == "file" and info.st_ctime_ns > since else None
                found.append([*_entry(path, kind, info), digest])
            if kind == "dir":
                todo += _inside(path, device)
            if len(found) > _MAX_ENTRIES:
                raise TooMuch(f"the kernel's tree has more than {_MAX_ENTRIES} entries")
    return {"entries": found, "now": time.time_ns()}


def _kind(mode: int) -> str:
    for kind, holds in (
        ("dir", stat.S_ISDIR),
        ("file", stat.S_ISREG),
        ("link", stat.S_ISLNK),
        ("fifo", stat.S_ISFIFO),
    ):
        if holds(mode):
            return kind
    return ""  # a socket has nobody behind it, a device is no state


def _entry(path: str, kind: str, info: os.stat_result) -> list[Any]:
    target = os.readlink(path) if kind == "link" else ""
    mode = 0o777 if kind == "link" else stat.S_IMODE(info.st_mode)
    attributes = _attributes(path) if kind in ("file", "dir") else []
    facts = [info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
    size = info.st_size if kind == "file" else 0
    return [path[1:], kind, mode, size, *facts, target, attributes]


def _attributes(path: str) -> list[list[str]]:
    try:
        names = sorted(n for n in os.listxattr(path, follow_symlinks=False) if n.startswith("user."))
        kept = [n for n in names if not n.startswith("user.overlay.")]
        return [[name, os.getxattr(path, name, follow_symlinks=False).hex()] for name in kept]
    except OSError:
        return []


def content(path: str) -> str | None:
    """sha256 of a regular file; None when it is none."""
    try:
        fd = os.open("/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except PermissionError:  # only where the agent is not root: an own file that shuts out its owner
        return _content_of_closed("/" + path)
    except OSError:
        return None
    import hashlib

    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        hasher = hashlib.sha256()
        for chunk in iter(lambda: file.read(1 << 20), b""):
            hasher.update(chunk)
        return hasher.hexdigest()


def _content_of_closed(path: str) -> str | None:
    info = os.lstat(path)
    if stat.S_ISLNK(info.st_mode) or not stat.S_ISREG(info.st_mode):
        return None
    os.chmod(path, 0o600)
    try:
        return content(path[1:])
    finally:
        os.chmod(path, stat.S_IMODE(info.st_mode))


def copy_in(archive: str, directories: list[str], who: Identity) -> None:
    """Make directories and unpack the host's own archive over /, all of it the user's."""
    import tarfile

    for path in directories:
        _directory(path, who)
    with tarfile.open(archive, "r:") as tar:
        tar.extraction_filter = lambda member, _path: member  # the host made it
        for item in tar:
            path = "/" + item.name
            _directory(os.path.dirname(path), who)
            if item.isdir():
                _directory(path, who)
            else:
                if os.path.lexists(path):
                    os.unlink(path)
                item.uid, item.gid, item.uname, item.gname = who.uid, who.gid, "", ""
                tar.extract(item, "/", numeric_owner=True)
                if who.other:
                    os.chown(path, who.uid, who.gid, follow_symlinks=False)
            if item.isdir():
                os.chmod(path, item.mode | stat.S_IRWXU)
    os.unlink(archive)


def own(paths: list[str], who: Identity) -> None:
    """Make directories, with everything in them, the user's."""
    for top in [path for path in paths if path != "/"] if who.other else ():
        for directory, names, files in os.walk(top):
            for path in [directory, *(os.path.join(directory, name) for name in [*names, *files])]:
                os.chown(path, who.uid, who.gid, follow_symlinks=False)


def _directory(path: str, who: Identity) -> None:
    if os.path.isdir(path):
        return
    _directory(os.path.dirname(path), who)
    os.mkdir(path, 0o755)
    if who.other:
        os.chown(path, who.uid, who.gid)


def pack(entries: list[list[str]]) -> None:
    """Send an OCI-style layer tar of [path, kind]; "whiteout" stands for a deletion."""
    import tarfile

    with tarfile.open(fileobj=cast(Any, _Outbox()), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path, kind in entries:
            if kind == "whiteout":
                parent, _slash, name = path.rpartition("/")
                tar.addfile(tarfile.TarInfo(f"{parent}/.wh.{name}" if parent else f".wh.{name}"))
                continue
            info = tar.gettarinfo("/" + path, path)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            if info.islnk():  # each name is told as a file of its own
                info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.lstat("/" + path).st_size
            for name, value in _attributes("/" + path) if kind in ("file", "dir") else []:
                text = bytes.fromhex(value).decode("utf-8", "surrogateescape")
                info.pax_headers = {**info.pax_headers, f"SCHILY.xattr.{name}": text}
            if info.isreg():
                with open("/" + path, "rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)


class _Outbox:
    """A file that sends what is written to it."""

    def write(self, data: bytes) -> int:
        wire.send(b"b", data)
        return len(data)
