"""A kernel that is a container."""

from __future__ import annotations

import asyncio
import os
import posixpath
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, Literal

from ...errors import FileAccessError, KernelClosed, KernelError
from ...kernel import Ended, ExecResult, FileInfo, Limits, OutputSink, Snapshot
from ..local.inside import shell
from . import guest
from .engine import Absent, Conflict, Engine
from .exchange import Exchange, Heard

_START_S = 60.0  # from asking the engine until the command starts
_FILE_S = 120.0  # one read, write or list
_END_S = 15.0  # from killing everything until the connection ends
_LOOK_S = 1.0  # how often a running command's disk is looked at
_SHORT_S = 0.25  # a command shorter than this is not looked at after its end
_SPARE = 2  # processes beside the command's: PID 1 and the one that waits for it
_LEAST_PROCESSES = 16  # the engine itself needs some to enter a container
MIB = 1 << 20


@dataclass(frozen=True)
class Setting:
    """What a kernel's commands start with."""

    workdir: str
    state: str  #: saved shell
    measures_disk: bool = True


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
        self._in_force = bounds(limits)
        self._freeze = freeze
        self._dispose = dispose
        self._state = setting.state.encode("utf-8", "surrogateescape")
        self._pristine: bytes | None = None
        self._counted = (0, 0)
        self._disk = 0  # bytes of changes when last looked at
        self._one_at_a_time = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

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
                work = self._run_shell(command, cwd, env, stdin, limits or self._limits, on_output)
            else:
                where = self._place(cwd or ".")
                order = guest.Command(texts, where, env, limits or self._limits, stdin, None, self._counted)
                work = self._execute(order, on_output)
            return (await work)[0]

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
                await self.carry_out(guest.script("answer ok\n"))
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

    async def carry_out(self, request: guest.Request, budget: int = 1 << 16) -> tuple[bytes, bytes]:
        """A request of our own: (stdout, its answer). Raises `KernelClosed`, `KernelError`."""
        async with self._one_at_a_time:
            self._must_be_open()
            return await self._carry_out(request, budget)

    async def _ask(self, path: str, request: guest.Request, budget: int) -> bytes:
        data, answer = await self.carry_out(request, budget)
        if answer != b"ok":
            raise FileAccessError(path, answer.decode(errors="replace"))
        return data

    async def _carry_out(self, request: guest.Request, budget: int) -> tuple[bytes, bytes]:
        exchange = Exchange(self._engine, request, budget=budget)
        try:
            await self._begin(exchange)
            if not await exchange.wait(_FILE_S):
                raise KernelError(f"kernel {self._id} did not answer within {_FILE_S:g} s")
        finally:
            await asyncio.shield(asyncio.ensure_future(exchange.close()))
        if exchange.heard.answer is None:
            raise await self._why(exchange)
        return bytes(exchange.heard.stdout), bytes(exchange.heard.answer)

    async def _begin(self, exchange: Exchange) -> None:
        try:
            await exchange.begin(self._id)
        except (Absent, Conflict) as error:
            raise KernelClosed(f"kernel {self._id} is gone: {error}") from error

    async def _why(self, exchange: Exchange) -> KernelError:
        """Why there was no answer."""
        self._must_be_open()
        try:
            what = f"kernel {self._id}"
            told = await self._engine.call(what, self._engine.api.exec_inspect, exchange.exec_id)
            container = await self._engine.call(what, self._engine.api.inspect_container, self._id)
        except Absent as error:
            return KernelClosed(f"kernel {self._id} is gone: {error}")
        if not container["State"]["Running"]:
            ended = (
                "for want of memory" if container["State"].get("OOMKilled") else "by itself or from outside"
            )
            return KernelClosed(f"kernel {self._id} is gone: its container ended {ended}")
        said = bytes(exchange.heard.stdout + exchange.heard.stderr)[-500:].decode(errors="replace").strip()
        return KernelError(
            f"kernel {self._id}: a request ended with {told['ExitCode']} and no answer: {said or 'it was killed'}; "
            "images need bash and coreutils"
        )

    async def _run_shell(
        self,
        command: str,
        cwd: str | None,
        env: dict[str, str],
        stdin: bytes,
        limits: Limits,
        on_output: OutputSink | None,
    ) -> tuple[ExecResult, Heard]:
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
        order = guest.Command(argv, self._setting.workdir, {}, limits, stdin, files, self._counted)
        result, heard = await self._execute(order, on_output)
        _first, _newline, texts = bytes(heard.answer or b"").partition(b"\n")
        pristine, _nul, saved = texts.partition(b"\0")
        if learn and pristine:
            self._pristine = shell.canonical_state(pristine)
        text = shell.canonical_state(saved, env, self._state or self._pristine or b"")
        if text is not None:
            self._state = b"" if text == self._pristine else text
        return result, heard

    async def _execute(self, order: guest.Command, on_output: OutputSink | None) -> tuple[ExecResult, Heard]:
        """Run it. Whatever happens, nothing of it is alive afterwards; cancelling waits for that."""
        limits = order.limits
        await self._enforce(limits)
        exchange = Exchange(self._engine, order.request(), budget=limits.output_bytes, on_output=on_output)
        ended: Ended | None = "cancelled"
        asked = time.monotonic()
        try:
            await self._begin(exchange)
            ended = await self._watch(exchange, limits, asked)
        finally:
            ending = asyncio.ensure_future(
                self._end(exchange, complete=ended is None and self._over(exchange))
            )
            await _to_its_end(ending)
        counted = ending.result()
        heard = exchange.heard
        wall_s = time.monotonic() - (heard.started_at or asked)
        self._must_be_open()  # closed meanwhile: that is what ended the command
        if ended is None and wall_s >= _SHORT_S and await self._overfull(limits):
            ended = "disk"
        return await self._result(exchange, ended, counted, wall_s), heard

    async def _watch(self, exchange: Exchange, limits: Limits, asked: float) -> Ended | None:
        """Wait for the command's end; the limit that has to end it, if one has to."""
        next_look = time.monotonic() + _LOOK_S
        while True:
            began = exchange.heard.started_at
            deadline = asked + _START_S if began is None else began + limits.wall_s
            if await exchange.wait(min(deadline, next_look) - time.monotonic()):
                return "output" if exchange.heard.flooded else None
            if time.monotonic() >= next_look:
                if await self._overfull(limits):
                    return "disk"
                next_look = time.monotonic() + _LOOK_S
            if (
                exchange.heard.started_at is not None
                and time.monotonic() - exchange.heard.started_at >= limits.wall_s
            ):
                return "timeout"
            if exchange.heard.started_at is None and time.monotonic() - asked >= _START_S:
                raise KernelError(
                    f"kernel {self._id}: the engine did not start the command in {_START_S:g} s"
                )

    def _over(self, exchange: Exchange) -> bool:
        """Whether an exchange that ended by itself leaves nothing alive: it swept, or it never began."""
        heard = exchange.heard
        return not heard.flooded and (heard.answer is not None or heard.started_at is None)

    async def _end(self, exchange: Exchange, *, complete: bool) -> tuple[int, int] | None:
        """After a command: nothing of it lives. What the container has counted, when it had to be asked."""
        if complete:
            await exchange.close()
            return None
        try:
            await self._engine.call(
                f"ending a command in kernel {self._id}", self._engine.api.kill, self._id, "SIGUSR1"
            )
        except (Absent, Conflict):
            await exchange.close()
            return None  # the container has ended, and everything in it
        await exchange.wait(_END_S)
        await exchange.close()
        if self._closing is not None:
            return None
        _none, answer = await self._carry_out(guest.request(guest.SETTLE), 1 << 16)
        oom, forks = answer.split()
        return int(oom), int(forks)

    async def _result(
        self, exchange: Exchange, ended: Ended | None, counted: tuple[int, int] | None, wall_s: float
    ) -> ExecResult:
        heard = exchange.heard
        code, signal, how, cpu = None, None, "", False
        if ended is None and heard.started_at is None:
            code, how = await self._refused(exchange), "Exit"
        if ended is None and heard.answer is not None:
            first = bytes(heard.answer).partition(b"\n")[0].decode(errors="replace").split()
            code, how, counted, cpu = int(first[0]), first[1], (int(first[2]), int(first[3])), first[4] == "1"
        elif ended is None and heard.started_at is not None:
            code, how = await self._exit_code(exchange), "Killed"
        if ended is None:
            if counted is not None and counted[0] > self._counted[0]:
                ended = "oom"
            elif cpu:
                ended = "cpu"
            elif counted is not None and counted[1] > self._counted[1]:
                ended = "pids"
        self._counted = counted or self._counted
        if ended is None and code is not None and code > 128 and how not in ("Exit", "Done", "-"):
            ended, signal = "signalled", code - 128
        return ExecResult(
            exit_code=code if ended is None else None,
            stdout=bytes(heard.stdout),
            stderr=bytes(heard.stderr),
            wall_s=wall_s,
            ended=ended or "exited",
            signal=signal,
        )

    async def _refused(self, exchange: Exchange) -> int:
        """The exit code when bash could not be executed: a command before has removed or broken it."""
        error = await self._why(exchange)
        if isinstance(error, KernelClosed):
            raise error
        code = await self._exit_code(exchange)
        if code not in (126, 127):
            raise error
        return code

    async def _exit_code(self, exchange: Exchange) -> int:
        told = await self._engine.call(
            f"a command in kernel {self._id}", self._engine.api.exec_inspect, exchange.exec_id
        )
        return int(told["ExitCode"] if told["ExitCode"] is not None else 137)

    async def _enforce(self, limits: Limits) -> None:
        """Put the limits that the engine knows only for a whole container in force."""
        wanted = bounds(limits)
        if wanted == self._in_force:
            return
        try:
            await self._engine.call(f"the limits of kernel {self._id}", self._engine.bound, self._id, *wanted)
        except (Absent, Conflict) as error:
            raise KernelClosed(f"kernel {self._id} is gone: {error}") from error
        self._in_force = wanted

    async def _overfull(self, limits: Limits) -> bool:
        """Whether the kernel's changes take more than `disk_mb`, and more than when it was last looked at."""
        if not self._setting.measures_disk:
            return False
        what = f"the size of kernel {self._id}"
        found = await self._engine.call(
            what, self._engine.api.containers, all=True, size=True, filters={"name": f"^/?{self._id}$"}
        )
        if not found:
            return False  # it is gone, which the next call tells
        before, self._disk = self._disk, int(found[0].get("SizeRw") or 0)
        return self._disk > max(before, limits.disk_mb * MIB)

    def _must_be_open(self) -> None:
        if self._closing is not None:
            raise KernelClosed(f"kernel {self._id} is closed")

    def _place(self, path: str) -> str:
        return posixpath.join(self._setting.workdir, path)

    def _passable(self, path: str) -> str:
        if not guest.can_be_passed(path):
            raise FileAccessError(path, FileAccessError.ABSENT)
        return self._place(path)


def bounds(limits: Limits) -> tuple[int, int]:
    """(bytes of memory, processes) that the container is given for these limits."""
    return limits.memory_mb * MIB, max(limits.processes + _SPARE, _LEAST_PROCESSES)


async def _to_its_end(task: asyncio.Future[Any]) -> None:
    """Wait for a task even when we are cancelled; the cancellation goes on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


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
