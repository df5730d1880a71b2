"""From the host to the agent inside one sandbox and back: a request, frames, a result.

Everything that comes back was made where untrusted code runs. It is bounded here, and never more than data.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import io
import json
import uuid
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from e2b import AsyncSandbox
from e2b.exceptions import RateLimitException
from e2b.sandbox.commands.command_handle import CommandExitException
from e2b.sandbox_async.commands.command_handle import AsyncCommandHandle

from ...errors import BackendUnavailable, FileAccessError, KernelClosed, KernelError
from .failures import Translated
from .inside.main import ROOM

Take = Callable[[str, bytes], None]  #: called with a frame's kind and its content

_INLINE = 48 * 1024  # bytes of a request that go on the command line; Linux takes 128 KiB in one argument
_KINDS = ("o", "e", "b", "r")  # of frames; see `inside/wire.py`
_LINE = 256 * 1024  # characters of a frame that is no result
_GRACE_S = 60.0  # beyond a command's own wall time before its stream is given up
_RATE_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_END_S = 10.0  # for a cancelled command to be gone


@cache
def agent() -> tuple[str, bytes]:
    """The agent's directory in a sandbox, and the zip file that becomes it."""
    package = Path(__file__).parent
    files = {
        f"kernel_pool/backends/e2b_cloud/inside/{path.name}": path for path in package.glob("inside/*.py")
    }
    files["kernel_pool/backends/local/inside/files.py"] = package.parent / "local" / "inside" / "files.py"
    content = {name: path.read_bytes() for name, path in files.items()}
    for name in files:
        parents = name.split("/")[:-1]
        content |= {"/".join([*parents[:n], "__init__.py"]): b"" for n in range(1, len(parents) + 1)}
    content["__main__.py"] = (
        b"import sys\n"
        b"if sys.version_info < (3, 9):\n"
        b"    sys.exit('the agent needs python3 3.9 or later in the template')\n"
        b"if sys.argv[1] == 'unpack':\n"  # so that python keeps its modules compiled
        b"    import zipfile\n"
        b"    zipfile.ZipFile(sys.argv[0]).extractall(sys.argv[2])\n"
        b"else:\n"
        b"    from kernel_pool.backends.e2b_cloud.inside.main import main\n"
        b"    main()\n"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            archive.writestr(zipfile.ZipInfo(name), content[name])
    name = hashlib.sha256(packed.getvalue()).hexdigest()[:16]
    return f"{ROOM}/agent-{name}", packed.getvalue()


class Link:
    """One sandbox's agent. One request at a time."""

    def __init__(self, sandbox: AsyncSandbox, kernel_id: str, user: str | None) -> None:
        self._sandbox = sandbox
        self._kernel_id = kernel_id
        self._user = user
        self._sdk_user = "root"  # the agent drops what it does not need; see `inside/main.py`
        self.doubt = ""  #: why nothing can be said about the state of the sandbox any more

    async def install(self) -> None:
        """Put the agent into the sandbox."""
        place, content = agent()
        with self._doing("installing the agent"):
            await self._sandbox.files.write(f"{place}.pyz", content, user=self._sdk_user)
            try:
                await self._sandbox.commands.run(
                    f"python3 -I -S {place}.pyz unpack {place}", user=self._sdk_user, cwd="/"
                )
            except CommandExitException as failed:
                raise BackendUnavailable(
                    f"kernel {self._kernel_id}: the agent inside needs bash and python3 3.9 or later in the "
                    f"template ({failed.stderr.strip()[-300:]})"
                ) from failed

    async def put(self, content: bytes | Path) -> str:
        """A file in the agent's room that the next request may name; its name."""
        name = uuid.uuid4().hex
        with self._doing("sending a file"):
            if isinstance(content, Path):
                with content.open("rb") as file:
                    await self._sandbox.files.write(f"{ROOM}/{name}", file, user=self._sdk_user)
            else:
                await self._sandbox.files.write(f"{ROOM}/{name}", content, user=self._sdk_user)
        return name

    async def ask(
        self,
        request: dict[str, Any],
        *,
        blob: bytes = b"",
        take: Take = lambda _kind, _content: None,
        wall_s: float = 300.0,
        max_result: int = 4 * 1024 * 1024,
    ) -> dict[str, Any]:
        """Send a request and await its result. A cancellation ends what it started and leaves the sandbox usable.

        Raises `FileAccessError` for what was refused, `KernelClosed` when the sandbox is gone or in doubt,
        `KernelError` otherwise.
        """
        request = {"user": self._user, **request}
        if blob:
            request["blob"] = await self.put(blob)
        text = base64.b64encode(json.dumps(request).encode()).decode()
        if len(text) > _INLINE:
            text = f"@{await self.put(json.dumps(request).encode())}"
        call = _Call(take, max_result)
        exchange = asyncio.ensure_future(self._exchange(call, text, wall_s))
        try:
            answer = await asyncio.shield(exchange)
        except asyncio.CancelledError:
            await asyncio.shield(self._end(call, exchange))
            raise
        finally:
            if call.failure is not None and request["op"] != "sweep":
                await asyncio.shield(self._end(call, exchange))
        if "refused" in answer:
            raise FileAccessError(str(request.get("path", "")), str(answer["refused"]))
        if "error" in answer:
            raise KernelError(f"kernel {self._kernel_id}: {answer['error']}")
        return answer

    async def _exchange(self, call: _Call, text: str, wall_s: float) -> dict[str, Any]:
        for fresh in (False, True):
            call.handle = await self._started(call, text, wall_s)
            code = await self._ended(call)
            if call.result is not None:
                return call.result
            if code == 2 and "can't open file" in call.complaint and not fresh:
                await self.install()  # the sandbox is of another version's making
                continue
            break
        self.doubt = f"the agent ended with {code} and without a result: {call.complaint.strip()[-1000:]}"
        raise KernelClosed(f"kernel {self._kernel_id}: {self.doubt}")

    async def _started(self, call: _Call, text: str, wall_s: float) -> AsyncCommandHandle[Any]:
        """The agent at work. Nothing has been done when the rate is limited, so that it is tried again."""
        for pause_s in (*_RATE_PAUSES_S, None):
            with self._doing("asking the agent"):
                try:
                    return await self._sandbox.commands.run(
                        f"exec python3 -I -S {agent()[0]} {text}",
                        background=True,
                        user=self._sdk_user,
                        cwd="/",
                        timeout=wall_s + _GRACE_S,
                        on_stdout=call.received,
                        on_stderr=call.complained,
                        retain_output=False,
                    )
                except RateLimitException:
                    if pause_s is None:
                        raise
            await asyncio.sleep(pause_s)
        raise AssertionError("the last try has no pause")

    async def _ended(self, call: _Call) -> int:
        """The agent's exit code. Raises what the taker of its output raised, after ending it."""
        assert call.handle is not None
        try:
            with self._doing("running a command"):
                try:
                    return int((await call.handle.wait()).exit_code)
                except CommandExitException as ended:
                    return int(ended.exit_code)
        except KernelError as error:
            if call.failure is None:
                self.doubt = str(error)  # the command may still run
                raise KernelClosed(str(error)) from error
        await self._kill(call)
        raise call.failure

    async def _end(self, call: _Call, exchange: asyncio.Future[dict[str, Any]]) -> None:
        """After a cancellation: let nothing of the request go on."""
        try:
            async with asyncio.timeout(_END_S):
                while call.handle is None and not exchange.done():
                    await asyncio.sleep(0.005)
                if not exchange.done():
                    await self._kill(call)
                    await asyncio.wait({exchange})
                if not exchange.cancelled():
                    exchange.exception()  # it ended without a result because we ended it
                self.doubt = ""
                await self.ask({"op": "sweep"})
        except (KernelError, TimeoutError) as error:
            self.doubt = f"a cancelled command could not be ended: {error}"

    async def _kill(self, call: _Call) -> None:
        assert call.handle is not None
        with self._doing("ending a command"):
            await call.handle.kill()

    def _doing(self, what: str) -> Translated:
        return Translated(f"kernel {self._kernel_id} (sandbox {self._sandbox.sandbox_id}), {what}")


class _Call:
    """What has come back of one request so far."""

    def __init__(self, take: Take, max_result: int) -> None:
        self.handle: AsyncCommandHandle[Any] | None = None
        self.result: dict[str, Any] | None = None
        self.failure: Exception | None = None
        self.complaint = ""
        self._take = take
        self._max_result = max_result
        self._line = ""

    def received(self, text: str) -> None:
        """The SDK's callback for stdout; lines may come in pieces. What it raises ends the call."""
        *lines, rest = (self._line + text).split("\n")
        self._line = rest
        with _Stopping(self):
            for line in lines:
                self._frame(line)
            if len(rest) > (self._max_result if rest[:1] == "r" else _LINE):
                raise KernelError("the agent in the sandbox sent more than it may")

    def complained(self, text: str) -> None:
        """The SDK's callback for stderr, on which the agent itself says nothing as long as it works."""
        self.complaint = (self.complaint + text)[-4000:]

    def _frame(self, line: str) -> None:
        kind = line[:1]
        try:
            content = base64.b64decode(line[1:], validate=True)
        except binascii.Error:
            kind = ""
        if kind not in _KINDS:  # what a login shell of the template says before the agent
            self.complained(line + "\n")
        elif kind == "r":
            self.result = self._unpacked(content)
        else:
            self._take(kind, content)

    def _unpacked(self, content: bytes) -> dict[str, Any]:
        try:
            loaded = json.loads(zlib.decompressobj().decompress(content, 8 * self._max_result))
        except (zlib.error, ValueError) as error:
            raise KernelError(f"the agent in the sandbox sent what is no answer: {error}") from error
        if not isinstance(loaded, dict):
            raise KernelError("the agent in the sandbox sent what is no answer")
        return loaded


class _Stopping:
    """A `with` block whose exception is the failure of a call; the SDK sees one of ours."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the failure."""
        if isinstance(error, Exception):
            self._call.failure = error
            raise KernelError("stopped by what takes the output") from error
