"""A loopback server that speaks Docker's Engine API, with a kernel of the local back-end behind each container.

For tests of code that drives an engine through the real `docker` SDK, on machines without one, and for the faults
that a real engine does not have on demand:

    async with DockerApi(directory) as engine:
        engine.faults.append(Fault("POST", "/containers/create", status=500, message="out of luck"))
        client = docker.APIClient(base_url=engine.url)     # from threads; the server runs in this event loop

It knows what the Docker back-end uses: ping, version, info, images (inspect, list, create, remove, build), containers
(create, start, inspect, list, kill, pause, update, changes, archive, remove), exec (create, start, inspect), commit
and volumes. Where it differs from an engine:

* every image holds this machine's own tools; `world.images` maps names to states of the local back-end;
* the standard input of an exec is what the client sends until it is silent for a moment;
* any signal ends all commands of a container; a volume is filled by an archive put at its target;
* a build carries out FROM and RUN, and nothing else.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import wire
from .docker_world import World

_SILENCE_S = 0.1


@dataclass
class Fault:
    """What goes wrong with requests whose method and path (a regular expression, searched) fit."""

    method: str
    path: str
    status: int = 0  #: answer with this; 0: cut the connection instead, or only be slow when there is a delay
    message: str = "a fault that was asked for"
    delay_s: float = 0.0  #: wait before answering
    cut_after: int | None = None  #: let an exec go on for so many bytes of output, then cut its connection
    times: int = 1  #: how often


class DockerApi:
    """The server. `world` is what it has, `requests` what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.world = World(directory)
        self.url = ""
        self._connections: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> DockerApi:
        await self.world.open()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.url = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.stop()
        await self.world.close()

    def stop(self) -> None:
        """Go away, as an engine that is stopped: nobody answers, and open connections end."""
        self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await wire.request(reader)) is not None:
                self.requests.append((request.method, request.path))
                fault = self._fault(request.method, request.path)
                await asyncio.sleep(fault.delay_s if fault else 0.0)
                if fault is not None and fault.status:
                    writer.write(wire.answer(fault.status, {"message": fault.message}))
                elif fault is not None and fault.cut_after is None and not fault.delay_s:
                    break
                elif found := re.fullmatch(r"/exec/(\w+)/start", request.path):
                    await self._start_exec(found[1], reader, writer, fault)
                    break
                else:
                    told = await self.world.answer(request.method, request.path, request.query, request.body)
                    writer.write(wire.answer(*told))
                await writer.drain()
        self._connections.discard(writer)
        writer.close()

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    async def _start_exec(
        self, exec_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        """Take over the connection: bytes to stdin one way, frames of output the other way."""
        made = self.world.execs.get(exec_id)
        if made is None or not made.container.running:
            message = f"No such exec instance: {exec_id}" if made is None else "the container is not running"
            writer.write(wire.answer(404 if made is None else 409, {"message": message}))
            return
        writer.write(wire.SWITCHING)
        await writer.drain()
        left = None if fault is None else fault.cut_after
        cut = asyncio.Event()

        def send(stream: str, data: bytes) -> None:
            nonlocal left
            if left is not None:
                data, left = data[:left], left - len(data)
            if not cut.is_set():
                writer.write(wire.frame(1 if stream == "stdout" else 2, data))
            if left is not None and left <= 0:
                cut.set()

        running = asyncio.ensure_future(self.world.execute(made, await _until_silent(reader), send))
        cutting = asyncio.ensure_future(cut.wait())
        await asyncio.wait({running, cutting}, return_when=asyncio.FIRST_COMPLETED)
        if not cut.is_set():
            cutting.cancel()
            await writer.drain()
            return
        writer.transport.abort()  # the command goes on: only the connection is lost
        await asyncio.wait({running})


async def _until_silent(reader: asyncio.StreamReader) -> bytes:
    """What comes until nothing has come for a moment."""
    data = b""
    with suppress(TimeoutError):
        while more := await asyncio.wait_for(reader.read(1 << 20), _SILENCE_S if data else 10.0):
            data += more
    return data
