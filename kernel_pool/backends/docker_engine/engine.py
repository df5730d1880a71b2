"""The engine behind the maintained `docker` SDK: blocking calls in threads, every error one of ours.

The SDK raises its own errors, those of `requests` and plain `OSError`; what it said, where, and what to do about
it is told once, here.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from ...errors import BackendUnavailable, KernelClosed, KernelError

T = TypeVar("T")

_PING_S = 5.0  # an engine that does not answer a ping in this time is not there
_CALLS = 32  # calls under way at once
_STREAMS = 1024  # commands under way at once; a thread is only made when it is needed


class Absent(KernelError):
    """The engine knows no container, image, path or volume of this name."""


class Conflict(KernelError):
    """The engine refuses in the present state of the thing: not running, in use, name taken."""


class Engine:
    """One connection to an engine. `api` is the SDK's low-level client; use it from threads only."""

    def __init__(self, base_url: str | None = None, *, timeout_s: float = 300.0) -> None:
        try:
            import docker
        except ImportError as error:
            raise BackendUnavailable(
                "the docker back-end needs Docker's SDK: pip install 'rollout-fork[docker]'"
            ) from error
        self._docker = docker
        self.address = base_url or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        self._calls = ThreadPoolExecutor(_CALLS, thread_name_prefix="docker")
        self._streams = ThreadPoolExecutor(_STREAMS, thread_name_prefix="docker-stream")
        try:
            with self._client(base_url, _PING_S) as probe:
                probe.ping()
                self.info: dict[str, Any] = probe.info()
            self.api: Any = self._client(base_url, timeout_s)
        except self._failures as error:
            raise BackendUnavailable(
                f"no Docker engine answers at {self.address}: {_reason(error)}; {_mend(error)}"
            ) from error

    def _client(self, base_url: str | None, timeout_s: float) -> Any:
        from docker.utils import kwargs_from_env

        options: dict[str, Any] = {**kwargs_from_env(), "version": "auto", "timeout": timeout_s}
        if base_url is not None:
            options["base_url"] = base_url
        return self._docker.APIClient(**options, max_pool_size=_CALLS)

    @property
    def _failures(self) -> tuple[type[Exception], ...]:
        import requests
        import urllib3

        return (
            self._docker.errors.DockerException,
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,  # an address that is none
        )

    async def call(self, what: str, work: Callable[..., T], *args: Any, **options: Any) -> T:
        """Do one blocking piece of work in a thread. `what` says, in errors, what it was for."""
        return await self._in(self._calls, functools.partial(self.blocking, what, work, *args, **options))

    async def in_thread(self, work: Callable[..., T], *args: Any, **options: Any) -> T:
        """Do work that makes blocking calls of its own, each of which tells its errors."""
        return await self._in(self._calls, functools.partial(work, *args, **options))

    async def stream(self, work: Callable[..., T], *args: Any) -> T:
        """Do work that waits for a stream, in a thread of its own."""
        return await self._in(self._streams, functools.partial(work, *args))

    def blocking(self, what: str, work: Callable[..., T], *args: Any, **options: Any) -> T:
        """`call` for code that is in a thread already."""
        try:
            return work(*args, **options)
        except self._docker.errors.NotFound as error:
            raise Absent(f"{what}: {_reason(error)}") from error
        except self._docker.errors.APIError as error:
            kind = Conflict if error.status_code == 409 else KernelError
            raise kind(f"{what}: the engine at {self.address} refused: {_reason(error)}") from error
        except self._failures as error:
            raise KernelError(
                f"{what}: the engine at {self.address} does not answer: {_reason(error)}; {_mend(error)}"
            ) from error

    def open_exec(self, container: str, command: list[str]) -> tuple[str, Connection]:
        """Start a command in a container: its id, and the connection to its three streams. Blocks."""
        made = self.api.exec_create(container, command, stdin=True, workdir="/")
        return made["Id"], Connection(self.api.exec_start(made["Id"], socket=True))

    def bound(self, container: str, memory_bytes: int, processes: int) -> None:
        """Change a container's limits. Blocks. The SDK's `update_container` knows no number of processes."""
        limits = {"Memory": memory_bytes, "MemorySwap": memory_bytes, "PidsLimit": processes}
        self.api._result(self.api._post_json(self.api._url("/containers/{0}/update", container), data=limits))

    async def settle(self) -> None:
        """Wait for the calls and streams under way; there are no more after them."""
        await asyncio.to_thread(self._calls.shutdown, wait=True)
        await asyncio.to_thread(self._streams.shutdown, wait=True)

    def close(self) -> None:
        """Let go of the connection."""
        self.api.close()

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            doing = asyncio.get_running_loop().run_in_executor(pool, work)
        except RuntimeError as error:  # the pool takes no more work
            raise KernelClosed("the docker back-end is closed") from error
        return await doing


class Connection:
    """The hijacked connection of one command: bytes to its stdin, frames of its stdout and stderr."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream  # over plain sockets a file; it keeps the answer, and so the connection, alive
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._socket.settimeout(None)

    def send(self, data: bytes) -> None:
        """Send all of it. A peer that is gone is noticed by whoever reads."""
        with suppress(OSError):
            self._socket.sendall(data)

    def receive(self, most: int) -> bytes:
        """What has come, at least one byte; b"" at the end, also when the connection broke."""
        try:
            return self._socket.recv(most)
        except OSError:
            return b""

    def end(self) -> None:
        """Wake up whoever reads or sends."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        self.end()
        with suppress(OSError):
            self._stream.close()
            self._socket.close()


async def to_its_end(task: asyncio.Future[Any]) -> None:
    """Wait for a task even when we are cancelled; the cancellation goes on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _reason(error: Exception) -> str:
    """The innermost message: what the SDK wraps three times says the same three times."""
    explanation = getattr(error, "explanation", None)
    if explanation:
        return str(explanation).strip()
    inner = error
    while (inside := inner.__cause__ or inner.__context__) is not None and isinstance(inside, Exception):
        inner = inside
    return str(inner).strip() or str(error).strip() or type(error).__name__


def _mend(error: Exception) -> str:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, NameError):  # of the class that the SDK has only with paramiko
            return "for ssh:// addresses, type: pip install 'docker[ssh]'"
        if isinstance(inner, PermissionError):
            return "join the group that may use the socket (usually `docker`), or run a rootless engine"
        inner = inner.__cause__ or inner.__context__
    return "start Docker, or set DOCKER_HOST"
