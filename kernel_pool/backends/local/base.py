"""Bases: the state everything forks from, built once a node from a `BaseSpec`.

A base is two trees: the *skeleton* (a minimal /etc, empty standard directories, the places where this machine's
tools are bound) and what the spec's steps made on top of it. Its digest is the key of its inputs.
"""

from __future__ import annotations

import functools
import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import KernelError, UnsupportedFeature
from ...kernel import BaseSpec, CopyIn, RunStep, Snapshot
from ..bases import base_key, locked
from . import machine
from .skeleton import ensure_skeleton
from .store import FORMAT, Store, copy_file, remove_tree
from .tree import OPAQUE, Below, HashCache, is_whiteout, scan

if TYPE_CHECKING:
    from .backend import LocalBackend

_PLAIN_IMAGES = ("", "debian", "ubuntu", "python", "buildpack-deps", "scratch", "local")


@dataclass(frozen=True)
class Settings:
    """What travels with a base: the environment and directory of its commands, and its trees, highest first."""

    env: dict[str, str]
    workdir: str
    trees: tuple[Path, ...]

    def below(self) -> Below:
        """The base as one immutable view."""
        return _below(self.trees)


@functools.lru_cache(maxsize=64)
def _below(trees: tuple[Path, ...]) -> Below:
    return Below(list(trees))


def settings(store: Store, base: str) -> Settings:
    """The stored settings of a base. Raises `SnapshotMissing`."""
    about = _about(store.root / "layers" / base, store, base)
    return Settings(about["env"], about["workdir"], (store.tree(base), store.tree(about["skeleton"])))


_ABOUT: dict[Path, dict[str, Any]] = {}  # a base's description never changes


def _about(place: Path, store: Store, base: str) -> dict[str, Any]:
    if place not in _ABOUT:
        _ABOUT[place] = store.about(base)
    return _ABOUT[place]


async def prepare(backend: LocalBackend, store: Store, spec: BaseSpec) -> Snapshot:
    """`Backend.prepare`: find the base by the key of its inputs, or build it under a lock."""
    _check(spec)
    await backend.in_thread(store.create)
    skeleton = await backend.in_thread(ensure_skeleton, store, backend.capabilities.network)
    key = await backend.in_thread(base_key, spec, FORMAT, skeleton, machine.BASE_ENV)
    if not store.has(key):
        async with locked(store.root / "locks" / key):
            if not store.has(key):
                await backend.open()
                await _build(backend, store, spec, skeleton, key)
    return Snapshot("local", key)


def _check(spec: BaseSpec) -> None:
    image = spec.image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if image not in _PLAIN_IMAGES:
        raise UnsupportedFeature(
            f"the local back-end has no images; {spec.image!r} needs the docker or e2b back-end"
            " (plain Debian, Ubuntu and Python images stand for this machine's own tools)"
        )
    for path in (spec.workdir, *(step.target for step in spec.steps if isinstance(step, CopyIn))):
        _check_target(path)


def _check_target(path: str) -> None:
    if not path.startswith("/") or posixpath.normpath(path) != (path.rstrip("/") or "/"):
        raise KernelError(f"{path!r} is not an absolute path in its plain form")
    for closed in ("/proc", "/dev", *machine.system_directories(), *machine.system_links()):
        if path == closed or path.startswith(closed + "/"):
            raise KernelError(
                f"{path!r} lies in {closed}, which is this machine's own and read-only in a kernel"
            )


async def _build(backend: LocalBackend, store: Store, spec: BaseSpec, skeleton: str, key: str) -> None:
    scratch = await backend.in_thread(store.scratch)
    tree = scratch / "tree"
    env = {**machine.BASE_ENV, **spec.env}
    about = Settings(env, spec.workdir, (store.tree(skeleton),))
    try:
        tree.mkdir()
        store.own(tree, 0o755)
        await backend.in_thread(_directory, store, tree, about.below(), spec.workdir)
        for step in spec.steps:
            if isinstance(step, CopyIn):
                await backend.in_thread(_copy_in, store, tree, about.below(), step)
            else:
                await _run_step(backend, step, about, tree)
        publish = {"env": env, "workdir": spec.workdir, "skeleton": skeleton}
        await backend.in_thread(store.publish, scratch, key, publish)
    except OSError as error:
        raise KernelError(f"the base could not be built in {store.root}: {error}") from error
    finally:
        await backend.in_thread(remove_tree, scratch)


async def _run_step(backend: LocalBackend, step: RunStep, about: Settings, tree: Path) -> None:
    kernel = await backend.start_on(Snapshot("local", "building"), about=about, upper=tree)
    try:
        result = await kernel.run(step.command, limits=step.limits)
    finally:
        await kernel.close()
    if not result.ok:
        tail = (result.stdout + result.stderr)[-4000:].decode(errors="replace")
        how = f"exited with {result.exit_code}" if result.ended == "exited" else result.ended
        raise KernelError(f"the preparation step {step.command!r} {how}; its last output:\n{tail}")


def _copy_in(store: Store, tree: Path, below: Below, step: CopyIn) -> None:
    source = step.source.resolve()
    if not source.is_dir():
        place = step.target + source.name if step.target.endswith("/") else step.target
        parent = _directory(store, tree, below, posixpath.dirname(place))
        _copy_entry(store, source, parent / posixpath.basename(place))
        return
    target = _directory(store, tree, below, step.target)
    for path, entry in sorted(scan(source, HashCache())[0].items()):
        if entry.kind == "dir":
            made = _directory(store, tree, below, f"{step.target.rstrip('/')}/{path}")
            made.chmod(entry.mode | stat.S_IRWXU)
        elif entry.kind in ("file", "link"):
            _copy_entry(store, source / path, target / path)


def _copy_entry(store: Store, source: Path, target: Path) -> None:
    if target.is_symlink() or target.is_file() or (os.path.lexists(target) and is_whiteout(target.lstat())):
        target.unlink()
    info = source.lstat()
    if stat.S_ISLNK(info.st_mode):
        target.symlink_to(source.readlink())
    else:
        copy_file(source, target)
        target.chmod(stat.S_IMODE(info.st_mode))
    store.own(target)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def _directory(store: Store, tree: Path, below: Below, path: str) -> Path:
    """Make a directory in the tree of changes, with the modes of what it lies on. No link is followed."""
    place, so_far = tree, ""
    for name in filter(None, path.split("/")):
        place, so_far = place / name, f"{so_far}/{name}"
        try:
            info = place.lstat()
        except FileNotFoundError:
            found = below.find(so_far)
            if found is not None and not stat.S_ISDIR(found[1].st_mode):
                raise KernelError(f"{so_far} is not a directory, so that {path} cannot be one") from None
            place.mkdir()
            store.own(place, stat.S_IMODE(found[1].st_mode) if found else 0o755)
            continue
        if is_whiteout(info):
            place.unlink()
            place.mkdir()
            store.own(place, 0o755)
            os.setxattr(place, OPAQUE, b"y")
        elif not stat.S_ISDIR(info.st_mode):
            raise KernelError(f"{so_far} is not a directory, so that {path} cannot be one")
    return place
