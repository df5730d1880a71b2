"""States kept as whole directories: copied, compared, stored under their digest, packed and unpacked.

    <room>/trees/<base>/            {tree/, about.json}: a base
    <room>/trees/<base>.<layer>/    the base with one cumulative layer applied
    <room>/kernels/<id>/            a live kernel
    <room>/owners/                  the journals of the processes that own kernels

Everything in trees/ appears by rename, complete or not at all, and is never changed.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tarfile
import uuid
from pathlib import Path
from typing import IO, Any

from ..errors import KernelError, SnapshotMissing
from ..kernel import Snapshot
from . import beneath
from .local.store import copy_file, remove_tree
from .local.tree import Difference, Entry, HashCache, scan

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAX_UNPACKED = 64 << 30  # bytes of one archive


class Trees:
    """The store above."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self._scans: dict[str, Difference] = {}

    def create(self) -> None:
        """Make the directories. Raises `KernelError`."""
        try:
            for name in ("trees", "kernels", "owners", "tmp", "locks"):
                (self.room / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KernelError(f"the state directory {self.room} cannot be used: {error}") from error

    def has(self, name: str) -> bool:
        """Whether the tree is here."""
        return (self.room / "trees" / name).is_dir()

    def about(self, base: str) -> dict[str, Any]:
        """How a base was made. Raises `SnapshotMissing`."""
        loaded: dict[str, Any] = json.loads((self._place(base) / "about.json").read_text())
        return loaded

    def tree(self, snapshot: Snapshot) -> Path:
        """A snapshot's files. Raises `SnapshotMissing`."""
        return self._place(name_of(snapshot.base, snapshot.layers)) / "tree"

    def scan(self, snapshot: Snapshot) -> Difference:
        """All entries of a snapshot's files."""
        name = name_of(snapshot.base, snapshot.layers)
        if name not in self._scans:
            self._scans[name] = scan(self.tree(snapshot), HashCache())[0]
        return self._scans[name]

    def publish(self, name: str, entries: Difference, about: dict[str, Any]) -> None:
        """Store these entries as the tree `name`, unless it is here."""
        if self.has(name):
            return
        scratch = self.scratch()
        try:
            write_tree(entries, scratch / "tree")
            (scratch / "about.json").write_text(json.dumps(about))
            try:
                scratch.rename(self.room / "trees" / name)
            except OSError:
                if not self.has(name):
                    raise
        except OSError as error:
            raise KernelError(f"a state could not be stored in {self.room}: {error}") from error
        finally:
            remove_tree(scratch)

    def scratch(self) -> Path:
        """A new empty directory on the store's file system."""
        path = self.room / "tmp" / uuid.uuid4().hex
        path.mkdir()
        return path

    def _place(self, name: str) -> Path:
        path = self.room / "trees" / name
        if not path.is_dir():
            raise SnapshotMissing(
                f"state {name[:12]} is not in {self.room}; made on another node or cleaned away"
            )
        return path


def name_of(base: str, layers: tuple[str, ...]) -> str:
    """The name of a state's tree."""
    return ".".join([base, *layers])


def copy_tree(source: Path, target: Path) -> None:
    """Copy everything in a directory into another one (made if absent). Links are copied as links."""
    target.mkdir(parents=True, exist_ok=True)
    command = ["cp", "-a", "--reflink=auto", "--no-preserve=ownership", "--", f"{source}/.", str(target)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()[-500:]
        raise KernelError(f"{source} could not be copied to {target}: {reason}")


def write_tree(entries: Difference, target: Path) -> None:
    """Make a directory that holds these entries, taken from their sources."""
    target.mkdir()
    directories: list[tuple[Path, Entry]] = []
    for path in sorted(entries):
        entry, place = entries[path], target / path
        match entry.kind:
            case "dir":
                place.mkdir(0o700)
                directories.append((place, entry))
                continue
            case "link":
                place.symlink_to(entry.content)
            case "fifo":
                os.mkfifo(place)
            case "file":
                copy_file(Path(entry.source), place)
        _finish(place, entry)
    for place, entry in reversed(directories):
        _finish(place, entry)


def _finish(place: Path, entry: Entry) -> None:
    info = Path(entry.source).lstat()
    if entry.kind != "link":
        for name, value in entry.xattrs:
            os.setxattr(place, name, bytes.fromhex(value))
        place.chmod(entry.mode)
    os.utime(place, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def difference(base: Difference, now: Difference) -> Difference:
    """What `now` has and `base` has not or otherwise, and whiteouts for what is gone (topmost names only)."""
    changed = {path: entry for path, entry in now.items() if not _same(base.get(path), entry)}
    for path in base:
        parent = path.rpartition("/")[0]
        gone = path not in now
        parent_stays = not parent or (parent in now and now[parent].kind == "dir")
        if gone and parent_stays:
            changed[path] = Entry("whiteout")
    return changed


def _same(one: Entry | None, other: Entry) -> bool:
    return one is not None and one.identity() == other.identity()


def unpack(archive: Path, root: Path) -> None:
    """Apply an OCI-style layer tar to a directory. No name or link in it leads out of `root`.

    Devices, owners and set-uid bits are left out. Raises `KernelError`.
    """
    left = _MAX_UNPACKED
    modes: list[tuple[str, tarfile.TarInfo]] = []
    try:
        with tarfile.open(archive, "r:") as tar:
            for item in tar:
                left -= item.size
                if left < 0:
                    raise KernelError(f"{archive} unpacks to more than {_MAX_UNPACKED >> 30} GiB")
                if _apply(tar, item, root):
                    modes.append((item.name, item))
        for name, item in reversed(
            modes
        ):  # directories last of all, so that a closed one stays open until then
            with beneath.located(root, name) as (parent, last):
                os.chmod(last, item.mode & 0o777, dir_fd=parent)
                os.utime(last, (item.mtime, item.mtime), dir_fd=parent, follow_symlinks=False)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise KernelError(f"{archive} could not be unpacked: {error}") from error


def _apply(tar: tarfile.TarFile, item: tarfile.TarInfo, root: Path) -> bool:
    """One member; True when its mode is still to be set."""
    directory, _, name = item.name.rstrip("/").rpartition("/")
    if name in ("", ".", "..") or ".." in directory.split("/"):
        return False
    with beneath.directory(root, directory, make=True) as parent:
        if name == _OPAQUE:
            for inner in os.listdir(parent):  # noqa: PTH208 - of a descriptor, not of a path
                _clear(parent, inner)
        elif name.startswith(_WHITEOUT):
            _clear(parent, name.removeprefix(_WHITEOUT))
        elif item.isdir():
            if not _is_directory(parent, name):
                _clear(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
            return True
        else:
            _clear(parent, name)
            return _make(tar, item, root, parent, name)
    return False


def _make(tar: tarfile.TarFile, item: tarfile.TarInfo, root: Path, parent: int, name: str) -> bool:
    if item.issym():
        os.symlink(item.linkname, name, dir_fd=parent)
    elif item.islnk():
        with beneath.located(root, item.linkname) as (other, source):
            os.link(source, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
    elif item.isfifo():
        os.mkfifo(name, dir_fd=parent)
        return True
    elif item.isfile() and (content := tar.extractfile(item)):
        _write(parent, name, content)
        return True
    return False


def _write(parent: int, name: str, content: IO[bytes]) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
    with os.fdopen(fd, "wb") as out:
        while chunk := content.read(1 << 20):
            out.write(chunk)


def _is_directory(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _clear(parent: int, name: str) -> None:
    """Remove whatever has this name."""
    if name in ("", ".", ".."):
        return
    if _is_directory(parent, name):
        remove_tree(Path(f"/proc/self/fd/{parent}", name))
        return
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
