"""The loopback server itself: requests in, replies or faults out."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

from aiohttp import web

from . import anthropic_shape, openai_shape
from .script import Fault, ModelRequest, Reply, Script, say, tokens

_GARBAGE = b"<html><body>502 Bad Gateway</body></html>"


class LoopbackModelServer:
    """A model server that says what `script` says and fails how it is told to.

    Faults are looked for in this order: `fault_next(...)` (a queue), `faults` (by index of the request, in
    order of arrival), the reply's own `fault`.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        faults: Mapping[int, Fault] | None = None,
        no_temperature: Collection[str] = (),  #: models that refuse `temperature`, `top_p` and `top_k`
        context_tokens: int | None = None,  #: refuse conversations with more toy tokens than this
        api_key: str | None = None,  #: answer 401 to any other key
    ) -> None:
        self.script = script
        self.faults = dict(faults or {})
        self.no_temperature = frozenset(no_temperature)
        self.context_tokens = context_tokens
        self.api_key = api_key
        self.requests: list[ModelRequest] = []
        self.url = ""  #: http://127.0.0.1:PORT while it runs
        self._queue: list[Fault] = []
        self._runner: web.AppRunner | None = None
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def fault_next(self, *faults: Fault) -> None:
        """Fail the next requests so, one each."""
        self._queue.extend(faults)

    async def start(self) -> LoopbackModelServer:
        """Listen on a free port of 127.0.0.1."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def stop(self) -> None:
        """Stop listening and end the requests that hang. Idempotent."""
        self._stop.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> LoopbackModelServer:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __enter__(self) -> LoopbackModelServer:
        """The same in a thread of its own, for code that is not async."""
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(self._loop, ready), daemon=True)
        self._thread.start()
        if not ready.wait(10) or not self.url:
            raise RuntimeError("the loopback server did not start within 10 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    def _serve(self, loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self.start())
        ready.set()
        loop.run_forever()

    async def _messages(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, anthropic_shape)

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, openai_shape)

    async def _answer(self, http: web.Request, shape: Any) -> web.StreamResponse:
        try:
            body = json.loads(await http.text())
        except ValueError:
            return _refuse(shape, 400, "the request is not JSON")
        headers = {name.lower(): value for name, value in http.headers.items()}
        request = ModelRequest(len(self.requests), http.path, headers, body, time.monotonic())
        self.requests.append(request)
        if (refused := self._refusal(request)) is not None:
            return _refuse(shape, *refused)
        reply = say(self.script, request)
        fault = self._queue.pop(0) if self._queue else self.faults.get(request.index, reply.fault)
        if fault is not None and fault.kind not in ("slow", "half", "error_event"):
            return await self._fail(http, shape, fault)
        return await self._send(http, shape, request, reply, fault)

    def _refusal(self, request: ModelRequest) -> tuple[int, str] | None:
        """What a real server would find wrong with the request itself."""
        body, headers = request.body, request.headers
        if self.api_key is not None:
            given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
            if given != self.api_key:
                return 401, "invalid x-api-key"
        for parameter in ("temperature", "top_p", "top_k"):
            if body.get("model") in self.no_temperature and parameter in body:
                return 400, f"`{parameter}` is deprecated for this model."
        if self.context_tokens is not None:
            seen = len(tokens(json.dumps(body.get("messages", []))))
            if seen > self.context_tokens:
                if request.path == "/v1/messages":
                    return 400, f"prompt is too long: {seen} tokens > {self.context_tokens} maximum"
                return (
                    400,
                    f"This model's maximum context length is {self.context_tokens} tokens, not {seen}.",
                )
        return None

    async def _fail(self, http: web.Request, shape: Any, fault: Fault) -> web.StreamResponse:
        if fault.kind == "hang":
            try:
                await asyncio.wait_for(self._stop.wait(), fault.seconds or None)
            except TimeoutError:
                pass
            return web.Response(status=503)
        if fault.kind == "drop":
            _cut(http)
            return web.Response(status=503)  # never seen: the connection is gone
        if fault.kind == "garbage":
            return web.Response(body=_GARBAGE, content_type="text/html")
        if fault.kind == "empty":
            return web.Response(body=b"", content_type="application/json")
        headers = {} if fault.retry_after_s is None else {"retry-after": f"{fault.retry_after_s:g}"}
        return _refuse(shape, fault.code, fault.message, headers)

    async def _send(
        self, http: web.Request, shape: Any, request: ModelRequest, reply: Reply, fault: Fault | None
    ) -> web.StreamResponse:
        """The reply in pieces: its events, or its JSON text cut into some."""
        streamed = bool(request.body.get("stream"))
        parts = _parts(shape, request, reply, streamed)
        response = web.StreamResponse()
        response.content_type = "text/event-stream" if streamed else "application/json"
        await response.prepare(http)
        for number, part in enumerate(parts):
            if fault is not None and fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            if fault is not None and fault.kind != "slow" and number >= len(parts) // 2:
                if fault.kind == "error_event" and streamed:
                    await response.write(anthropic_shape.error_event(fault.message).encode())
                    break
                _cut(http)
                return response
            await response.write(part)
        await response.write_eof()
        return response


def _parts(shape: Any, request: ModelRequest, reply: Reply, streamed: bool) -> list[bytes]:
    if shape is anthropic_shape:
        if streamed:
            return [event.encode() for event in anthropic_shape.events(request, reply)]
        whole = json.dumps(anthropic_shape.message(request, reply))
    else:
        if streamed:
            return [chunk.encode() for chunk in openai_shape.chunks(request, reply)]
        whole = json.dumps(openai_shape.completion(request, reply))
    size = max(1, len(whole) // 6)
    return [whole[i : i + size].encode() for i in range(0, len(whole), size)]


def _refuse(shape: Any, code: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(shape.error(code, message), status=code, headers=headers)


def _cut(http: web.Request) -> None:
    """Drop the connection without a word."""
    if http.transport is not None:
        http.transport.abort()
