"""envd's side of a sandbox: commands and files, by Connect RPC and HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import posixpath
import struct
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import BodyPartReader, web

from kernel_pool import ExecResult, FileAccessError, FileInfo, Kernel, KernelClosed, Limits

from .faults import Fault, Faults, refusal, rpc_refusal
from .sandboxes import HOME, Process, Sandbox, Sandboxes

_ENDLESS = Limits(
    wall_s=86_400.0,
    memory_mb=1 << 16,
    processes=4096,
    disk_mb=1 << 16,
    output_bytes=1 << 30,
    file_mb=1 << 16,
    open_files=4096,
)
_TYPES = {"file": "FILE_TYPE_FILE", "dir": "FILE_TYPE_DIRECTORY", "symlink": "FILE_TYPE_SYMLINK", "other": ""}


class Envd:
    """All sandboxes' envd, told apart by the header `E2b-Sandbox-Id`."""

    def __init__(self, sandboxes: Sandboxes, faults: Faults) -> None:
        self._sandboxes = sandboxes
        self._faults = faults

    def add_routes(self, app: web.Application) -> None:
        """Register what the SDK asks for."""
        app.router.add_get("/health", self._health)
        app.router.add_get("/files", self._download)
        app.router.add_post("/files", self._upload)
        app.router.add_post("/process.Process/Start", self._start)
        app.router.add_post("/{service:(process.Process|filesystem.Filesystem)}/{method}", self._unary)

    async def _health(self, request: web.Request) -> web.Response:
        self._sandbox(request)
        return web.Response(status=204)

    async def _download(self, request: web.Request) -> web.Response:
        await self._faults.take("files")
        path = _path(request.query["path"])
        with _as_http(path):
            content = await self._kernel(request).read(path, max_bytes=1 << 30)
        return web.Response(body=content, content_type="application/octet-stream")

    async def _upload(self, request: web.Request) -> web.Response:
        await self._faults.take("files")
        kernel = self._kernel(request)
        written = []
        async for name, content in _uploads(request):
            path = _path(request.query.get("path") or name)
            with _as_http(path):
                await kernel.write(path, content)
            written.append({"name": posixpath.basename(path), "type": "file", "path": path})
        return web.json_response(written)

    async def _start(self, request: web.Request) -> web.StreamResponse:
        sandbox = self._sandbox(request)
        message = await _enveloped(request)
        fault = await self._faults.take("start")
        process = Process(self._sandboxes.next_pid(), message["process"], _user(request))
        if not message.get("stdin"):
            process.closed.set()
        sandbox.processes[process.pid] = process
        stream = web.StreamResponse(headers={"content-type": "application/connect+json"})
        await stream.prepare(request)
        try:
            await _send(stream, {"event": {"start": {"pid": process.pid}}})
            await self._run(request, stream, sandbox, process, fault)
        except ConnectionResetError:
            process.killed.set()  # the test's event loop is going down, or a fault was ordered
        finally:
            sandbox.processes.pop(process.pid, None)
        return stream

    async def _run(
        self,
        request: web.Request,
        stream: web.StreamResponse,
        sandbox: Sandbox,
        process: Process,
        fault: Fault,
    ) -> None:
        told: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        running = asyncio.ensure_future(_execute(sandbox, process, told))
        running.add_done_callback(lambda _task: told.put_nowait(None))
        wait_s = request.headers.get("connect-timeout-ms")
        sent = 0
        late = False
        try:
            async with asyncio.timeout(int(wait_s) / 1000 if wait_s else None):
                while (piece := await told.get()) is not None:
                    name, data = piece
                    await _send(stream, {"event": {"data": {name: base64.b64encode(data).decode()}}})
                    sent += len(data)
                    if fault.drop_after is not None and sent >= fault.drop_after and request.transport:
                        request.transport.abort()
                        await running  # as with the real one: the command goes on without its listener
                        return
        except TimeoutError:
            late = True
        finally:
            if late or not running.done():
                process.killed.set()
            await asyncio.wait({running})
        await self._last(stream, sandbox, running, late)

    async def _last(
        self,
        stream: web.StreamResponse,
        sandbox: Sandbox,
        running: asyncio.Future[ExecResult | None],
        late: bool,
    ) -> None:
        error = running.exception()
        if late:
            await _send(
                stream, {"error": {"code": "deadline_exceeded", "message": "context deadline exceeded"}}, 2
            )
        elif isinstance(error, KernelClosed):
            text = f"the connection to sandbox {sandbox.id} ended before the stream completed"
            await _send(stream, {"error": {"code": "unavailable", "message": text}}, 2)
        elif error is not None:
            await _send(stream, {"error": {"code": "internal", "message": str(error)}}, 2)
        else:
            await _send(stream, {"event": {"end": _ending(running.result())}})
            await _send(stream, {}, 2)
        await stream.write_eof()

    async def _unary(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        sandbox = self._sandbox(request)
        await self._faults.take(method)
        message = await request.json()
        if request.match_info["service"] == "process.Process":
            answer = _process_call(sandbox, method, message)
        else:
            answer = await _file_call(self._kernel(request), method, message)
        return web.json_response(answer)

    def _sandbox(self, request: web.Request) -> Sandbox:
        sandbox = self._sandboxes.all.get(request.headers.get("E2b-Sandbox-Id", ""))
        if sandbox is None or sandbox.kernel is None:
            raise refusal(502, "The sandbox was not found")
        if request.headers.get("X-Access-Token") != sandbox.token and request.path != "/health":
            raise rpc_refusal(401, "unauthenticated", "invalid access token")
        return sandbox

    def _kernel(self, request: web.Request) -> Kernel:
        kernel = self._sandbox(request).kernel
        assert kernel is not None
        return kernel


async def _execute(
    sandbox: Sandbox, process: Process, told: asyncio.Queue[tuple[str, bytes] | None]
) -> ExecResult | None:
    """Run it; None when it was killed."""
    killed = asyncio.ensure_future(process.killed.wait())
    work = asyncio.ensure_future(_run_in_kernel(sandbox, process, told))
    try:
        await asyncio.wait({work, killed}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
        return None if work.cancelled() else work.result()
    finally:
        killed.cancel()


async def _run_in_kernel(
    sandbox: Sandbox, process: Process, told: asyncio.Queue[tuple[str, bytes] | None]
) -> ExecResult:
    await process.closed.wait()
    config = process.config
    own = {"E2B_SANDBOX": "true", "E2B_SANDBOX_ID": sandbox.id, "E2B_TEMPLATE_ID": sandbox.template}
    if sandbox.kernel is None:
        raise KernelClosed("the sandbox ended")
    return await sandbox.kernel.run(
        [config["cmd"], *config.get("args", ())],
        cwd=_path(config.get("cwd") or HOME),
        env={**own, **process.user, **config.get("envs", {})},
        stdin=bytes(process.stdin),
        limits=_ENDLESS,
        on_output=lambda name, data: told.put_nowait((name, data)),
    )


def _user(request: web.Request) -> dict[str, str]:
    """What envd tells a process about the user it was asked for."""
    asked = request.headers.get("Authorization", "").removeprefix("Basic ")
    name = base64.b64decode(asked).decode().partition(":")[0] or "user"
    return {"USER": name, "LOGNAME": name, "HOME": "/root" if name == "root" else HOME}


def _ending(result: ExecResult | None) -> dict[str, Any]:
    """As Go tells of a process that ended."""
    if result is not None and result.ended == "exited":
        return {"exitCode": result.exit_code, "exited": True, "status": f"exit status {result.exit_code}"}
    status = f"signal: {result.signal}" if result is not None and result.signal else "signal: killed"
    return {"exitCode": -1, "exited": False, "status": status, "error": status}


def _process_call(sandbox: Sandbox, method: str, message: dict[str, Any]) -> dict[str, Any]:
    if method == "List":
        return {"processes": [{"pid": p.pid, "config": p.config} for p in sandbox.processes.values()]}
    process = sandbox.processes.get(message.get("process", {}).get("pid", 0))
    if method not in ("SendSignal", "SendInput", "CloseStdin"):
        raise rpc_refusal(501, "unimplemented", f"this test server has no {method}")
    if process is None:
        raise rpc_refusal(404, "not_found", "process not found")
    if method == "SendSignal":
        process.killed.set()
    elif method == "SendInput":
        process.stdin += base64.b64decode(message["input"]["stdin"])
    else:
        process.closed.set()
    return {}


async def _file_call(kernel: Kernel, method: str, message: dict[str, Any]) -> dict[str, Any]:
    path = _path(message.get("path", ""))
    if method == "Stat":
        return {"entry": await _stat(kernel, path)}
    if method == "ListDir":
        with _as_rpc(path):
            found = await kernel.list(path, depth=message.get("depth") or 1)
        return {"entries": [_entry(posixpath.join(path, info.path), info) for info in found]}
    if method == "MakeDir":
        if (await kernel.run(["test", "-e", path])).ok:
            raise rpc_refusal(409, "already_exists", f"{path} already exists")
        await _do(kernel, ["mkdir", "-p", path])
        return {"entry": await _stat(kernel, path)}
    if method == "Remove":
        await _do(kernel, ["rm", "-rf", path])
        return {}
    raise rpc_refusal(501, "unimplemented", f"this test server has no {method}")


async def _do(kernel: Kernel, command: list[str]) -> None:
    done = await kernel.run(command)
    if not done.ok:
        raise rpc_refusal(500, "internal", done.stderr.decode(errors="replace"))


async def _stat(kernel: Kernel, path: str) -> dict[str, Any]:
    parent, name = posixpath.split(posixpath.normpath(path))
    with _as_rpc(path):
        found = [info for info in await kernel.list(parent) if info.path == name]
    if not found:
        raise rpc_refusal(404, "not_found", f"path {path} does not exist")
    return _entry(path, found[0])


def _entry(path: str, info: FileInfo) -> dict[str, Any]:
    return {
        "name": posixpath.basename(path),
        "type": _TYPES[info.kind],
        "path": path,
        "size": str(info.size),
        "mode": info.mode,
        "permissions": f"{info.mode:o}",
        "owner": "user",
        "group": "user",
        "isSymlink": info.kind == "symlink",
    }


async def _uploads(request: web.Request) -> AsyncIterator[tuple[str, bytes]]:
    if not request.content_type.startswith("multipart/"):
        yield "", await request.read()
        return
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader):
            yield part.filename or "", bytes(await part.read())


async def _enveloped(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    _flags, length = struct.unpack(">BI", body[:5])
    message: dict[str, Any] = json.loads(body[5 : 5 + length])
    return message


async def _send(stream: web.StreamResponse, message: dict[str, Any], flags: int = 0) -> None:
    data = json.dumps(message).encode()
    await stream.write(struct.pack(">BI", flags, len(data)) + data)


def _path(path: str) -> str:
    return posixpath.join(HOME, path)


@contextlib.contextmanager
def _as_http(path: str) -> Any:
    try:
        yield
    except FileAccessError as error:
        status = 404 if error.reason == FileAccessError.ABSENT else 400
        raise refusal(status, f"{path}: {error.reason}") from error
    except KernelClosed as error:
        raise refusal(502, "The sandbox was not found") from error


@contextlib.contextmanager
def _as_rpc(path: str) -> Any:
    try:
        yield
    except FileAccessError as error:
        code = (404, "not_found") if error.reason == FileAccessError.ABSENT else (400, "invalid_argument")
        raise rpc_refusal(*code, f"{path}: {error.reason}") from error
