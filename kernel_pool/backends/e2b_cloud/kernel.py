"""A kernel that is a sandbox of E2B."""

from __future__ import annotations

import asyncio
import base64
import os
import posixpath
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from e2b import AsyncSandbox

from ...errors import FileAccessError, KernelClosed, KernelError
from ...kernel import Ended, ExecResult, FileInfo, Limits, OutputSink, Snapshot
from ..local.inside import shell
from .failures import Translated
from .link import Link

_HEALTH_S = 5.0
_ENDS: dict[str, Ended] = {
    name: name for name in ("exited", "signalled", "timeout", "cpu", "oom", "pids", "output")
}


@dataclass(frozen=True)
class Setting:
    """What a kernel's commands start with."""

    env: Mapping[str, str]  #: of the base
    workdir: str
    state: str  #: saved shell


class Sleep(Protocol):
    """Who can put a sandbox to sleep and wake it up."""

    async def pause(self, sandbox: AsyncSandbox) -> None:
        """Until `resume` it does not run."""
        ...

    async def resume(self, sandbox: AsyncSandbox) -> None:
        """It runs again."""
        ...


class E2BKernel:
    """`kernel_pool.kernel.Kernel` over one sandbox. Made by `E2BBackend`."""

    def __init__(
        self,
        kernel_id: str,
        sandbox: AsyncSandbox,
        link: Link,
        setting: Setting,
        limits: Limits,
        *,
        freeze: Callable[[E2BKernel], Awaitable[Snapshot]],
        dispose: Callable[[], Coroutine[Any, Any, None]],
        gone: Callable[[], str | None],
        sleep: Sleep,
    ) -> None:
        self.sandbox = sandbox
        self.link = link
        self.setting = setting
        self.limits = limits
        self.changed = False  #: something ran or was written since the last snapshot
        self._id = kernel_id
        self._freeze = freeze
        self._dispose = dispose
        self._gone = gone
        self._sleep = sleep
        self._asleep = False
        self._state = setting.state.encode("utf-8", "surrogateescape")
        self._pristine: bytes | None = None
        self._one_at_a_time = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """See `Kernel.id`."""
        return self._id

    @property
    def shell_state(self) -> str:
        """The saved shell. Untrusted text."""
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
        return await self.run_as(command, cwd, env, stdin, limits, on_output)

    async def run_as(
        self,
        command: str | Sequence[str],
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limits: Limits | None = None,
        on_output: OutputSink | None = None,
        *,
        as_root: bool = False,
    ) -> ExecResult:
        """`run`; with `as_root` the command is root's, with the home directory of the user."""
        if not command:
            raise ValueError("an empty command")
        async with self._one_at_a_time:
            await self._ready()
            texts = [command] if isinstance(command, str) else [os.fspath(part) for part in command]
            if not all(map(_can_be_passed, [*texts, cwd or "", *(env or {}), *(env or {}).values()])):
                return ExecResult(126, b"", b"a command cannot hold NUL or lone surrogates\n", 0.0)
            self.changed = True
            bounds = limits or self.limits
            request: dict[str, Any] = {"op": "run", "limits": asdict(bounds)}
            if as_root:
                request |= {"user": "root", "as_root": True}
            if isinstance(command, str):
                return await self._run_shell(command, cwd, dict(env or {}), request, stdin, bounds, on_output)
            request |= {
                "argv": texts,
                "cwd": self._inside(cwd or "."),
                "env": {**self.setting.env, **(env or {})},
                "files": {},
                "keep": [],
            }
            return (await self._execute(request, stdin, bounds, on_output))[0]

    async def read(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes:
        """See `Kernel.read`."""
        content = bytearray()

        def take(_kind: str, data: bytes) -> None:
            content.extend(data)
            if len(content) > max_bytes:
                raise FileAccessError(path, FileAccessError.TOO_LARGE)

        await self._file({"op": "read", "max_bytes": max_bytes}, path, take=take)
        return bytes(content)

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """See `Kernel.write`."""
        await self._file({"op": "write", "mode": mode}, path, blob=data)

    async def list(self, path: str = ".", *, depth: int = 1, max_entries: int = 10_000) -> list[FileInfo]:
        """See `Kernel.list`."""
        request = {"op": "list", "depth": depth, "max_entries": max_entries}
        answer = await self._file(request, path, max_result=8192 * max(1, max_entries))
        try:
            return [
                FileInfo(str(name), kind, int(size), int(mode))
                for name, kind, size, mode in answer["entries"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise KernelError(f"kernel {self._id} gave a listing that is none: {error}") from error

    async def snapshot(self) -> Snapshot:
        """See `Kernel.snapshot`."""
        async with self._one_at_a_time:
            await self._ready()
            return await self._freeze(self)

    async def healthy(self) -> bool:
        """See `Kernel.healthy`."""
        if self._closing is not None or self.link.doubt or self._gone():
            return False
        if self._asleep:
            return True
        try:
            with Translated(f"asking for the health of kernel {self._id}"):
                return bool(await self.sandbox.is_running(request_timeout=_HEALTH_S))
        except KernelError:
            return False

    async def close(self) -> None:
        """See `Kernel.close`."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._dispose())
        await asyncio.shield(self._closing)

    async def at_rest(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do something with the sandbox while no command runs in it."""
        async with self._one_at_a_time:
            await self._ready()
            return await work()

    def inherit(self, other: E2BKernel) -> None:
        """Take over the shell of the kernel this one is a copy of."""
        self._state, self._pristine, self.changed = other._state, other._pristine, other.changed

    async def pause(self) -> None:
        """Let the sandbox sleep while nothing is asked of it, so that it neither runs nor counts; any use wakes it."""
        async with self._one_at_a_time:
            await self._ready()
            await self._sleep.pause(self.sandbox)
            self._asleep = True

    async def _ready(self) -> None:
        if self._closing is not None:
            raise KernelClosed(f"kernel {self._id} is closed")
        reason = self.link.doubt or self._gone()
        if reason:
            raise KernelClosed(f"kernel {self._id} is gone: {reason}")
        if self._asleep:
            await self._sleep.resume(self.sandbox)
            self._asleep = False

    async def _file(self, request: dict[str, Any], path: str, **options: Any) -> dict[str, Any]:
        async with self._one_at_a_time:
            await self._ready()
            self.changed = self.changed or request["op"] == "write"
            try:
                return await self.link.ask({**request, "path": self._inside(path)}, **options)
            except FileAccessError as error:
                raise FileAccessError(path, error.reason) from error

    async def _run_shell(
        self,
        command: str,
        cwd: str | None,
        env: dict[str, str],
        request: dict[str, Any],
        stdin: bytes,
        limits: Limits,
        on_output: OutputSink | None,
    ) -> ExecResult:
        argv, long_command = shell.arguments(command)
        learn = self._pristine is None
        start = None if cwd is None else self._inside(cwd)
        contents = {
            shell.PROLOGUE_FD: shell.prologue(
                env=env, cwd=start, restore=bool(self._state), learn_pristine=learn
            ),
            shell.RESTORE_FD: self._state,
            shell.SAVE_FD: shell.SAVE_TEXT,
            shell.STATE_FD: b"",
            shell.SAVE_PRISTINE_FD: shell.SAVE_PRISTINE_TEXT,
            shell.PRISTINE_FD: b"",
            shell.COMMAND_FD: long_command,
        }
        request |= {
            "argv": argv,
            "cwd": self.setting.workdir,
            "or_root": True,
            "env": dict(self.setting.env),
            "files": contents,
            "keep": [shell.STATE_FD, *([shell.PRISTINE_FD] if learn else [])],
        }
        result, kept = await self._execute(request, stdin, limits, on_output)
        if learn:
            self._pristine = shell.canonical_state(kept.get(shell.PRISTINE_FD, b""))
        text = shell.canonical_state(kept.get(shell.STATE_FD, b""), env, self._state or self._pristine or b"")
        if text is not None:
            self._state = b"" if text == self._pristine else text
        return result

    async def _execute(
        self, request: dict[str, Any], stdin: bytes, limits: Limits, on_output: OutputSink | None
    ) -> tuple[ExecResult, dict[int, bytes]]:
        output = {"o": bytearray(), "e": bytearray()}

        def take(kind: str, data: bytes) -> None:
            if kind not in output or sum(map(len, output.values())) + len(data) > limits.output_bytes:
                raise KernelError(f"kernel {self._id} sent more output than its command may have")
            output[kind] += data
            if on_output is not None:
                on_output("stdout" if kind == "o" else "stderr", data)

        request["files"] = {
            number: base64.b64encode(content).decode() for number, content in request["files"].items()
        }
        started = time.monotonic()
        try:
            answer = await self.link.ask(request, blob=stdin, take=take, wall_s=limits.wall_s)
        finally:
            if self.link.doubt and self._closing is None:
                await self.close()  # what it holds now is nobody's state
        if self._closing is not None:  # that is what ended the command
            raise KernelClosed(f"kernel {self._id} is closed")
        return self._result(answer, output, time.monotonic() - started)

    def _result(
        self, answer: dict[str, Any], output: dict[str, bytearray], took_s: float
    ) -> tuple[ExecResult, dict[int, bytes]]:
        """The agent's answer, as far as it is one."""
        try:
            ended = _ENDS[answer["ended"]]
            code = int(answer["exit_code"]) if ended == "exited" else None
            number = int(answer["signal"]) if ended == "signalled" else None
            wall_s = min(max(0.0, float(answer["wall_s"])), took_s)
            kept = {int(n): base64.b64decode(text) for n, text in answer["files"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise KernelError(f"kernel {self._id} gave a result that is none: {error!r}") from error
        return ExecResult(code, bytes(output["o"]), bytes(output["e"]), wall_s, ended, number), kept

    def _inside(self, path: str) -> str:
        return posixpath.join(self.setting.workdir, path)


def _can_be_passed(text: str) -> bool:
    """Whether a program can be given this text at all."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
