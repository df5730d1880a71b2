"""A layer as data: what a directory of changes holds, told apart from the base it lies on.

A state is its base plus *one canonical difference*: a mapping path -> `Entry` in which nothing equals what the
base already has, deletions are whiteouts of names the base really shows, and no directory is opaque. Two states
with the same files have the same difference, however they were reached, and so the same digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ...errors import KernelError

OPAQUE = "user.overlay.opaque"
_OVERLAY_PRIVATE = (
    "user.overlay.origin",
    "user.overlay.impure",
    "user.overlay.nlink",
    "user.overlay.upper",
    OPAQUE,
)
_OVERLAY, _ESCAPED = "user.overlay.", "user.overlay.overlay."
_MAX_PATH = 4000  # characters; deeper trees cannot be named by a path


@dataclass(frozen=True)
class Entry:
    """One path of a difference. Times are left out: they are kept on disk but do not tell states apart."""

    kind: Literal["file", "dir", "link", "fifo", "whiteout"]
    mode: int = 0
    content: str = ""  #: sha256 of a file, target of a link
    size: int = 0
    same_as: str = ""  #: for a hard link: the first path of its group
    xattrs: tuple[tuple[str, str], ...] = ()  #: (name, value in hex)
    source: str = ""  #: where the bytes lie now; no part of the identity
    inode: int = 0  #: identity of the file for hard links; no part of the identity of the state

    def identity(self) -> dict[str, object]:
        """What counts for the digest."""
        fields = asdict(self)
        del fields["source"], fields["inode"]
        return fields


Difference = dict[str, Entry]


def digest(difference: Mapping[str, Entry]) -> str:
    """sha256 of a canonical difference; independent of order, inodes and times."""
    text = json.dumps([[path, difference[path].identity()] for path in sorted(difference)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class HashCache:
    """Digests of files that have not changed since they were read, for one writable directory."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def digest(self, fd: int, info: os.stat_result) -> str:
        """sha256 of an open file; from memory when its stat signature is known and old enough to be trusted."""
        signature = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        known = self._known.get(signature)
        if known is None:
            known = _hash_file(fd)
            if _settled(info.st_ctime_ns):
                self._known[signature] = known
        return known


def _settled(ctime_ns: int) -> bool:
    # A file changed within the clock's tick (4 ms, ten for good measure) could change again unseen.
    from time import time_ns

    return time_ns() - ctime_ns > 40_000_000


def _hash_file(fd: int) -> str:
    hasher = hashlib.sha256()
    while chunk := os.read(fd, 1 << 20):
        hasher.update(chunk)
    return hasher.hexdigest()


def scan(root: Path, cache: HashCache) -> tuple[Difference, set[str]]:
    """Entries of an overlay upper directory, parents first, and the paths of its opaque directories.

    No link is ever followed: each directory is opened from its parent's descriptor with O_NOFOLLOW.
    """
    found: Difference = {}
    opaque: set[str] = set()
    todo = [""]
    while todo:
        relative = todo.pop()
        fd = open_directory(root, relative)
        try:
            for name in sorted(os.listdir(fd)):  # noqa: PTH208 - of a descriptor
                path = f"{relative}/{name}" if relative else name
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if len(path) > _MAX_PATH:
                    raise KernelError(
                        f"a directory of the kernel is nested too deeply to be frozen: {path[:80]}..."
                    )
                entry = _entry(root, path, name, fd, info, cache)
                found[path] = entry
                if entry.kind == "dir":
                    todo.append(path)
                    if is_opaque(root / path):
                        opaque.add(path)
        finally:
            os.close(fd)
    return found, opaque


def open_directory(root: Path, relative: str) -> int:
    """A descriptor of a directory below `root`, no link followed on the way."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(root, flags)
    for name in filter(None, relative.split("/")):
        try:
            below = _open_even_if_closed(name, fd, flags)
        finally:
            os.close(fd)
        fd = below
    return fd


def _open_even_if_closed(name: str, parent: int, flags: int) -> int:
    """Open an own file or directory whose mode shuts out its owner; the mode is put back at once."""
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        # By the descriptor of the very thing: a name may mean something else a moment later.
        place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            mode = os.fstat(place).st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise
            itself = Path(f"/proc/self/fd/{place}")
            itself.chmod(0o700)
            try:
                return os.open(itself, flags & ~os.O_NOFOLLOW)
            finally:
                itself.chmod(stat.S_IMODE(mode))
        finally:
            os.close(place)


def _entry(root: Path, path: str, name: str, parent: int, info: os.stat_result, cache: HashCache) -> Entry:
    mode = stat.S_IMODE(info.st_mode)
    source = str(root / path)
    if is_whiteout(info):
        return Entry("whiteout")
    if stat.S_ISDIR(info.st_mode):
        return Entry("dir", mode, xattrs=_xattrs(source), source=source)
    if stat.S_ISLNK(info.st_mode):
        return Entry("link", 0o777, os.readlink(name, dir_fd=parent), source=source)
    if stat.S_ISFIFO(info.st_mode):
        return Entry("fifo", mode, source=source)
    if not stat.S_ISREG(info.st_mode):
        # A socket has nobody behind it any more: nothing is there, also nothing of what it stands in the place of.
        return Entry("whiteout")
    fd = _open_even_if_closed(name, parent, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        content = cache.digest(fd, info)
    finally:
        os.close(fd)
    return Entry(
        "file", mode, content, info.st_size, xattrs=_xattrs(source), source=source, inode=info.st_ino
    )


def is_whiteout(info: os.stat_result) -> bool:
    """overlayfs marks a deletion with a character device 0:0."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(directory: Path) -> bool:
    """overlayfs marks a directory that hides what lies below with an attribute."""
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _xattrs(path: str) -> tuple[tuple[str, str], ...]:
    """Attributes as a program inside sees them: overlayfs keeps those that look like its own under another name."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        kept = {n: n.replace(_ESCAPED, _OVERLAY, 1) for n in names if n.startswith("user.")}
        return tuple(
            (seen, os.getxattr(path, name, follow_symlinks=False).hex())
            for name, seen in sorted(kept.items())
            if name not in _OVERLAY_PRIVATE
        )
    except OSError:
        return ()  # no attributes on this file system, or a mode that hides them


def stored_name(attribute: str) -> str:
    """The name under which a layer keeps an attribute."""
    return attribute.replace(_OVERLAY, _ESCAPED, 1) if attribute.startswith(_OVERLAY) else attribute


class Below:
    """The merged, immutable view of some layer trees, highest first: what a difference is compared with."""

    def __init__(self, trees: list[Path]) -> None:
        self._trees = trees
        self._hashes = HashCache()

    def find(self, path: str) -> tuple[Path, os.stat_result] | None:
        """The topmost real entry that shows at `path`, or None."""
        stack = self._stack(path)
        return stack[0] if stack else None

    def names(self, path: str) -> Iterator[str]:
        """Names that show in the directory at `path`; nothing when it is no directory."""
        stack = self._stack(path)
        if not stack or not stat.S_ISDIR(stack[0][1].st_mode):
            return
        hidden: set[str] = set()
        for directory, _info in stack:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name not in hidden:
                        hidden.add(entry.name)
                        if not is_whiteout(entry.stat(follow_symlinks=False)):
                            yield entry.name

    def same(self, path: str, entry: Entry) -> bool:
        """Whether what shows at `path` is what the entry says."""
        found = self.find(path)
        if found is None or entry.same_as:
            return False
        where, info = found
        mode = stat.S_IMODE(info.st_mode)
        if entry.kind == "dir":
            return stat.S_ISDIR(info.st_mode) and (mode, _xattrs(str(where))) == (entry.mode, entry.xattrs)
        if entry.kind == "fifo":
            return stat.S_ISFIFO(info.st_mode) and mode == entry.mode
        if entry.kind == "link":
            return stat.S_ISLNK(info.st_mode) and str(where.readlink()) == entry.content
        if entry.kind != "file" or not stat.S_ISREG(info.st_mode):
            return False
        if (mode, info.st_size, _xattrs(str(where))) != (entry.mode, entry.size, entry.xattrs):
            return False
        fd = open_for_copy(where)
        try:
            return self._hashes.digest(fd, info) == entry.content
        finally:
            os.close(fd)

    def _stack(self, path: str) -> list[tuple[Path, os.stat_result]]:
        """Real entries at `path`, highest first: one for a file, one per merged layer for a directory."""
        stack = [(tree, tree.lstat()) for tree in self._trees]
        for name in filter(None, path.split("/")):
            below: list[tuple[Path, os.stat_result]] = []
            for directory, above in stack:
                if not stat.S_ISDIR(above.st_mode):
                    return []  # whatever lies "below" a file does not show
                candidate = directory / name
                try:
                    info = candidate.lstat()
                except FileNotFoundError:
                    continue
                if is_whiteout(info) or (below and not stat.S_ISDIR(info.st_mode)):
                    break
                below.append((candidate, info))
                if not stat.S_ISDIR(info.st_mode) or is_opaque(candidate):
                    break
            stack = below
        return stack


def open_for_copy(path: Path) -> int:
    """A regular file of a tree, for reading, whatever its mode; its last component is never followed."""
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return _open_even_if_closed(path.name, parent, os.O_RDONLY | os.O_NOFOLLOW)
    finally:
        os.close(parent)
