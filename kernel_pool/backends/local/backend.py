"""`LocalBackend`: kernels of this machine, by namespaces and overlayfs."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, get_args

from ...errors import (
    BackendUnavailable,
    KernelClosed,
    KernelError,
    KernelStartFailed,
    UnsupportedFeature,
)
from ...kernel import BaseSpec, Capabilities, Limits, Network, ReadOnlyMount, Snapshot
from . import base as bases
from . import cgroups as groups
from . import machine, promises
from . import mounts as read_only
from .archive import load as unpack
from .archive import write as write_archive
from .handle import LocalKernel
from .instance import Instance, prune, reap
from .merge import canonical
from .skeleton import ensure_skeleton
from .spawner import Spawner
from .store import Store, default_state_dir, remove_tree
from .tree import Below, Difference, Entry, HashCache, digest, scan

T = TypeVar("T")


class LocalBackend:
    """`kernel_pool.kernel.Backend` for Linux. Kernels run as nobody, in a root of their own.

    `state_dir` holds layers and running kernels; processes that share it share layers. `warm` names modules
    that are imported once, so that `python -m MODULE ...` starts by fork (see `inside/warm.py`). `network`
    "host" gives commands this machine's. `cgroups` are used where they may be, unless it is false.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        warm: Sequence[str] = ("pytest",),
        network: Network = "none",
        cgroups: bool = True,
    ) -> None:
        problem = machine.missing()
        if problem is not None:
            raise BackendUnavailable(problem)
        if network not in get_args(Network):
            raise UnsupportedFeature(f"network {network!r}: use one of {', '.join(get_args(Network))}")
        self.store = Store((state_dir or default_state_dir()).absolute())
        self._warm = tuple(warm)
        self._network: Network = network
        self._tier = groups.tier() if cgroups else None
        self._files = ThreadPoolExecutor(4, thread_name_prefix="kernel-files")
        self._opening: asyncio.Task[tuple[Instance, Spawner]] | None = None
        self._closed = False
        self._numbers = itertools.count(1)
        self._kernels: dict[str, LocalKernel] = {}

    @property
    def name(self) -> str:
        return "local"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            isolated=True,
            restores="files+env",
            network=self._network,
            enforces=promises.mechanisms(self._tier),
            notes=promises.notes(self._tier, self._network),
        )

    async def check(self) -> None:
        await self.open()

    async def prepare(self, spec: BaseSpec) -> Snapshot:
        return await bases.prepare(self, self.store, spec)

    async def start(
        self,
        snapshot: Snapshot,
        *,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
    ) -> LocalKernel:
        return await self.start_on(snapshot, limits=limits, mounts=mounts)

    async def start_on(
        self,
        snapshot: Snapshot,
        *,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
        about: bases.Settings | None = None,
        upper: Path | None = None,
    ) -> LocalKernel:
        """`start`, with the choice of base and writable directory (for building a base, which is neither yet)."""
        read_only.check(mounts)
        about = about or bases.settings(self.store, snapshot.base)
        instance, spawner = await self.open()
        return await self._start(instance, spawner, snapshot, about, limits, mounts, upper)

    async def _start(
        self,
        instance: Instance,
        spawner: Spawner,
        snapshot: Snapshot,
        about: bases.Settings,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
        upper: Path | None = None,
    ) -> LocalKernel:
        name = f"{instance.name}-{next(self._numbers)}"
        room = instance.path / "k" / name
        lowers = [*map(self.store.tree, reversed(snapshot.layers)), *about.trees]
        plan: dict[str, Any] = {"binds": []}
        if mounts:
            plan["binds"], cover = await self.in_thread(_lay_mounts, self.store, lowers, room, mounts)
            lowers = [cover, *lowers]
        writable = upper or room / "upper"
        plan |= {
            "lowers": [str(tree.relative_to(self.store.root)) for tree in lowers],
            "upper": str(writable.relative_to(self.store.root)),
            "work": str((room / "work").relative_to(self.store.root)),
        }
        sock, gone = spawner.spawn(name, plan)

        async def dispose() -> None:
            self._kernels.pop(name, None)
            try:
                spawner.kill(name)
            except KernelClosed:
                pass  # the zygote is dead, and its kernels with it
            await gone.wait()
            await self.in_thread(remove_tree, room)

        freezer = _Freezer(self.store, self.in_thread, snapshot, about, writable)
        kernel = LocalKernel(name, limits or Limits(), freeze=freezer.freeze, dispose=dispose)
        self._kernels[name] = kernel
        try:
            await kernel.connect(sock, env=about.env, workdir=about.workdir, state=snapshot.env)
        except BaseException:
            await kernel.close()
            raise
        return kernel

    async def export(self, snapshot: Snapshot, target: Path) -> None:
        difference = self.store.difference(snapshot.layers[0]) if snapshot.layers else {}
        await self.in_thread(write_archive, difference, target)

    async def load(self, base: Snapshot, archive: Path, *, env: str = "") -> Snapshot:
        return await unpack(self, base, archive, env)

    async def reap(self) -> int:
        await self.in_thread(prune, self.store)
        found = await self.in_thread(reap, self.store)
        await self.in_thread(groups.remove_dead)
        return found

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._opening is not None:
            await asyncio.gather(*(kernel.close() for kernel in list(self._kernels.values())))
            if (
                not self._opening.cancelled()
                and (await asyncio.wait([self._opening]))
                and not self._opening.exception()
            ):
                instance, spawner = self._opening.result()
                await spawner.close()
                await self.in_thread(instance.remove)
                await self.in_thread(reap, self.store)
        self._files.shutdown(wait=True)

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """Do file work off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._files, functools.partial(work, *args))

    async def open(self) -> tuple[Instance, Spawner]:
        """The zygote, started on first use."""
        if self._closed:
            raise KernelClosed("the local back-end is closed")
        if self._opening is None:
            self._opening = asyncio.create_task(self._bring_up())
        opening = self._opening
        try:
            instance, spawner = await asyncio.shield(opening)
        except (KernelError, OSError) as error:
            if self._opening is opening:
                self._opening = None  # the next one may fare better
            if isinstance(error, BackendUnavailable):
                raise
            raise BackendUnavailable(machine.explain(str(error), self.store.root)) from error
        if (
            not spawner.alive and self._opening is opening
        ):  # it was killed, and every kernel with it: begin anew
            self._opening = None
            await spawner.close()
            await self.in_thread(instance.remove)
        return (instance, spawner) if spawner.alive else await self.open()

    async def _bring_up(self) -> tuple[Instance, Spawner]:
        await self.in_thread(self.store.create)
        instance = await self.in_thread(Instance, self.store)
        spawner: Spawner | None = None
        try:
            own = await self.in_thread(instance.groups, self._tier) if self._tier else None
            spawner = Spawner(
                self.store.root,
                instance.path / "root",
                warm=self._warm,
                network=self._network,
                groups=own,
            )
            await spawner.start()
            await self._probe(instance, spawner)
        except BaseException:
            if spawner is not None:
                await spawner.close()
            await self.in_thread(instance.remove)
            raise
        return instance, spawner

    async def _probe(self, instance: Instance, spawner: Spawner) -> None:
        """Make one kernel and take it down again: versions and settings promise, only doing it tells."""
        skeleton = await self.in_thread(ensure_skeleton, self.store, self._network)
        about = bases.Settings(machine.BASE_ENV, "/", (self.store.tree(skeleton),))
        try:
            kernel = await self._start(instance, spawner, Snapshot("local", "probe"), about)
        except KernelStartFailed as error:
            raise BackendUnavailable(machine.explain(str(error), self.store.root)) from error
        await kernel.close()


def _lay_mounts(
    store: Store, lowers: list[Path], room: Path, wanted: Sequence[ReadOnlyMount]
) -> tuple[list[list[str]], Path]:
    room.mkdir()
    store.own(room, 0o755)
    return read_only.lay(store, Below(lowers), room / "cover", wanted)


class _Freezer:
    """Takes snapshots of one kernel: what was started, and what its writable directory holds now."""

    def __init__(
        self,
        store: Store,
        in_thread: Callable[..., Any],
        origin: Snapshot,
        about: bases.Settings,
        upper: Path,
    ) -> None:
        self.store = store
        self._in_thread = in_thread
        self._origin = origin
        self._about = about
        self._upper = upper
        self._last = origin
        self._cache = HashCache()

    async def freeze(self, kernel: LocalKernel) -> Snapshot:
        if kernel.changed:
            layers = await self._in_thread(self._layers)
            fresh = Snapshot("local", self._origin.base, layers, kernel.shell_state)
            if fresh.digest != self._last.digest:
                self._last = fresh
            kernel.changed = False
        return self._last

    def _layers(self) -> tuple[str, ...]:
        parent: Difference = self.store.difference(self._origin.layers[0]) if self._origin.layers else {}
        upper, opaque = scan(self._upper, self._cache)
        if not upper:
            return self._origin.layers
        below = self._about.below()
        difference = canonical(parent, upper, opaque, below)
        difference = {path: entry for path, entry in difference.items() if not _of_the_machine(path, entry)}
        if not difference:
            return ()
        name = digest(difference)
        self.store.write_difference(difference, name)
        return (name,)


def _of_the_machine(path: str, entry: Entry) -> bool:
    """What decides, before a program's first line, which code it runs: the links to this machine's tools in /, the
    dynamic loader's files and the interpreter's site files in /etc. No fork has them from a command."""
    top, _slash, rest = path.partition("/")
    if top == "etc":
        return entry.kind != "dir" if not rest else rest.startswith(("ld.so.", "python"))
    return f"/{top}" in machine.system_links()
