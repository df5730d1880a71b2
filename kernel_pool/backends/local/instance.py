"""One living back-end's own directory in the store, and the removal of what dead ones left behind.

A lock on a file of the directory tells who lives: the system lets go of it whatever way a process ends. So the
directory is the lease of everything in it: kernels, their writable trees, their control groups.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

from . import cgroups
from .machine import kernel_ids
from .store import Store, remove_tree

UNUSED_S = 30 * 24 * 3600.0  #: a layer that nobody started from for so long is removed; it can be made again
_HALF_MADE_S = 24 * 3600.0  # after this long, what lies in tmp/ or has no lock yet is nobody's any more
_GROUPS = "groups.json"  # names the control groups of an instance


class Instance:
    """Made when a back-end comes up, removed when it closes; `reap` removes it when neither happens."""

    def __init__(self, store: Store) -> None:
        reap(store)
        self._store = store
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.path = store.root / "instances" / self.name
        self.path.mkdir()
        store.own(self.path, 0o755)
        new = self.path / "lock.new"
        self._lock = os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(self.path / "lock")  # held from the moment that anybody can see it
        for name in ("k", "root", "tmp"):
            (self.path / name).mkdir()
            store.own(self.path / name, 0o755)
        store.scratch_root = self.path / "tmp"

    def groups(self, tier: cgroups.Tier) -> cgroups.InstanceGroups:
        """Control groups for the kernels."""
        return cgroups.InstanceGroups(tier, self.name, self.path / _GROUPS, kernel_ids())

    def remove(self) -> None:
        """Delete it. Every kernel must be gone."""
        self._store.scratch_root = self._store.root / "tmp"
        _remove(self.path)
        os.close(self._lock)


def reap(store: Store) -> int:
    """Remove what dead processes left: their kernels' directories and control groups. How many kernels it was.

    Their processes and mounts are gone by themselves: a kernel ends with its zygote, that with its host.
    """
    found = 0
    for path in _entries(store.root / "instances"):
        try:
            fd = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # it is just being made, or just being removed
            _remove_if_old(path)
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            found += len(_entries(path / "k"))
            _remove(path)
        finally:
            os.close(fd)
    for path in _entries(store.root / "tmp"):
        _remove_if_old(path)
    return found


def prune(store: Store, unused_s: float = UNUSED_S) -> int:
    """Remove layers that nobody used for so long; how many. A base is built again, a state loaded again, on demand.

    Layers are marked as used when a kernel starts. So nothing is removed while a back-end lives that is older.
    """
    removed = 0
    for lock in store.root.glob("instances/*/lock"):
        with suppress(FileNotFoundError):
            if lock.stat().st_mtime < time.time() - unused_s:
                return 0
    for lock in _entries(store.root / "locks"):
        with suppress(FileNotFoundError):
            if lock.stat().st_mtime < time.time() - unused_s:
                lock.unlink()
    for path in _entries(store.root / "layers"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - unused_s:
                aside = store.scratch() / "old"
                path.rename(aside)
                remove_tree(aside.parent)
                removed += 1
    return removed


def _remove(path: Path) -> None:
    if cgroups.remove(path / _GROUPS):  # else a process is still on its way out: the next time
        remove_tree(path)


def _remove_if_old(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.lstat().st_mtime < time.time() - _HALF_MADE_S:
            remove_tree(path)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
