"""Read-only mounts: host content copied once into the store, bound over a path of the kernel.

The mount points come from a *cover*, a layer above the snapshot's own, whose directories at the targets are
opaque. So a target may not exist in the snapshot, or be a link or a file there, and nothing of it gets into the
kernel's writable directory.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Sequence
from pathlib import Path

from ...errors import KernelError
from ...kernel import ReadOnlyMount
from .store import Store
from .tree import OPAQUE, Below, HashCache, digest, scan


def lay(
    store: Store, below: Below, cover: Path, wanted: Sequence[ReadOnlyMount]
) -> tuple[list[list[str]], Path]:
    """(binds for the zygote: [path in the state directory, target]; the cover). Shorter targets go first."""
    cover.mkdir()
    store.own(cover, 0o755)
    binds = []
    for mount in sorted(wanted, key=lambda m: m.target):
        target = mount.target.rstrip("/")
        _make_point(store, below, cover, target)
        binds.append([f"layers/{_stored(store, mount.source)}/tree", target])
    return binds, cover


def _make_point(store: Store, below: Below, cover: Path, target: str) -> None:
    place, so_far = cover, ""
    names = [name for name in target.split("/") if name]
    for number, name in enumerate(names):
        place, so_far = place / name, f"{so_far}/{name}"
        if not place.is_dir():
            found = below.find(so_far)
            place.mkdir()
            is_dir = found is not None and stat.S_ISDIR(found[1].st_mode)
            store.own(place, stat.S_IMODE(found[1].st_mode) if found and is_dir else 0o755)
            if number == len(names) - 1:
                os.setxattr(place, OPAQUE, b"y")


def _stored(store: Store, source: Path) -> str:
    """The source's content as a layer of its own; its name."""
    if not source.is_dir():
        raise KernelError(f"{source} is not a directory; only directories can be mounted")
    try:
        content, _opaque = scan(source.resolve(), HashCache())
    except OSError as error:
        raise KernelError(f"{source} cannot be read: {error.strerror}") from error
    content = {path: entry for path, entry in content.items() if entry.kind in ("file", "dir", "link")}
    name = hashlib.sha256(b"mount" + digest(content).encode()).hexdigest()
    store.write_difference(content, name)
    return name


def check(wanted: Sequence[ReadOnlyMount]) -> None:
    """Targets must be absolute, plain, and not the root."""
    for mount in wanted:
        target = mount.target.rstrip("/")
        if not target.startswith("/") or posixpath.normpath(target) != target:
            raise KernelError(f"{mount.target!r} is not an absolute path in its plain form")
