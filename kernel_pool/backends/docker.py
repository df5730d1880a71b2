"""The Docker back-end: a kernel is a container, a state an image.

Works with every engine that speaks Docker's API: rootful or rootless, on this machine or another. See
`docker_engine/` for the parts, and `capabilities.notes` for what is weaker than one might think.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..errors import BackendUnavailable, KernelClosed, KernelError, KernelStartFailed, SnapshotMissing
from ..kernel import BaseSpec, Capabilities, CopyIn, Limits, Network, ReadOnlyMount, RunStep, Snapshot
from .bases import locked
from .docker_engine import archives, bases
from .docker_engine.container import DockerKernel, Setting
from .docker_engine.engine import Absent, Engine, to_its_end
from .docker_engine.maker import Maker
from .docker_engine.reaper import prune, reap
from .docker_engine.states import BASES, BaseView, Origin, States
from .docker_engine.volumes import Volumes
from .local.store import default_state_dir

T = TypeVar("T")

_MAX_LOADED = 64 << 30  # bytes of an archive given to `load`


class DockerBackend:
    """`kernel_pool.kernel.Backend` over a Docker engine.

    `image` is used where a base names none. `base_url` is the engine's address (default: DOCKER_HOST, or the
    standard socket), `runtime` one of the engine's runtimes ("runsc" for gVisor). `state_dir` holds nothing but
    locks: states are images of the engine. Raises `BackendUnavailable`.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        image: str = "python:3.11-slim",
        network: Network = "none",
        base_url: str | None = None,
        runtime: str | None = None,
    ) -> None:
        self._engine = Engine(base_url)
        if runtime is not None and runtime not in self._engine.info.get("Runtimes", {runtime: {}}):
            known = ", ".join(sorted(self._engine.info["Runtimes"]))
            self._engine.close()
            raise BackendUnavailable(
                f"the engine at {self._engine.address} has no runtime {runtime!r}; it has {known}"
            )
        self._image = image
        self._network: Network = network
        self._runtime = runtime
        self._locks = (state_dir or default_state_dir()).absolute() / "docker-locks"
        self._maker = Maker(self._engine, network, runtime)
        self._states = States(self._engine, self._maker)
        self._volumes = Volumes(self._engine, self._maker)
        self._views: dict[str, BaseView] = {}
        self._kernels: dict[str, DockerKernel] = {}
        self._opening: asyncio.Future[int] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "docker"

    @property
    def capabilities(self) -> Capabilities:
        """See `Backend.capabilities`."""
        info = self._engine.info
        enforces = {
            "wall_s": "watch",
            "cpu_s": "watch inside the container",
            "disk_mb": "size of the container's writable layer, looked at every second",
            "output_bytes": "watch",
            "file_mb": "rlimit",
            "open_files": "rlimit",
        }
        group = f"cgroup v{info.get('CgroupVersion') or '1'} of the container"
        notes = []
        for limit, needs in (("memory_mb", "MemoryLimit"), ("processes", "PidsLimit")):
            if info.get(needs):
                enforces[limit] = group
            else:
                notes.append(
                    f"this engine cannot bound {limit}: it has no such cgroup (a rootless one needs cgroup v2)"
                )
        rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
        if self._runtime is None:
            notes.append(
                "containers share the host's Linux kernel: a fault in it is a way out; runtime runsc narrows it"
            )
        if not rootless:
            notes.append(
                "the engine runs as root: whoever gets out of a container is root on its machine; a rootless engine is safer"
            )
        if self._network == "host":
            notes.append("commands have the engine's network")
        notes += [
            "commands are root in their container and can replace the programs of its image, those that verify as well",
            "cpu_s is watched from inside: a command that stops its watch is ended by wall_s",
            "a short command may pass disk_mb until the next one is looked at",
            "processes are bounded to 16 at the least",
            "extended attributes, hard links, sockets and files named .wh.* are no part of a state",
            "read-only mounts are copies in volumes of the engine",
            "images need bash and coreutils",
        ]
        return Capabilities(
            isolated=True,
            restores="files+env",
            network=self._network,
            enforces=enforces,
            notes=tuple(notes),
            images="built",
        )

    async def check(self) -> None:
        """See `Backend.check`. That there is an engine is known since this object was made."""
        await self._open()

    async def prepare(self, spec: BaseSpec) -> Snapshot:
        """See `Backend.prepare`."""
        await self._open()
        _check(spec)
        if spec.dockerfile is not None:
            source = await self._call(bases.context_digest, spec.dockerfile)
        else:
            source = await self._call(bases.ensure_image, self._engine, spec.image or self._image)
        key = await self._call(bases.key, spec, source)
        name = f"{BASES}:{key}"
        if await self._call(self._states.image, name) is None:
            async with locked(self._locks / key):
                if await self._call(self._states.image, name) is None:
                    await self._build(spec, source, key)
        return Snapshot(self.name, key)

    async def start(
        self, snapshot: Snapshot, *, limits: Limits | None = None, mounts: Sequence[ReadOnlyMount] = ()
    ) -> DockerKernel:
        """See `Backend.start`."""
        await self._open()
        origin, config = await self._call(self._states.origin, snapshot)
        volumes = await self._call(self._volumes.mounted, tuple(mounts), origin.base_image) if mounts else []
        origin.mounts = tuple(target.strip("/") for _volume, target in volumes)
        workdir = bases.settings(config)[0]
        last = snapshot

        async def freeze(kernel: DockerKernel) -> Snapshot:
            nonlocal last
            if kernel.changed:
                freezing = asyncio.ensure_future(self._call(self._freeze, kernel.id, origin, workdir))
                await to_its_end(freezing)  # the container is paused until then
                layers = freezing.result()
                last = Snapshot(self.name, origin.base, layers, kernel.shell_state)
                kernel.changed = False
            return last

        kernel = await self._start(
            origin.image, Setting(workdir, snapshot.env), limits or Limits(), volumes=volumes, freeze=freeze
        )
        if mounts:
            origin.made = set(await self._call(self._states.changes, kernel.id))
        return kernel

    async def export(self, snapshot: Snapshot, target: Path) -> None:
        """See `Backend.export`."""
        await self._open()
        await self._call(self._export, snapshot, target)

    async def load(self, base: Snapshot, archive: Path, *, env: str = "") -> Snapshot:
        """See `Backend.load`. The engine unpacks it inside a container of its own."""
        kernel = await self.start(base)
        try:
            await self._call(self._lay, kernel.id, archive)
            kernel.changed = True
            unpacked = await kernel.snapshot()
        finally:
            await kernel.close()
        return Snapshot(self.name, unpacked.base, unpacked.layers, env)

    async def reap(self) -> int:
        """See `Backend.reap`. Also removes images of states and bases that are older than `reaper.UNUSED_S`."""
        await self._open()
        await self._call(prune, self._engine)
        return await self._call(reap, self._engine)

    async def close(self) -> None:
        """See `Backend.close`."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        kernels = list(self._kernels.values())
        ended = await asyncio.gather(*(kernel.close() for kernel in kernels), return_exceptions=True)
        try:
            await self._engine.settle()  # whoever was making a container has made it
            await asyncio.to_thread(self._maker.remove_all)
            await asyncio.to_thread(self._volumes.remove)
        finally:
            self._engine.close()
        for error in ended:
            if isinstance(error, BaseException):
                raise error  # what is left is found by its labels, when an engine answers again

    async def _open(self) -> None:
        """Clean up after dead processes, once."""
        if self._closing is not None:
            raise KernelClosed("the docker back-end is closed")
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._call(self._prepare_state))
        await asyncio.shield(self._opening)

    def _prepare_state(self) -> int:
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KernelError(f"the state directory {self._locks.parent} cannot be used: {error}") from error
        return reap(self._engine)

    async def _start(
        self,
        image: str,
        setting: Setting,
        limits: Limits,
        *,
        env: dict[str, str] | None = None,
        volumes: Sequence[tuple[str, str]] = (),
        freeze: Callable[[DockerKernel], Any],
    ) -> DockerKernel:
        name = self._maker.new_name()

        async def dispose() -> None:
            await self._call(self._maker.remove, name)
            self._kernels.pop(name, None)

        making = asyncio.ensure_future(
            self._call(
                self._maker.make,
                name,
                image,
                limits=limits,
                env=env,
                workdir=setting.workdir,
                volumes=volumes,
            )
        )
        kernel = DockerKernel(self._engine, name, setting, limits, freeze=freeze, dispose=dispose)
        self._kernels[name] = kernel
        try:
            await asyncio.shield(making)
        except Absent as error:
            self._kernels.pop(name, None)
            raise SnapshotMissing(f"kernel {name} could not be started: {error}") from error
        except KernelError as error:
            self._kernels.pop(name, None)
            raise KernelStartFailed(
                f"kernel {name} could not be started: {error}; images need bash"
            ) from error
        except asyncio.CancelledError:
            await asyncio.wait({making})  # a thread cannot be stopped: remove what it made when it is done
            await kernel.close()
            raise
        return kernel

    async def _build(self, spec: BaseSpec, source: str, key: str) -> None:
        image, steps = source, spec.steps
        if spec.dockerfile is not None:
            image = await self._call(bases.build, self._engine, spec.dockerfile, self._maker.labels)
            steps = ()
        env = {**await self._call(bases.usual_env, self._engine, image), **spec.env}

        async def freeze(kernel: DockerKernel) -> Snapshot:
            await self._call(self._states.commit, kernel.id, BASES, key, {})
            return Snapshot(self.name, key)

        kernel = await self._start(image, Setting(spec.workdir, ""), Limits(), env=env, freeze=freeze)
        try:
            for step in steps:
                if isinstance(step, CopyIn):
                    await self._call(bases.copy_in, self._engine, kernel.id, step)
                else:
                    await _run_step(kernel, step)
            await kernel.snapshot()
        finally:
            await kernel.close()

    def _freeze(self, container: str, origin: Origin, workdir: str) -> tuple[str, ...]:
        view = self._view(origin, workdir)
        with self._states.at_rest(container):
            difference = self._states.difference(container, origin, view)
            return self._states.keep(container, origin, difference)

    def _view(self, origin: Origin, workdir: str) -> BaseView:
        """The base's files, through a container of it that never runs."""
        if origin.base not in self._views:
            name = self._maker.new_name()
            self._maker.make(name, origin.base_image, run=False)
            self._views[origin.base] = BaseView(self._engine, name, workdir)
        return self._views[origin.base]

    def _export(self, snapshot: Snapshot, target: Path) -> None:
        try:
            with self._states.container(snapshot) as (container, origin), target.open("wb") as file:
                archives.pack(self._engine, container, origin.difference, file)
        except OSError as error:
            raise KernelError(f"{target} could not be written: {error}") from error

    def _lay(self, container: str, archive: Path) -> None:
        try:
            with archive.open("rb") as source, archives.scratch() as tar:
                archives.lay(self._engine, container, archives.sifted(source, tar, _MAX_LOADED), tar)
        except OSError as error:
            raise KernelError(f"{archive} cannot be read: {error.strerror}") from error

    async def _call(self, work: Callable[..., T], *args: Any, **options: Any) -> T:
        return await self._engine.in_thread(work, *args, **options)


def _check(spec: BaseSpec) -> None:
    for path in (spec.workdir, *(step.target for step in spec.steps if isinstance(step, CopyIn))):
        if not path.startswith("/") or ".." in path.split("/"):
            raise KernelError(f"{path!r} is not an absolute path in its plain form")


async def _run_step(kernel: DockerKernel, step: RunStep) -> None:
    result = await kernel.run(step.command, limits=step.limits)
    if not result.ok:
        tail = (result.stdout + result.stderr)[-4000:].decode(errors="replace")
        how = f"exited with {result.exit_code}" if result.ended == "exited" else result.ended
        raise KernelError(f"the preparation step {step.command!r} {how}; its last output:\n{tail}")
