"""The server: E2B's REST API, and the routes of envd beside it."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from kernel_pool.backends.local import LocalBackend

from .envd import Envd
from .faults import Fault, Faults, refusal
from .sandboxes import Sandbox, Sandboxes

ENVD_VERSION = "0.6.7"
FORK_LIFETIME_S = 15  # what the API gives a fork that does not say
_LIFETIME_S = 15  # and a sandbox; the SDK always says

_FAULT: web.RequestKey[Fault] = web.RequestKey("fault", Fault)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class E2BServer:
    """A server for one test; see the package's docstring."""

    def __init__(
        self,
        state_dir: Path,
        *,
        api_key: str = "e2b_" + "0" * 40,
        templates: Collection[str] = ("base",),
        max_running: int = 100,
        creates_per_s: float | None = None,  #: answer 429 to creates and forks above this rate
        second_s: float = 1.0,
    ) -> None:
        self.api_key = api_key
        self.url = ""  #: http://127.0.0.1:PORT while it runs
        self.calls: list[tuple[str, float]] = []  #: (operation, `time.monotonic()`)
        self._faults = Faults()
        self._kernels = LocalBackend(Path(state_dir) / "e2b-server", warm=())
        self._sandboxes = Sandboxes(self._kernels, set(templates), max_running, second_s)
        self._creates_per_s = creates_per_s
        self._next_create = 0.0
        self._made: dict[str, dict[str, Any]] = {}  # idempotency key -> answer
        self._runner: web.AppRunner | None = None

    @property
    def connection(self) -> dict[str, str]:
        """What the SDK has to be told, and `E2BBackend` as well."""
        return {"api_key": self.api_key, "api_url": self.url, "sandbox_url": self.url}

    @property
    def live(self) -> dict[str, Sandbox]:
        """Running and paused sandboxes."""
        return dict(self._sandboxes.all)

    @property
    def snapshots(self) -> list[str]:
        """Ids of all snapshots."""
        return list(self._sandboxes.snapshots)

    @property
    def peak(self) -> int:
        """The most sandboxes that ran at once."""
        return self._sandboxes.peak

    def count(self, operation: str) -> int:
        """How often an operation was asked for, refused ones included."""
        return sum(name == operation for name, _when in self.calls)

    def fail(self, operation: str, *faults: Fault) -> None:
        """Let the next requests of an operation fail.

        Operations: create, fork, kill, timeout, pause, connect, snapshot, list, info; start (a command), files,
        and envd's methods by their names (SendSignal, Stat, ...).
        """
        self._faults.order(operation, *faults)

    async def die(self, sandbox_id: str) -> None:
        """Let a sandbox end as if its node had failed."""
        await self._sandboxes.kill(sandbox_id)

    async def lose_snapshot(self, snapshot_id: str) -> None:
        """Forget a snapshot."""
        del self._sandboxes.snapshots[snapshot_id]

    async def start(self) -> E2BServer:
        """Listen on a free port of 127.0.0.1."""
        app = web.Application(client_max_size=1 << 30)
        for method, path, operation, handler in (
            ("POST", "/v2/sandboxes", "create", self._create),
            ("GET", "/v2/sandboxes", "list", self._list),
            ("GET", "/sandboxes/{id}", "info", self._info),
            ("DELETE", "/sandboxes/{id}", "kill", self._kill),
            ("POST", "/sandboxes/{id}/timeout", "timeout", self._timeout),
            ("POST", "/sandboxes/{id}/pause", "pause", self._pause),
            ("POST", "/v2/sandboxes/{id}/connect", "connect", self._connect),
            ("POST", "/sandboxes/{id}/fork", "fork", self._fork),
            ("POST", "/sandboxes/{id}/snapshots", "snapshot", self._snapshot),
            ("GET", "/snapshots", "snapshots", self._list_snapshots),
            ("DELETE", "/templates/{id}", "delete_snapshot", self._delete_snapshot),
        ):
            app.router.add_route(method, path, self._guarded(operation, handler))
        Envd(self._sandboxes, self._faults).add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def stop(self) -> None:
        """End every sandbox and stop listening."""
        await self._sandboxes.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._kernels.close()

    async def __aenter__(self) -> E2BServer:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _guarded(self, operation: str, handler: Handler) -> Handler:
        """The key, the ordered fault, the work."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.calls.append((operation, time.monotonic()))
            if request.headers.get("X-API-Key") != self.api_key:
                raise refusal(401, "invalid API key")
            fault = await self._faults.take(operation)
            request[_FAULT] = fault
            answer = await handler(request)
            if fault.answer_lost and request.transport is not None:
                request.transport.abort()
            return answer

        return handle

    def _sandbox(self, request: web.Request) -> Sandbox:
        name = request.match_info["id"]
        sandbox = self._sandboxes.all.get(name)
        if sandbox is None:
            raise refusal(404, f"sandbox {name} not found")
        return sandbox

    def _paced(self, count: int) -> None:
        now = time.monotonic()
        if self._creates_per_s is not None:
            if now < self._next_create:
                raise refusal(429, "too many creates", {"Retry-After": "1"})
            self._next_create = now + count / self._creates_per_s

    async def _create(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key", "")
        if key in self._made:
            return web.json_response(self._made[key], status=201)
        body = await request.json()
        self._paced(1)
        lifetime_s = body.get("timeout", _LIFETIME_S)
        sandbox = await self._sandboxes.create(body["templateID"], body.get("metadata") or {}, lifetime_s)
        sandbox.internet = body.get("allow_internet_access", body.get("allowInternetAccess"))
        sandbox.pauses_at_end = bool(body.get("autoPause", False))
        if key:
            self._made[key] = _made(sandbox)
        return web.json_response(_made(sandbox), status=201)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = urllib.parse.parse_qsl(request.query.get("metadata", ""))
        pairs = {urllib.parse.unquote(name): urllib.parse.unquote(value) for name, value in wanted}
        states = request.query.get("state", "running,paused").split(",")
        found = [
            sandbox
            for sandbox in self._sandboxes.all.values()
            if sandbox.state in states and pairs.items() <= sandbox.metadata.items()
        ]
        start, limit = int(request.query.get("nextToken", 0)), int(request.query.get("limit", 100))
        page = found[start : start + limit]
        headers = {"x-next-token": str(start + limit)} if len(found) > start + limit else {}
        return web.json_response([_listed(sandbox) for sandbox in page], headers=headers)

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response(_listed(self._sandbox(request)))

    async def _kill(self, request: web.Request) -> web.Response:
        if not await self._sandboxes.kill(request.match_info["id"]):
            raise refusal(404, f"sandbox {request.match_info['id']} not found")
        return web.Response(status=204)

    async def _timeout(self, request: web.Request) -> web.Response:
        self._sandboxes.set_lifetime(self._sandbox(request), (await request.json())["timeout"])
        return web.Response(status=204)

    async def _pause(self, request: web.Request) -> web.Response:
        sandbox = self._sandbox(request)
        if sandbox.kernel is None:
            raise refusal(409, f"sandbox {sandbox.id} is already paused")
        await self._sandboxes.pause(sandbox)
        return web.Response(status=204)

    async def _connect(self, request: web.Request) -> web.Response:
        sandbox = self._sandbox(request)
        await self._sandboxes.resume(sandbox, (await request.json()).get("timeout", _LIFETIME_S))
        return web.json_response(_made(sandbox))

    async def _fork(self, request: web.Request) -> web.Response:
        source = self._sandbox(request)
        body = await request.json()
        count = body.get("count", 1)
        self._paced(count)
        fault = request[_FAULT]
        answer: list[dict[str, Any]] = []
        for place in range(count):
            if place in fault.items:
                answer.append({"error": {"code": 500, "message": fault.message}})
                continue
            fork = await self._sandboxes.fork(source, body.get("timeout", FORK_LIFETIME_S))
            answer.append({"sandbox": _made(fork)})
        return web.json_response(answer, status=201)

    async def _snapshot(self, request: web.Request) -> web.Response:
        name = await self._sandboxes.snapshot(self._sandbox(request))
        return web.json_response({"snapshotID": name, "names": []}, status=201)

    async def _list_snapshots(self, request: web.Request) -> web.Response:
        source = request.query.get("sandboxID")
        found = [
            {"snapshotID": name, "names": []}
            for name, (made_from, _state) in self._sandboxes.snapshots.items()
            if source in (None, made_from)
        ]
        return web.json_response(found)

    async def _delete_snapshot(self, request: web.Request) -> web.Response:
        if self._sandboxes.snapshots.pop(request.match_info["id"], None) is None:
            raise refusal(404, "template not found")
        return web.Response(status=204)


def _made(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "templateID": sandbox.template,
        "sandboxID": sandbox.id,
        "clientID": "loopback",
        "envdVersion": ENVD_VERSION,
        "envdAccessToken": sandbox.token,
        "trafficAccessToken": None,
        "domain": None,
    }


def _listed(sandbox: Sandbox) -> dict[str, Any]:
    return {
        **{name: _made(sandbox)[name] for name in ("templateID", "sandboxID", "clientID", "envdVersion")},
        "startedAt": sandbox.started.isoformat(),
        "endAt": sandbox.end.isoformat(),
        "cpuCount": 2,
        "memoryMB": 1024,
        "diskSizeMB": 1024,
        "metadata": sandbox.metadata,
        "state": sandbox.state,
    }
