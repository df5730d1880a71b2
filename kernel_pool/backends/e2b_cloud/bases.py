"""Bases: a template of E2B, what the spec's steps made of it, frozen as an E2B snapshot."""

from __future__ import annotations

import asyncio
import io
import posixpath
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import BackendUnavailable, KernelError, KernelStartFailed
from ...kernel import BaseSpec, CopyIn, ReadOnlyMount, RunStep, Snapshot
from ..bases import base_key, locked
from ..local.machine import BASE_ENV
from ..local.tree import HashCache, scan
from .kernel import E2BKernel
from .link import Link, agent
from .states import Hashes, read_entries
from .store import Base

if TYPE_CHECKING:
    from .backend import E2BBackend

#: Images that ask for no more than what E2B's own template has.
PLAIN_IMAGES = ("", "debian", "ubuntu", "python", "buildpack-deps", "scratch", "local")
_DEFAULT_TEMPLATE = "base"
#: What commands get beside the template's own variables: as in every other back-end, without this machine's paths.
_ENV = {name: value for name, value in BASE_ENV.items() if name not in ("PATH", "HOME")}
#: Directories at the top that the user can write in every back-end.
_DIRECTORIES = ("/logs",)
_FORMAT = 1  # part of every base's key
_STEP_S = 600.0


async def prepare(backend: E2BBackend, spec: BaseSpec) -> Snapshot:
    """`Backend.prepare`: find the base by the key of its inputs, or build it under a lock."""
    _check(spec)
    store = backend.store
    name, of_the_task = template_of(spec, backend.template)
    key = await asyncio.to_thread(base_key, spec, _FORMAT, _ENV, name, backend.user, agent()[0])
    if not store.has_base(key):
        async with locked(store.room / "locks" / key):
            if not store.has_base(key):
                try:
                    await _build(backend, spec, name, key)
                except BackendUnavailable as error:
                    if of_the_task:  # other tasks may well work
                        raise KernelStartFailed(str(error)) from error
                    raise
    return Snapshot(backend.name, key)


def template_of(spec: BaseSpec, chosen: str | None) -> tuple[str, bool]:
    """The template of a spec: its image where that is one (then True), or the back-end's own."""
    image = spec.image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if image in PLAIN_IMAGES:
        return chosen or _DEFAULT_TEMPLATE, False
    return spec.image, True


def _check(spec: BaseSpec) -> None:
    for path in (spec.workdir, *(step.target for step in spec.steps if isinstance(step, CopyIn))):
        check_path(path)


def check_path(path: str) -> None:
    """Raise `KernelError` unless a path is absolute and plain."""
    if not path.startswith("/") or posixpath.normpath(path) != (path.rstrip("/") or "/"):
        raise KernelError(f"{path!r} is not an absolute path in its plain form")


async def _build(backend: E2BBackend, spec: BaseSpec, template: str, key: str) -> None:
    env = {**_ENV, **spec.env}
    nothing = Base("", env, spec.workdir, [], {}, {})
    kernel = await backend.start_from(template, Snapshot(backend.name, key), nothing)
    try:
        link = kernel.link
        await link.install()
        home = await _hello(link, template)
        await _copy_in(link, None, [spec.workdir, *_DIRECTORIES])
        for step in spec.steps:
            if isinstance(step, CopyIn):
                archive = await asyncio.to_thread(_packed, step)
                directories = [step.target] if step.source.is_dir() else []
                await _copy_in(link, archive, directories)
            else:
                await _run_step(kernel, step, home)
        await link.ask({"op": "own", "paths": [spec.workdir, *_DIRECTORIES]}, wall_s=_STEP_S)
        places = (await link.ask({"op": "places"}, wall_s=_STEP_S)).get("places")
        if not isinstance(places, list):
            raise KernelError("the sandbox told no places")
        hashes = Hashes()
        entries = await read_entries(link, list(map(str, places)), hashes)
        cloud_id = await backend.cloud.snapshot(kernel.sandbox)
        base = Base(cloud_id, env, spec.workdir, places, entries, hashes.signatures)
        backend.store.put_base(key, base)
    finally:
        await kernel.close()


async def _hello(link: Link, template: str) -> str:
    """The user's home directory, once the agent has shown that it works."""
    try:
        return str((await link.ask({"op": "hello"}, wall_s=60.0)).get("home"))
    except BackendUnavailable as error:
        raise BackendUnavailable(f"template {template!r}: {error}") from error


async def _copy_in(link: Link, archive: bytes | None, directories: list[str]) -> None:
    name = await link.put(archive if archive is not None else _tar([]))
    await link.ask({"op": "copy_in", "archive": name, "directories": directories}, wall_s=_STEP_S)


async def _run_step(kernel: E2BKernel, step: RunStep, home: str) -> None:
    result = await kernel.run_as(step.command, env={"HOME": home}, limits=step.limits, as_root=True)
    if not result.ok:
        tail = (result.stdout + result.stderr)[-4000:].decode(errors="replace")
        how = f"exited with {result.exit_code}" if result.ended == "exited" else result.ended
        raise KernelError(f"the preparation step {step.command!r} {how}; its last output:\n{tail}")


def _packed(step: CopyIn) -> bytes:
    """A step's source as a tar of paths below /."""
    source = step.source.resolve()
    if source.is_dir():
        return _tar([(step.target, source)])
    place = step.target + source.name if step.target.endswith("/") else step.target
    return _tar([(place, source)])


def packed_mount(mount: ReadOnlyMount) -> bytes:
    """A mount's content as a tar of paths below its target. Raises `KernelError`."""
    if not mount.source.is_dir():
        raise KernelError(f"{mount.source} is not a directory; only directories can be mounted")
    return _tar([("", mount.source.resolve())])


def _tar(contents: list[tuple[str, Path]]) -> bytes:
    packed = io.BytesIO()
    try:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for target, source in contents:
                if not source.is_dir():
                    tar.add(source, target.strip("/"), filter=_anonymous)
                    continue
                for path, entry in sorted(scan(source, HashCache())[0].items()):
                    if entry.kind in ("dir", "file", "link"):
                        name = posixpath.join(target, path).lstrip("/")
                        tar.add(source / path, name, recursive=False, filter=_anonymous)
    except OSError as error:
        raise KernelError(f"{error.filename} cannot be copied into a kernel: {error.strerror}") from error
    return packed.getvalue()


def _anonymous(item: tarfile.TarInfo) -> tarfile.TarInfo:
    item.uid = item.gid = 0
    item.uname = item.gname = ""
    return item
