"""The subprocess back-end: kernels without a sandbox, for machines where nothing better works.

A kernel is a copy of a directory, its commands are ordinary processes of this user. Nothing keeps a command from
the machine's files, processes or network, so it has to be allowed expressly. See `capabilities.notes`.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from ..errors import KernelClosed, KernelError, KernelStartFailed, UnsupportedFeature
from ..journal import Journal, default_directory, reap
from ..kernel import BaseSpec, Capabilities, CopyIn, Limits, ReadOnlyMount, RunStep, Snapshot
from . import beneath
from .bases import base_key, locked
from .local import archive as archives
from .local.machine import BASE_ENV
from .local.store import remove_tree
from .local.tree import HashCache, digest, scan
from .plain_kernel import Mounted, PlainKernel, Setting
from .trees import Trees, copy_tree, difference, name_of, unpack

_FORMAT = 1  # part of every base's key
_PLAIN_IMAGES = ("", "debian", "ubuntu", "python", "buildpack-deps", "scratch", "local")


class SubprocessBackend:
    """`kernel_pool.kernel.Backend` without isolation."""

    def __init__(self, state_dir: Path | None = None, *, allow_unsandboxed: bool = False) -> None:
        if not allow_unsandboxed:
            raise UnsupportedFeature(
                "the subprocess back-end isolates nothing: what an agent runs can read, change and send everything "
                "you can. If that is right here, set backend.allow_unsandboxed to true"
            )
        self._trees = Trees(Path(state_dir).absolute() / "plain" if state_dir else default_directory())
        self._journal: Journal | None = None
        self._kernels: dict[str, PlainKernel] = {}
        self._closed = False

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "subprocess"

    @property
    def capabilities(self) -> Capabilities:
        """See `Backend.capabilities`."""
        return Capabilities(
            isolated=False,
            restores="files+env",
            network="host",
            enforces={
                "wall_s": "watch of the session and of marked processes",
                "output_bytes": "watch of the pipes",
                "file_mb": "RLIMIT_FSIZE",
                "open_files": "RLIMIT_NOFILE",
            },
            notes=(
                "nothing is isolated: commands can reach this machine's files, processes and network",
                "there is no root directory of its own: absolute paths in shell commands mean this machine's; "
                "$KERNEL_ROOT is where the kernel's / lies, and whole arguments of a sequence are mapped",
                "read-only mounts are copies without write permission: commands can move them away, and root can write",
                "a process that clears its environment and leaves its session outlives its command",
                "memory_mb bounds no more than the address space of each process; the number of processes, CPU time and "
                "disk space are not bounded",
                "a fork and a snapshot copy the whole tree",
            ),
        )

    async def check(self) -> None:
        """See `Backend.check`."""
        self._open()

    async def prepare(self, spec: BaseSpec) -> Snapshot:
        """See `Backend.prepare`."""
        self._open()
        _check(spec)
        key = await asyncio.to_thread(base_key, spec, _FORMAT, BASE_ENV)
        if not self._trees.has(key):
            async with locked(self._trees.room / "locks" / key):
                if not self._trees.has(key):
                    await self._build(spec, key)
        return Snapshot(self.name, key)

    async def start(
        self, snapshot: Snapshot, *, limits: Limits | None = None, mounts: Sequence[ReadOnlyMount] = ()
    ) -> PlainKernel:
        """See `Backend.start`."""
        about = self._open().about(snapshot.base)
        setting = Setting(about["env"], about["workdir"], snapshot.env)
        return await self._start(self._trees.tree(snapshot), setting, limits, mounts, snapshot)

    async def export(self, snapshot: Snapshot, target: Path) -> None:
        """See `Backend.export`."""
        self._open()
        await asyncio.to_thread(self._export, snapshot, target)

    async def load(self, base: Snapshot, archive: Path, *, env: str = "") -> Snapshot:
        """See `Backend.load`. There is no kernel that could contain the unpacking, so every step of it is checked."""
        self._open()
        layers = await asyncio.to_thread(self._load, base, archive)
        return Snapshot(self.name, base.base, layers, env)

    async def reap(self) -> int:
        """See `Backend.reap`."""
        return await asyncio.to_thread(reap, self._trees.room)

    async def close(self) -> None:
        """See `Backend.close`."""
        self._closed = True
        await asyncio.gather(*(kernel.close() for kernel in list(self._kernels.values())))

    def _open(self) -> Trees:
        if self._closed:
            raise KernelClosed("the subprocess back-end is closed")
        if self._journal is None:
            self._trees.create()
            reap(self._trees.room)
            self._journal = Journal(self._trees.room)
        return self._trees

    async def _start(
        self,
        tree: Path | None,
        setting: Setting,
        limits: Limits | None,
        mounts: Sequence[ReadOnlyMount],
        origin: Snapshot,
    ) -> PlainKernel:
        assert self._journal is not None
        kernel_id = f"plain-{os.getpid()}-{uuid.uuid4().hex[:10]}"
        room = self._trees.room / "kernels" / kernel_id
        last = origin

        async def freeze(kernel: PlainKernel) -> Snapshot:
            nonlocal last
            if kernel.changed:
                layers = await asyncio.to_thread(self._freeze, kernel, origin.base)
                last = Snapshot(self.name, origin.base, layers, kernel.shell_state)
                kernel.changed = False
            return last

        async def dispose() -> None:
            await asyncio.to_thread(remove_tree, room)
            self._kernels.pop(kernel_id, None)
            if self._journal is not None:
                self._journal.remove(kernel_id)

        self._journal.add(kernel_id, room)
        filling = asyncio.ensure_future(asyncio.to_thread(_fill, room, tree, setting, mounts))
        up = False
        try:
            mounted = await asyncio.shield(filling)
            kernel = PlainKernel(
                kernel_id, room, setting, limits or Limits(), mounted, freeze=freeze, dispose=dispose
            )
            up = True
        except OSError as error:
            raise KernelStartFailed(f"kernel {kernel_id} could not be made in {room}: {error}") from error
        finally:
            if not up:
                await asyncio.wait(
                    {filling}
                )  # a thread cannot be stopped: remove what it made when it is done
                await dispose()
        self._kernels[kernel_id] = kernel
        return kernel

    async def _build(self, spec: BaseSpec, key: str) -> None:
        setting = Setting({**BASE_ENV, **spec.env}, spec.workdir, "")
        kernel = await self._start(None, setting, None, (), Snapshot(self.name, key))
        try:
            for step in spec.steps:
                if isinstance(step, CopyIn):
                    await asyncio.to_thread(_copy_in, kernel.root, step)
                else:
                    await _run_step(kernel, step)
            about = {"env": dict(setting.env), "workdir": spec.workdir}
            entries = await asyncio.to_thread(kernel.entries)
            await asyncio.to_thread(self._trees.publish, key, entries, about)
        except OSError as error:
            raise KernelError(f"the base could not be built in {self._trees.room}: {error}") from error
        finally:
            await kernel.close()

    def _freeze(self, kernel: PlainKernel, base: str) -> tuple[str, ...]:
        entries = kernel.entries()
        changes = difference(self._trees.scan(Snapshot(self.name, base)), entries)
        if not changes:
            return ()
        layer = digest(changes)
        self._trees.publish(name_of(base, (layer,)), entries, {})
        return (layer,)

    def _export(self, snapshot: Snapshot, target: Path) -> None:
        base = self._trees.scan(Snapshot(self.name, snapshot.base))
        try:
            archives.write(difference(base, self._trees.scan(snapshot)), target)
        except OSError as error:
            raise KernelError(f"{target} could not be written: {error}") from error

    def _load(self, base: Snapshot, archive: Path) -> tuple[str, ...]:
        scratch = self._trees.scratch()
        try:
            copy_tree(self._trees.tree(base), scratch / "tree")
            unpack(archive, scratch / "tree")
            entries = scan(scratch / "tree", HashCache())[0]
            changes = difference(self._trees.scan(Snapshot(self.name, base.base)), entries)
            if not changes:
                return ()
            layer = digest(changes)
            self._trees.publish(name_of(base.base, (layer,)), entries, {})
            return (layer,)
        finally:
            remove_tree(scratch)


def _check(spec: BaseSpec) -> None:
    image = spec.image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if image not in _PLAIN_IMAGES:
        raise UnsupportedFeature(
            f"the subprocess back-end has no images; {spec.image!r} needs the docker or e2b back-end"
        )
    for path in (spec.workdir, *(step.target for step in spec.steps if isinstance(step, CopyIn))):
        if not path.startswith("/") or ".." in path.split("/"):
            raise KernelError(f"{path!r} is not an absolute path in its plain form")


def _fill(room: Path, tree: Path | None, setting: Setting, mounts: Sequence[ReadOnlyMount]) -> list[Mounted]:
    root = room / "root"
    root.mkdir(parents=True)
    if tree is not None:
        copy_tree(tree, root)
    else:
        for path in ("/tmp", BASE_ENV["HOME"], setting.workdir):
            with beneath.directory(root, path, make=True):
                pass
    return [_mount(room, number, mount) for number, mount in enumerate(mounts)]


def _mount(room: Path, number: int, mount: ReadOnlyMount) -> Mounted:
    """A copy of the mount's source at its target, without write permission; what was there is put aside."""
    root, hidden = room / "root", room / "hidden" / str(number)
    target = posixpath.normpath(mount.target).strip("/")
    if not mount.target.startswith("/") or not target:
        raise KernelStartFailed(f"{mount.target!r} is no absolute path that something can be mounted at")
    parents = [str(path) for path in reversed(Path(target).parents) if str(path) != "."]
    made = tuple(path for path in parents if not os.path.lexists(root / path))
    with beneath.directory(root, posixpath.dirname(f"/{target}"), make=True) as parent:
        place = Path(f"/proc/self/fd/{parent}").readlink() / posixpath.basename(target)
    real = place.relative_to(root.resolve()).as_posix()
    if os.path.lexists(place):
        (hidden / Path(real).parent).mkdir(parents=True)
        place.rename(hidden / real)
    copy_tree(mount.source, place)
    for directory, _, files in os.walk(place):
        for name in files:
            if not Path(directory, name).is_symlink():
                Path(directory, name).chmod(Path(directory, name).stat().st_mode & ~0o222)
        Path(directory).chmod(Path(directory).stat().st_mode & ~0o222)
    return Mounted(real, hidden, made)


def _copy_in(root: Path, step: CopyIn) -> None:
    source = step.source.resolve()
    if source.is_dir():
        with beneath.directory(root, step.target, make=True) as target:
            copy_tree(source, Path(f"/proc/self/fd/{target}").readlink())
        return
    path = step.target + source.name if step.target.endswith("/") else step.target
    beneath.write(root, path, b"", 0o600)
    with beneath.located(root, path) as (parent, name):
        place = Path(f"/proc/self/fd/{parent}").readlink() / name
        shutil.copyfile(source, place)
        shutil.copystat(source, place)


async def _run_step(kernel: PlainKernel, step: RunStep) -> None:
    result = await kernel.run(step.command, limits=step.limits)
    if not result.ok:
        tail = (result.stdout + result.stderr)[-4000:].decode(errors="replace")
        how = f"exited with {result.exit_code}" if result.ended == "exited" else result.ended
        raise KernelError(f"the preparation step {step.command!r} {how}; its last output:\n{tail}")
