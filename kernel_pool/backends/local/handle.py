"""The host's handle of one live kernel."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...errors import FileAccessError, KernelClosed, KernelError, KernelStartFailed
from ...kernel import ExecResult, FileInfo, Limits, OutputSink, Snapshot
from .channel import Channel, Take
from .inside import wire

_START_S = 60.0
_CANCEL_S = 5.0  # seconds a kernel has to end a command when asked to


class LocalKernel:
    """`kernel_pool.kernel.Kernel` over the socket to the kernel's PID 1. Made by `LocalBackend.start`."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        *,
        freeze: Callable[[LocalKernel], Awaitable[Snapshot]],
        dispose: Callable[[], Awaitable[None]],
    ) -> None:
        self._name = name
        self._limits = limits
        self._freeze = freeze
        self._dispose = dispose
        self._channel: Channel | None = None
        self._one_at_a_time = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self.shell_state = ""  #: bash's saved state; untrusted text
        self.changed = False  #: something ran or was written since the last snapshot

    @property
    def id(self) -> str:
        return self._name

    async def connect(self, sock: socket.socket, *, env: Mapping[str, str], workdir: str, state: str) -> None:
        """Hand the kernel its settings and wait until it stands. Raises `KernelStartFailed`."""
        self._channel = await Channel.open(self._name, sock)
        self.shell_state = state
        try:
            async with asyncio.timeout(_START_S):
                answer = await self._ask({"op": "init", "env": dict(env), "workdir": workdir, "state": state})
        except (KernelClosed, TimeoutError) as error:
            raise KernelStartFailed(f"kernel {self._name} did not come up: {error}") from error
        except KernelError as error:
            raise KernelStartFailed(f"kernel {self._name} could not be started: {error}") from error
        if not answer.get("ready"):
            raise KernelStartFailed(f"kernel {self._name} answered {answer!r}")

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
        """See `Kernel.run`. A string's `env` holds for it alone; the directory it ends in stays."""
        request = {
            "op": "run",
            "command": command if isinstance(command, str) else [os.fspath(part) for part in command],
            "cwd": cwd,
            "env": dict(env or {}),
            "limits": asdict(limits or self._limits),
        }
        if not command:
            raise ValueError("an empty command")
        if not all(isinstance(text, str) for text in (*(env or {}), *(env or {}).values(), cwd or "")):
            raise TypeError("env has to map text to text, and cwd to be text")
        out, err = bytearray(), bytearray()

        def take(kind: bytes, payload: bytes) -> None:
            (out if kind == wire.STDOUT else err).extend(payload)
            if on_output is not None:
                on_output("stdout" if kind == wire.STDOUT else "stderr", payload)

        self.changed = True
        answer = await self._ask(request, stdin, take)
        if isinstance(answer.get("state"), str):
            self.shell_state = answer["state"]
        return ExecResult(
            exit_code=answer["exit_code"],
            stdout=bytes(out),
            stderr=bytes(err),
            wall_s=float(answer["wall_s"]),
            ended=answer["ended"],
            signal=answer["signal"],
            warm=bool(answer.get("warm", False)),
        )

    async def read(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes:
        data = bytearray()
        await self._ask(
            {"op": "read", "path": path, "max_bytes": max_bytes},
            b"",
            lambda _kind, payload: data.extend(payload),
        )
        return bytes(data)

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        self.changed = True
        request = {"op": "write", "path": path, "mode": mode, "limits": asdict(self._limits)}
        await self._ask(request, data)

    async def list(self, path: str = ".", *, depth: int = 1, max_entries: int = 10_000) -> list[FileInfo]:
        answer = await self._ask({"op": "list", "path": path, "depth": depth, "max_entries": max_entries})
        return [FileInfo(*entry) for entry in answer["entries"]]

    async def snapshot(self) -> Snapshot:
        async with self._one_at_a_time:
            self._must_be_open()
            freezing = asyncio.ensure_future(self._freeze(self))
            try:
                return await asyncio.shield(freezing)
            except asyncio.CancelledError:
                # A thread cannot be stopped, and nothing may change under its hands.
                await _ended(freezing)
                raise

    async def healthy(self) -> bool:
        try:
            async with asyncio.timeout(5.0):
                return bool((await self._ask({"op": "ping"})).get("pong"))
        except (KernelError, TimeoutError):
            return False

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._channel is not None:
            self._channel.abort()  # ends a running command; a snapshot being taken is waited for
        async with self._one_at_a_time:
            await self._dispose()

    def _must_be_open(self) -> Channel:
        if self._closing is not None or self._channel is None or self._channel.closed:
            raise KernelClosed(f"kernel {self._name} is closed")
        return self._channel

    async def _ask(
        self,
        request: dict[str, Any],
        blob: bytes = b"",
        take: Take = lambda _kind, _payload: None,
    ) -> dict[str, Any]:
        """Send a request, pass on what streams back, return the result. A cancellation waits for the kernel."""
        async with self._one_at_a_time:
            channel = self._must_be_open()
            pending = channel.ask(request, blob, take)
            try:
                # Cancelling us must not leave half an answer in the stream.
                answer = await asyncio.shield(pending)
            except asyncio.CancelledError:
                await _end(channel, pending)
                raise
        if "refused" in answer:
            raise FileAccessError(str(request.get("path", "")), str(answer["refused"]))
        if "error" in answer:
            raise KernelError(f"kernel {self._name}: {answer['error']}")
        return answer


async def _ended(task: asyncio.Future[Any]) -> None:
    """Wait for a task, however often we are cancelled meanwhile."""
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()  # seen


async def _end(channel: Channel, pending: asyncio.Future[dict[str, Any]]) -> None:
    """End the running command and take the rest of its answer, so that the kernel stays usable."""
    if not pending.done():
        channel.cancel()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _CANCEL_S
    while not pending.done() and (left := deadline - loop.time()) > 0:
        try:
            await asyncio.wait({pending}, timeout=left)
        except asyncio.CancelledError:
            continue  # once more: the answer has to be taken all the same
    if not pending.done():
        channel.abort()  # it does not answer: give the kernel up
    elif not pending.cancelled():
        pending.exception()  # seen
