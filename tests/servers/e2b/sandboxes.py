"""Sandboxes over local kernels: made, forked, frozen, paused, and ended when their time is up."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import uuid
from dataclasses import dataclass, field
from typing import Any

from kernel_pool import BaseSpec, Kernel, Snapshot
from kernel_pool.backends.local import LocalBackend

from .faults import refusal

HOME = "/home/user"


@dataclass
class Process:
    """A command of a sandbox."""

    pid: int
    config: dict[str, Any]
    user: dict[str, str]  #: its variables
    stdin: bytearray = field(default_factory=bytearray)
    closed: asyncio.Event = field(default_factory=asyncio.Event)  #: its stdin
    killed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Sandbox:
    """One sandbox."""

    id: str
    template: str
    metadata: dict[str, str]
    token: str
    kernel: Kernel | None  #: None while it is paused
    started: datetime.datetime
    internet: bool | None = None
    end: datetime.datetime = datetime.datetime.max
    lifetime_s: float = 0.0  #: as it was last asked for
    pauses_at_end: bool = False
    frozen: Snapshot | None = None
    processes: dict[int, Process] = field(default_factory=dict)
    alarm: asyncio.TimerHandle | None = None

    @property
    def state(self) -> str:
        """As the API calls it."""
        return "running" if self.kernel is not None else "paused"


class Sandboxes:
    """All of them."""

    def __init__(self, kernels: LocalBackend, templates: set[str], max_running: int, second_s: float) -> None:
        self.all: dict[str, Sandbox] = {}
        self.snapshots: dict[str, tuple[str, Snapshot]] = {}  #: id -> (source sandbox, state)
        self.peak = 0  #: most that ran at once
        self._kernels = kernels
        self._templates = templates
        self._max_running = max_running
        self._second_s = second_s
        self._pids = itertools.count(1001)
        self._ending: set[asyncio.Task[bool]] = set()

    @property
    def running(self) -> int:
        """How many run now."""
        return sum(sandbox.kernel is not None for sandbox in self.all.values())

    async def create(self, template: str, metadata: dict[str, str], lifetime_s: float) -> Sandbox:
        """A new sandbox from a template or a snapshot. Raises 404."""
        if template in self._templates:
            state = await self._kernels.prepare(BaseSpec(workdir=HOME))
        elif template in self.snapshots:
            state = self.snapshots[template][1]
        else:
            raise refusal(404, f"template '{template}' not found")
        return await self._start(state, template, metadata, lifetime_s)

    async def fork(self, source: Sandbox, lifetime_s: float) -> Sandbox:
        """A copy of a running sandbox."""
        return await self._start(
            await self.freeze(source), source.template, dict(source.metadata), lifetime_s
        )

    async def freeze(self, sandbox: Sandbox) -> Snapshot:
        """The state of a sandbox."""
        if sandbox.frozen is not None and sandbox.kernel is None:
            return sandbox.frozen
        assert sandbox.kernel is not None
        return await sandbox.kernel.snapshot()

    async def snapshot(self, sandbox: Sandbox) -> str:
        """Freeze a sandbox under a new snapshot id."""
        name = f"snap{uuid.uuid4().hex[:16]}"
        self.snapshots[name] = (sandbox.id, await self.freeze(sandbox))
        return name

    async def pause(self, sandbox: Sandbox) -> None:
        """Freeze a sandbox and stop it."""
        kernel = sandbox.kernel
        assert kernel is not None
        sandbox.frozen = await kernel.snapshot()
        sandbox.kernel = None
        self._disarm(sandbox)
        await kernel.close()

    async def resume(self, sandbox: Sandbox, lifetime_s: float) -> None:
        """Let a paused sandbox run; a running one gets the longer of both lifetimes."""
        if sandbox.kernel is None:
            assert sandbox.frozen is not None
            self._bound()
            sandbox.kernel = await self._kernels.start(sandbox.frozen)
            self.peak = max(self.peak, self.running)
            self.set_lifetime(sandbox, lifetime_s)
        elif sandbox.end < _now() + datetime.timedelta(seconds=lifetime_s):
            self.set_lifetime(sandbox, lifetime_s)

    def set_lifetime(self, sandbox: Sandbox, lifetime_s: float) -> None:
        """It ends so many seconds from now."""
        self._disarm(sandbox)
        sandbox.lifetime_s = lifetime_s
        sandbox.end = _now() + datetime.timedelta(seconds=lifetime_s)
        loop = asyncio.get_running_loop()
        sandbox.alarm = loop.call_later(lifetime_s * self._second_s, self._time_is_up, sandbox)

    async def kill(self, sandbox_id: str) -> bool:
        """End a sandbox; False when there is none."""
        sandbox = self.all.pop(sandbox_id, None)
        if sandbox is None:
            return False
        self._disarm(sandbox)
        kernel, sandbox.kernel = sandbox.kernel, None
        if kernel is not None:
            await kernel.close()
        return True

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*map(self.kill, list(self.all)), *self._ending)

    def next_pid(self) -> int:
        """A pid that was not used before."""
        return next(self._pids)

    async def _start(
        self, state: Snapshot, template: str, metadata: dict[str, str], lifetime_s: float
    ) -> Sandbox:
        self._bound()
        name = f"i{uuid.uuid4().hex[:19]}"
        sandbox = Sandbox(name, template, metadata, uuid.uuid4().hex, None, _now())
        self.all[name] = sandbox
        self.set_lifetime(sandbox, lifetime_s)
        sandbox.kernel = await self._kernels.start(state)
        self.peak = max(self.peak, self.running)
        return sandbox

    def _bound(self) -> None:
        if self.running >= self._max_running:
            raise refusal(
                429, f"you have reached the maximum number of {self._max_running} running sandboxes"
            )

    def _time_is_up(self, sandbox: Sandbox) -> None:
        if sandbox.pauses_at_end:
            pausing = asyncio.ensure_future(self._paused(sandbox))
            self._ending.add(pausing)
            pausing.add_done_callback(self._ending.discard)
            return
        task = asyncio.ensure_future(self.kill(sandbox.id))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _paused(self, sandbox: Sandbox) -> bool:
        await self.pause(sandbox)
        return True

    @staticmethod
    def _disarm(sandbox: Sandbox) -> None:
        if sandbox.alarm is not None:
            sandbox.alarm.cancel()
            sandbox.alarm = None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
