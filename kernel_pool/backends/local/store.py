"""Immutable layers of one node, named by content, shared by every process that uses the same directory.

    <root>/layers/<digest>/tree/        the files, as overlayfs takes them
    <root>/layers/<digest>/about.json   what the tree holds (a difference) or how it was made (a base)
    <root>/instances/<name>/            one back-end instance: `lock` held while it lives, `k/` its kernels
    <root>/tmp/  <root>/locks/

Everything appears by rename, complete or not at all.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import BackendUnavailable, KernelError, SnapshotMissing
from .machine import kernel_ids, privileged
from .tree import Difference, Entry, open_for_copy, stored_name

FORMAT = 2  # part of every base's key: raise it when the layout of layers changes


def default_state_dir() -> Path:
    """A directory of this user's own, on a real file system (overlayfs cannot write to every kind)."""
    if os.geteuid() != 0 and os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"], "rollout-fork")
    return Path(f"/var/tmp/rollout-fork-{os.geteuid()}")


class Store:
    """The directory above. Cheap to make; safe to use from threads and from several processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.scratch_root = (
            root / "tmp"
        )  #: where half-made things go; a living back-end has a place of its own
        self.uid, self.gid = kernel_ids()

    def create(self) -> None:
        """Make the directories. Raises `BackendUnavailable` when they cannot be, or belong to somebody else."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = self.root.lstat()
            if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (os.geteuid(), self.uid):
                raise BackendUnavailable(
                    f"{self.root} belongs to somebody else; give the back-end its own state_dir"
                )
            self.own(self.root, 0o700)
            for name in ("layers", "instances", "tmp", "locks"):
                (self.root / name).mkdir(exist_ok=True)
                self.own(self.root / name, 0o755)
        except OSError as error:
            raise BackendUnavailable(
                f"the state directory {self.root} cannot be used ({error}): {_mend(error)} "
                "or set the back-end's option state_dir to a directory on ext4, xfs or btrfs"
            ) from error

    def own(self, path: Path | str, mode: int | None = None) -> None:
        """Give a path to the user kernels run as."""
        if privileged():
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        if mode is not None:
            Path(path).chmod(mode)

    def tree(self, digest: str) -> Path:
        """The files of a layer. Raises `SnapshotMissing`."""
        path = self.root / "layers" / digest
        try:
            os.utime(path)  # in use: what is not, is removed some day
        except OSError as error:
            raise SnapshotMissing(
                f"layer {digest[:12]} is not in {self.root}; it was made on another node or cleaned away"
            ) from error
        return path / "tree"

    def has(self, digest: str) -> bool:
        """Whether the layer is here, complete."""
        return (self.root / "layers" / digest / "tree").is_dir()

    def about(self, digest: str) -> dict[str, Any]:
        """The description stored with a layer. Raises `SnapshotMissing`."""
        try:
            loaded: dict[str, Any] = json.loads((self.root / "layers" / digest / "about.json").read_text())
        except FileNotFoundError as error:
            raise SnapshotMissing(f"layer {digest[:12]} is not in {self.root}") from error
        return loaded

    def difference(self, digest: str) -> Difference:
        """The difference a layer holds, with the place of each entry's bytes."""
        tree = self.tree(digest)
        found: Difference = {}
        for path, fields in self.about(digest)["entries"].items():
            fields["xattrs"] = tuple((name, value) for name, value in fields["xattrs"])
            entry = Entry(**fields, source=str(tree / path))
            if entry.same_as:
                entry = Entry(**fields, source=entry.source, inode=(tree / path).lstat().st_ino)
            found[path] = entry
        return found

    def scratch(self) -> Path:
        """A new empty directory on the store's file system."""
        path = self.scratch_root / uuid.uuid4().hex
        path.mkdir()
        self.own(path, 0o755)
        return path

    def publish(self, scratch: Path, digest: str, about: dict[str, Any]) -> None:
        """Make `scratch` (which holds `tree/`) the layer `digest`, unless it is there already."""
        (scratch / "about.json").write_text(json.dumps(about))
        try:
            scratch.rename(self.root / "layers" / digest)
        except OSError:
            if not self.has(digest):
                raise
            remove_tree(scratch)

    def write_difference(self, difference: Difference, digest: str) -> None:
        """Store a canonical difference as a layer (nothing to do when it is known)."""
        if self.has(digest):
            return
        scratch = self.scratch()
        try:
            tree = scratch / "tree"
            tree.mkdir()
            self.own(tree, 0o755)
            _materialise(self, difference, tree)
            entries = {path: entry.identity() for path, entry in difference.items()}
            self.publish(scratch, digest, {"entries": entries})
        except OSError as error:
            remove_tree(scratch)
            raise KernelError(f"the layer could not be stored in {self.root}: {error}") from error


def _materialise(store: Store, difference: Difference, tree: Path) -> None:
    copied: dict[int, Path] = {}  # inode in a writable directory -> its copy, to keep hard links
    directories: list[tuple[Path, Entry]] = []
    for path in sorted(difference):
        entry, target = difference[path], tree / path
        match entry.kind:
            case "whiteout":
                os.mknod(target, stat.S_IFCHR | 0o000, 0)
                continue
            case "dir":
                target.mkdir(0o700)
                directories.append((target, entry))
            case "link":
                target.symlink_to(entry.content)
            case "fifo":
                os.mkfifo(target)
            case "file":
                if not _hard_link(store, entry, target, copied):
                    copy_file(Path(entry.source), target)
        if entry.kind != "link":
            for name, value in entry.xattrs:
                os.setxattr(target, stored_name(name), bytes.fromhex(value), follow_symlinks=False)
        store.own(target)
        if entry.kind in ("file", "fifo"):
            target.chmod(entry.mode)
        _copy_times(Path(entry.source), target)
    for target, entry in reversed(directories):
        target.chmod(entry.mode)
        _copy_times(Path(entry.source), target)


def _hard_link(store: Store, entry: Entry, target: Path, copied: dict[int, Path]) -> bool:
    """Link instead of copying: to the same file in an older layer, or to the first of its own group."""
    first: Path | None = None
    if Path(entry.source).is_relative_to(store.root / "layers"):
        first = Path(entry.source)
    elif entry.same_as:
        first = copied.setdefault(entry.inode, target)
    if first is None or first == target:
        return False
    try:
        os.link(first, target, follow_symlinks=False)
    except OSError:
        return False  # too many links: a copy is as good
    return True


def _copy_times(source: Path, target: Path) -> None:
    info = source.lstat()
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a regular file, leaving holes as holes."""
    read_fd = open_for_copy(source)
    write_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(read_fd).st_size
        os.ftruncate(write_fd, size)
        for start, end in _data_ranges(read_fd, size):
            offset = start
            while offset < end:
                done = _copy_some(read_fd, write_fd, end - offset, offset)
                if done == 0:
                    break
                offset += done
    finally:
        os.close(read_fd)
        os.close(write_fd)


def _copy_some(read_fd: int, write_fd: int, count: int, offset: int) -> int:
    try:
        return os.copy_file_range(read_fd, write_fd, count, offset, offset)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL):
            raise  # those say that these two file systems cannot do it between them
    return os.pwrite(write_fd, os.pread(read_fd, min(count, 1 << 20), offset), offset)


def _data_ranges(fd: int, size: int) -> Iterable[tuple[int, int]]:
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:
            return  # only a hole is left
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end
        offset = end


def remove_tree(path: Path) -> None:
    """Remove a directory that a kernel wrote into: any mode, any depth, no link followed. Missing is fine."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        # Closed modes (overlayfs' own scratch directory is one) or great depth: the slow way that copes.
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--", str(path)], check=False, capture_output=True)


def _mend(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some room,"
    return "make it one that you can write to,"
