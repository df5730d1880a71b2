"""`E2BBackend`: kernels that are sandboxes of E2B (https://e2b.dev), or of a server that speaks its protocols."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2b import AsyncSandbox

from ...errors import BackendUnavailable, KernelClosed, KernelError, SnapshotMissing, UnsupportedFeature
from ...journal import default_directory
from ...kernel import BaseSpec, Capabilities, Limits, Network, ReadOnlyMount, Snapshot
from ..local.archive import UNPACK
from . import bases, states
from .cloud import Cloud
from .kernel import E2BKernel, Setting
from .link import Link
from .store import Base, Store

_LIFETIME_S = 900
_UNPACKING = Limits(wall_s=600.0, memory_mb=4096, file_mb=64 * 1024)


class E2BBackend:
    """`kernel_pool.kernel.Backend` over E2B's SDK.

    `state_dir` remembers which E2B snapshot holds which state; processes that share it share states. `template`
    is what kernels are made from unless a task's image names one. `api_key` is the variable E2B_API_KEY unless
    given. `domain`, `api_url` and `sandbox_url` point to a self-hosted E2B or a test server. A sandbox that
    nobody keeps alive ends after `lifetime_s`, so that is how long one of a killed process can cost. `user` runs
    commands; without it "user" where the template has that. `creates_per_s` and `max_running` are the account's
    limits (hobby: 1 and 20); they hold for one back-end, so that several processes have to share them out.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        template: str | None = None,
        api_key: str | None = None,
        api_url: str | None = None,
        sandbox_url: str | None = None,
        domain: str | None = None,
        network: Network = "none",
        lifetime_s: int = _LIFETIME_S,
        creates_per_s: float = 1.0,
        max_running: int = 20,
        user: str | None = None,
        request_timeout_s: float = 60.0,
    ) -> None:
        key = api_key or os.environ.get("E2B_API_KEY")
        if not key:
            raise BackendUnavailable(
                "the e2b back-end needs a key: set E2B_API_KEY to one of https://e2b.dev/dashboard"
            )
        if network not in ("none", "host"):
            raise UnsupportedFeature(f"network has to be none or host, not {network!r}")
        if lifetime_s < 3 or max_running < 1 or creates_per_s <= 0:
            raise UnsupportedFeature("lifetime_s has to be at least 3, max_running 1, creates_per_s above 0")
        self.template = template
        self.user = user
        self.store = Store(
            Path(state_dir).absolute() / "e2b" if state_dir else default_directory().parent / "e2b"
        )
        connection: dict[str, Any] = {
            "api_key": key,
            "api_url": api_url,
            "sandbox_url": sandbox_url,
            "domain": domain,
            "request_timeout": request_timeout_s,
            "debug": False,  # with E2B_DEBUG the SDK makes no sandboxes and says it did
        }
        self.cloud = Cloud(
            {name: value for name, value in connection.items() if value is not None},
            lifetime_s=lifetime_s,
            creates_per_s=creates_per_s,
            max_running=max_running,
            internet=network == "host",
        )
        self._network: Network = network
        self._kernels: dict[str, E2BKernel] = {}
        self._freezers: dict[str, states.Freezer] = {}
        self._opening: asyncio.Task[int] | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "e2b"

    @property
    def capabilities(self) -> Capabilities:
        """See `Backend.capabilities`."""
        return Capabilities(
            isolated=True,
            restores="files+env",
            network=self._network,
            enforces={
                "wall_s": "watch inside the sandbox",
                "cpu_s": "watch inside the sandbox",
                "memory_mb": "watch inside the sandbox, RLIMIT_DATA behind it",
                "processes": "watch inside the sandbox, RLIMIT_NPROC behind it",
                "output_bytes": "watch inside the sandbox, and again on the host",
                "file_mb": "RLIMIT_FSIZE",
                "open_files": "RLIMIT_NOFILE",
            },
            notes=(
                "disk_mb is not enforced: the disk of a kernel is bounded by its template's size at E2B",
                "limits are looked at twenty times a second: a short burst of memory or CPU time can pass",
                "a template without a user `user`, or the option user: root, runs commands as the user of the agent "
                "that holds their limits, which they could then end, and can outlive a cancelled call",
                "read-only mounts are copies owned by root: a command that may write above one can move it away, "
                "and it is put back when the command has ended",
                "processes end with their command, so that a state has files and shell but no memory to restore",
                "preparation steps are root's, and what is in workdir and home then becomes the user's; later commands "
                "cannot become root, not even by sudo",
                "spec.dockerfile is not built here: its steps are carried out on the template",
                "sockets, devices and owners do not count for the digest of a state; hard links are exported as files",
                "E2B keeps the snapshots of states until E2BBackend.prune deletes them",
                "the template needs bash and python3 3.9 or later",
            ),
            images="named",
        )

    async def prepare(self, spec: BaseSpec) -> Snapshot:
        """See `Backend.prepare`. `spec.image` names a template unless it is a plain Debian, Ubuntu or Python image."""
        await self._open()
        return await bases.prepare(self, spec)

    async def start(
        self, snapshot: Snapshot, *, limits: Limits | None = None, mounts: Sequence[ReadOnlyMount] = ()
    ) -> E2BKernel:
        """See `Backend.start`."""
        await self._open()
        for mount in mounts:
            bases.check_path(mount.target.rstrip("/"))
        base = self.store.base(snapshot.base)
        cloud_id = self.store.cloud_id(snapshot)
        archives = [await asyncio.to_thread(bases.packed_mount, mount) for mount in mounts]
        try:
            kernel = await self.start_from(
                cloud_id, snapshot, base, limits, mounted=bool(mounts), snapshot=True
            )
        except SnapshotMissing:
            self.store.forget(snapshot, cloud_id)
            raise
        if mounts:
            await self._lay(kernel, mounts, archives)
        return kernel

    async def fork_running(self, kernel: E2BKernel, count: int) -> list[E2BKernel]:
        """`count` copies of a live kernel by E2B's own fork: what is in memory (the page cache, tmpfs), files and shell. All of them or none.

        Waits for a running command to end. Raises `KernelStartFailed`, leaving nothing, when some cannot be made.
        """
        await self._open()
        freezer = self._freezers.get(kernel.id)
        if freezer is None:
            raise KernelClosed(f"kernel {kernel.id} is not a live one of this back-end")
        made: list[AsyncSandbox] = await kernel.at_rest(lambda: self.cloud.fork(kernel.sandbox, count))
        forks = []
        for sandbox in made:
            fork = self._kernel(_new_id(), sandbox, kernel.setting, kernel.limits, freezer.fork())
            fork.inherit(kernel)
            forks.append(fork)
        return forks

    async def export(self, snapshot: Snapshot, target: Path) -> None:
        """See `Backend.export`."""
        kernel = await self.start(snapshot)
        try:
            await states.write_archive(kernel, self.store.difference(snapshot), target)
        finally:
            await kernel.close()

    async def load(self, base: Snapshot, archive: Path, *, env: str = "") -> Snapshot:
        """See `Backend.load`."""
        kernel = await self.start(base)
        try:
            unpacked = await self._unpacked(kernel, archive)
        finally:
            await kernel.close()
        return Snapshot(unpacked.backend, unpacked.base, unpacked.layers, env)

    async def check(self) -> None:
        """See `Backend.check`: whether the service takes the key, and the template makes sandboxes."""
        await self.prepare(BaseSpec())

    async def reap(self) -> int:
        """Kill the sandboxes of dead processes of this host; how many. Also done when the back-end is first used.

        What an earlier boot of this host left ends by itself after `lifetime_s`.
        """
        return await self.cloud.reap()

    async def prune(self, older_than_s: float) -> int:
        """Delete states (not bases) that were made longer ago than that, here and at E2B; how many.

        E2B keeps snapshots until they are deleted. Whoever still names such a state gets `SnapshotMissing`.
        """
        await self._open()
        old = await asyncio.to_thread(self.store.old_states, older_than_s)
        for record, cloud_id in old:
            await self.cloud.delete_snapshot(cloud_id)
            record.unlink(missing_ok=True)
        return len(old)

    async def close(self) -> None:
        """See `Backend.close`."""
        self._closed = True
        await asyncio.gather(*(kernel.close() for kernel in list(self._kernels.values())))
        await self.cloud.close()

    async def start_from(
        self,
        cloud_id: str,
        origin: Snapshot,
        base: Base,
        limits: Limits | None = None,
        *,
        mounted: bool = False,
        snapshot: bool = False,
    ) -> E2BKernel:
        """A kernel from a template, or with `snapshot` from an E2B snapshot."""
        kernel_id = _new_id()
        sandbox = await self.cloud.create(cloud_id, kernel_id, snapshot=snapshot)
        setting = Setting(base.env, base.workdir, origin.env)
        freezer = states.Freezer(self.store, self.cloud, origin, base, states.Hashes(base), mounted=mounted)
        return self._kernel(kernel_id, sandbox, setting, limits or Limits(), freezer)

    def _kernel(
        self, kernel_id: str, sandbox: AsyncSandbox, setting: Setting, limits: Limits, freezer: states.Freezer
    ) -> E2BKernel:
        async def dispose() -> None:
            self._kernels.pop(kernel_id, None)
            self._freezers.pop(kernel_id, None)
            await self.cloud.kill(sandbox)

        kernel = E2BKernel(
            kernel_id,
            sandbox,
            Link(sandbox, kernel_id, self.user),
            setting,
            limits,
            freeze=freezer.freeze,
            dispose=dispose,
            gone=lambda: self.cloud.why_gone(sandbox),
            sleep=self.cloud,
        )
        self._kernels[kernel_id] = kernel
        self._freezers[kernel_id] = freezer
        return kernel

    async def _lay(self, kernel: E2BKernel, mounts: Sequence[ReadOnlyMount], archives: list[bytes]) -> None:
        up = False
        try:
            pairs = sorted(zip(mounts, archives, strict=True), key=lambda pair: pair[0].target)
            wanted = [
                {"target": mount.target.rstrip("/"), "archive": await kernel.link.put(archive)}
                for mount, archive in pairs
            ]
            await kernel.link.ask({"op": "lay", "mounts": wanted}, wall_s=600.0)
            up = True
        finally:
            if not up:
                await kernel.close()

    async def _unpacked(self, kernel: E2BKernel, archive: Path) -> Snapshot:
        try:
            name = await kernel.link.put(archive)
        except FileNotFoundError as error:
            raise KernelError(f"{archive} cannot be read: {error.strerror}") from error
        place = await kernel.link.ask({"op": "show", "name": name})
        result = await kernel.run(
            ["python3", "-I", "-c", UNPACK, str(place.get("path"))], cwd="/", limits=_UNPACKING
        )
        await kernel.link.ask({"op": "drop", "name": name})
        if not result.ok:
            reason = result.stderr[-2000:].decode(errors="replace") or result.ended
            raise KernelError(f"{archive} could not be unpacked: {reason}")
        return await kernel.snapshot()

    async def _open(self) -> None:
        """What is done once, when the back-end is first used."""
        if self._closed:
            raise KernelClosed("the e2b back-end is closed")
        if self._opening is None or (self._opening.done() and self._failed(self._opening)):
            await asyncio.to_thread(self.store.create)
            self._opening = asyncio.get_running_loop().create_task(self.reap())
        try:
            await asyncio.shield(self._opening)
        except BackendUnavailable:
            raise
        except KernelError as error:
            raise BackendUnavailable(
                f"E2B does not answer ({error}); is the network up, and are domain, api_url and sandbox_url right?"
            ) from error

    @staticmethod
    def _failed(task: asyncio.Task[int]) -> bool:
        return task.cancelled() or task.exception() is not None


def _new_id() -> str:
    return f"e2b-{os.getpid()}-{uuid.uuid4().hex[:10]}"
