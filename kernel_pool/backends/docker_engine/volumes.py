"""Read-only mounts: a directory of the host, copied into a volume of the engine once per content.

A bind mount would be cheaper, but an engine may be remote, rootless or in a virtual machine, and not see the
directory at all.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Sequence
from pathlib import Path

from ...errors import KernelError, KernelStartFailed
from ...kernel import ReadOnlyMount
from ..local.tree import HashCache, digest, scan
from . import archives
from .engine import Absent, Conflict, Engine
from .maker import Maker

_FILL = "/rollout-fork-fill"


class Volumes:
    """The volumes of one back-end instance. Every method blocks."""

    def __init__(self, engine: Engine, maker: Maker) -> None:
        self._engine = engine
        self._maker = maker
        self._filled: dict[str, str] = {}  # digest of the content -> volume
        self._lock = threading.Lock()

    def mounted(self, mounts: Sequence[ReadOnlyMount], image: str) -> list[tuple[str, str]]:
        """(volume, target) for each; parents first. `image` is one that is here. Raises `KernelError`."""
        targets = [_checked(mount.target) for mount in mounts]
        return sorted(
            (
                (self._volume(mount.source, image), target)
                for mount, target in zip(mounts, targets, strict=True)
            ),
            key=lambda pair: pair[1],
        )

    def remove(self) -> None:
        """Delete all of them; no container may use them any more."""
        for name in self._filled.values():
            self._remove(name)
        self._filled.clear()

    def _volume(self, source: Path, image: str) -> str:
        if not source.is_dir():
            raise KernelStartFailed(f"{source} is not a directory; only directories can be mounted")
        try:
            content = digest(scan(source.resolve(), HashCache())[0])
        except OSError as error:
            raise KernelError(f"{source} cannot be read: {error.strerror}") from error
        with self._lock:
            if content not in self._filled:
                self._filled[content] = self._fill(source, image)
            return self._filled[content]

    def _fill(self, source: Path, image: str) -> str:
        name = self._maker.new_name()
        what = f"a volume for {source}"
        self._engine.blocking(what, self._engine.api.create_volume, name, labels=self._maker.labels)
        filled = False
        try:
            with (
                archives.scratch() as tar,
                self._maker.borrowed(image, run=False, fill=[(name, _FILL)]) as fresh,
            ):
                archives.packed_directory(source.resolve(), tar)
                archives.put(self._engine, fresh, _FILL, tar)
            filled = True
        finally:
            if not filled:
                self._remove(name)
        return name

    def _remove(self, name: str) -> None:
        try:
            self._engine.blocking(f"removing volume {name}", self._engine.api.remove_volume, name, force=True)
        except (Absent, Conflict):
            return  # gone; or a kernel of ours is still being removed, then the reaper finds it


def _checked(target: str) -> str:
    plain = target.rstrip("/")
    if not plain.startswith("/") or posixpath.normpath(plain) != plain:
        raise KernelError(f"{target!r} is not an absolute path in its plain form")
    return plain
