"""One request and its answer, over the connection of one `exec`."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from ...errors import KernelError
from .engine import Connection, Engine, to_its_end
from .guest import STARTED, Request

_HEADER = struct.Struct(">BxxxL")  # stream (1 stdout, 2 stderr), length: the engine's frames
_CHUNK = 64 * 1024
_MAX_ANSWER = 1 << 20  # bytes; a longer one is forged

Stream = Literal["stdout", "stderr"]


@dataclass
class Heard:
    """What one exchange has brought so far. Filled by the reading thread."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    answer: bytearray | None = None  #: after the mark; None until it came
    started_at: float | None = None  #: `time.monotonic()` when the command began
    flooded: bool = False  #: more output than the budget; nothing after it was kept


class Exchange:
    """Send a request, take what comes. `wait` ends with the connection, at the latest when all processes are gone."""

    def __init__(
        self,
        engine: Engine,
        request: Request,
        *,
        budget: int,
        on_output: Callable[[Stream, bytes], None] | None = None,
    ) -> None:
        self.heard = Heard()
        self.exec_id = ""
        self._engine = engine
        self._request = request
        self._budget = budget
        self._on_output = on_output
        self._held = bytearray()  # the end of stderr that may be the beginning of the mark
        self._connection: Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._to_pass_on: deque[tuple[Stream, bytes]] = deque()
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    async def begin(self, container: str) -> None:
        """Start the request in a container. Raises what `Engine.call` does."""
        what = f"a command in kernel {container}"
        opening = asyncio.ensure_future(
            self._engine.call(what, self._engine.open_exec, container, self._request.argv)
        )
        try:
            await to_its_end(opening)  # a thread cannot be stopped: what it opened is ours to close
        finally:
            if opening.exception() is None:
                self.exec_id, self._connection = opening.result()
        connection = opening.result()[1]
        self._reading = asyncio.create_task(self._engine.stream(self._read))
        self._reading.add_done_callback(lambda _done: self._news.set())
        data = self._request.script + self._request.data
        self._sending = asyncio.create_task(self._engine.stream(connection.send, data))

    async def wait(self, timeout_s: float) -> bool:
        """Whether everything has been heard; waits at most so long for it. Raises what `on_output` raises."""
        if self._reading is None:
            return True  # it never began
        deadline = time.monotonic() + timeout_s
        while True:
            self._news.clear()
            ended = self._reading.done()
            while self._to_pass_on and self._on_output is not None:
                self._on_output(*self._to_pass_on.popleft())
            if ended:
                return True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), max(0.0, deadline - time.monotonic()))
            if not self._news.is_set():
                return False

    async def close(self) -> None:
        """Cut the connection and wait for the threads."""
        if self._connection is None:
            return
        self._connection.end()
        threads = [task for task in (self._reading, self._sending) if task is not None]
        if threads:
            await asyncio.wait(threads)
        self._connection.close()
        for task in threads:
            task.result()

    def _read(self) -> None:
        """In a thread: take frames until the end, or until there is too much of it."""
        assert self._connection is not None
        for stream, data in frames(self._connection):
            if not (self._take("stdout", data) if stream == 1 else self._take_stderr(data)):
                return

    def _take_stderr(self, data: bytes) -> bool:
        if self.heard.answer is not None:
            self.heard.answer += data
            return len(self.heard.answer) <= _MAX_ANSWER
        if self.heard.started_at is None and data.startswith(STARTED):
            self.heard.started_at = time.monotonic()
            self._loop.call_soon_threadsafe(self._news.set)
            data = data[len(STARTED) :]
        self._held += data
        before, mark, after = bytes(self._held).partition(self._request.mark)
        if mark:
            self.heard.answer = bytearray(after)
            self._held.clear()
            return self._take("stderr", before)
        sure = len(before) - _overlap(before, self._request.mark)
        del self._held[:sure]
        return self._take("stderr", before[:sure])

    def _take(self, stream: Stream, data: bytes) -> bool:
        """Keep output and pass it on; False when there is more than the budget."""
        kept = data[: self._budget]
        self._budget -= len(kept)
        if kept:
            (self.heard.stdout if stream == "stdout" else self.heard.stderr).extend(kept)
            if self._on_output is not None:
                self._to_pass_on.append((stream, kept))
                self._loop.call_soon_threadsafe(self._news.set)
        self.heard.flooded = len(kept) < len(data)
        return not self.heard.flooded


def frames(connection: Connection) -> Iterator[tuple[int, bytes]]:
    """(stream, bytes) as the engine sends them, until the end. Blocks."""
    while header := _exactly(connection, _HEADER.size):
        stream, left = _HEADER.unpack(header)
        while left:
            data = connection.receive(min(left, _CHUNK))
            if not data:
                return
            left -= len(data)
            yield stream, data


def carry_out(engine: Engine, container: str, request: Request) -> bytes:
    """A request of our own to a container that has no kernel (yet); its answer. Blocks. Raises `KernelError`."""
    what = f"a request to {container}"
    _exec_id, connection = engine.blocking(what, engine.open_exec, container, request.argv)
    try:
        connection.send(request.script + request.data)
        told = b"".join(data for stream, data in frames(connection) if stream == 2)
    finally:
        connection.close()
    before, mark, answer = told.partition(request.mark)
    if not mark:
        raise KernelError(
            f"{what} got no answer: {before[-500:].decode(errors='replace') or 'images need bash and coreutils'}"
        )
    return answer


def _exactly(connection: Connection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.receive(size - len(data))
        if not more:
            return b""
        data += more
    return data


def _overlap(text: bytes, mark: bytes) -> int:
    """How many bytes at the end of `text` may be the beginning of `mark`."""
    for size in range(min(len(text), len(mark) - 1), 0, -1):
        if mark.startswith(text[-size:]):
            return size
    return 0
