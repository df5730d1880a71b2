"""A kernel that is a container."""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import Literal

from ...errors import FileAccessError, KernelClosed, KernelError
from ...kernel import ExecResult, FileInfo, Limits, OutputSink, Snapshot
from ..local.inside import shell
from . import guest
from .engine import Engine
from .runner import Runner


@dataclass(frozen=True)
class Setting:
    """What a kernel's commands start with."""

    workdir: str
    state: str  #: saved shell


class DockerKernel:
    """`kernel_pool.kernel.Kernel` over the container named `kernel_id`. Made by `DockerBackend`."""

    def __init__(
        self,
        engine: Engine,
        kernel_id: str,
        setting: Setting,
        limits: Limits,
        *,
        freeze: Callable[[DockerKernel], Awaitable[Snapshot]],
        dispose: Callable[[], Awaitable[None]],
    ) -> None:
        self.changed = False  #: something ran or was written since the last snapshot
        self._engine = engine
        self._id = kernel_id
        self._setting = setting
        self._limits = limits
        self._freeze = freeze
        self._dispose = dispose
        self._state = setting.state.encode("utf-8", "surrogateescape")
        self._pristine: bytes | None = None
        self._one_at_a_time = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._runner = Runner(engine, kernel_id, limits, lambda: self._closing is not None)

    @property
    def id(self) -> str:
        """See `Kernel.id`."""
        return self._id

    @property
    def shell_state(self) -> str:
        """The saved shell; untrusted text."""
        return self._state.decode("utf-8", "surrogateescape")

    async def run(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limits: Limits | None = None,
        on_output: OutputSink | None = None,
    ) -> ExecResult:
        """See `Kernel.run`."""
        if not command:
            raise ValueError("an empty command")
        env = dict(env or {})
        texts = [command] if isinstance(command, str) else [os.fspath(part) for part in command]
        async with self._one_at_a_time:
            self._must_be_open()
            if not guest.can_be_passed(*texts, cwd or "", *env, *env.values()):
                return ExecResult(126, b"", b"a command cannot hold NUL or lone surrogates\n", 0.0)
            self.changed = True
            if isinstance(command, str):
                return await self._run_shell(command, cwd, env, stdin, limits or self._limits, on_output)
            where = self._place(cwd or ".")
            order = guest.Command(
                texts, where, env, limits or self._limits, stdin, None, self._runner.counted
            )
            return (await self._runner.execute(order, on_output))[0]

    async def read(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes:
        """See `Kernel.read`."""
        place = self._passable(path)
        data = await self._ask(path, guest.read(place, max_bytes + 1), max_bytes + 1)
        if len(data) > max_bytes:
            raise FileAccessError(path, FileAccessError.TOO_LARGE)
        return data

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """See `Kernel.write`."""
        place = self._passable(path)
        self.changed = True
        await self._ask(path, guest.write(place, data, mode), 1 << 16)

    async def list(self, path: str = ".", *, depth: int = 1, max_entries: int = 10_000) -> list[FileInfo]:
        """See `Kernel.list`."""
        place = self._passable(path)
        told = await self._ask(path, guest.listing(place, depth, max_entries), 8192 * (max_entries + 1))
        return sorted((_info(line) for line in told.split(b"\0") if line), key=lambda info: info.path)

    async def snapshot(self) -> Snapshot:
        """See `Kernel.snapshot`."""
        async with self._one_at_a_time:
            self._must_be_open()
            return await self._freeze(self)

    async def healthy(self) -> bool:
        """See `Kernel.healthy`."""
        try:
            async with asyncio.timeout(10.0):
                await self._carry_out(guest.script("answer ok\n"), 1 << 16)
                return True
        except (KernelError, TimeoutError):
            return False

    async def close(self) -> None:
        """See `Kernel.close`."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._dispose()

    async def _ask(self, path: str, request: guest.Request, budget: int) -> bytes:
        data, answer = await self._carry_out(request, budget)
        if answer != b"ok":
            raise FileAccessError(path, answer.decode(errors="replace"))
        return data

    async def _carry_out(self, request: guest.Request, budget: int) -> tuple[bytes, bytes]:
        async with self._one_at_a_time:
            self._must_be_open()
            return await self._runner.carry_out(request, budget)

    async def _run_shell(
        self,
        command: str,
        cwd: str | None,
        env: dict[str, str],
        stdin: bytes,
        limits: Limits,
        on_output: OutputSink | None,
    ) -> ExecResult:
        argv, long_command = shell.arguments(command)
        learn = self._pristine is None
        start = None if cwd is None else self._place(cwd)
        files = {
            shell.PROLOGUE_FD: shell.prologue(
                env=env, cwd=start, restore=bool(self._state), learn_pristine=learn
            ),
            shell.RESTORE_FD: self._state,
            shell.SAVE_FD: shell.SAVE_TEXT,
            shell.STATE_FD: b"",
            shell.SAVE_PRISTINE_FD: shell.SAVE_PRISTINE_TEXT if learn else b"",
            shell.PRISTINE_FD: b"",
            shell.COMMAND_FD: long_command,
        }
        order = guest.Command(argv, self._setting.workdir, {}, limits, stdin, files, self._runner.counted)
        result, texts = await self._runner.execute(order, on_output)
        pristine, _nul, saved = texts.partition(b"\0")
        if learn and pristine:
            self._pristine = shell.canonical_state(pristine)
        text = shell.canonical_state(saved, env, self._state or self._pristine or b"")
        if text is not None:
            self._state = b"" if text == self._pristine else text
        return result

    def _must_be_open(self) -> None:
        if self._closing is not None:
            raise KernelClosed(f"kernel {self._id} is closed")

    def _place(self, path: str) -> str:
        return posixpath.join(self._setting.workdir, path)

    def _passable(self, path: str) -> str:
        if not guest.can_be_passed(path):
            raise FileAccessError(path, FileAccessError.ABSENT)
        return self._place(path)


def _info(line: bytes) -> FileInfo:
    mode_text, size, name = line.split(b" ", 2)
    mode = int(mode_text, 16)
    kind: Literal["file", "dir", "symlink", "other"] = "other"
    if S_ISREG(mode):
        kind = "file"
    elif S_ISDIR(mode):
        kind = "dir"
    elif S_ISLNK(mode):
        kind = "symlink"
    return FileInfo(os.fsdecode(name)[2:], kind, int(size), S_IMODE(mode))
