"""The host's end of a kernel's socket: one request at a time, answers as they stream in."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, cast

from ...errors import KernelClosed, KernelError
from .inside import wire

Take = Callable[[bytes, bytes], None]  #: called with (frame kind, payload) for all but the result


class Channel(asyncio.Protocol):
    """Frames of `inside/wire.py` over a connected socket. What comes in is untrusted and only ever data."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._take: Take | None = None
        self._answer: asyncio.Future[dict[str, Any]] | None = None

    @classmethod
    async def open(cls, name: str, sock: socket.socket) -> Channel:
        """Take a connected socket over."""
        _transport, channel = await asyncio.get_running_loop().create_unix_connection(
            lambda: cls(name), sock=sock
        )
        return channel

    @property
    def closed(self) -> bool:
        """Nothing can be asked any more."""
        return self._transport is None or self._transport.is_closing()

    def abort(self) -> None:
        """Hang up at once, which ends the kernel."""
        if self._transport is not None:
            self._transport.abort()

    def ask(self, request: dict[str, Any], blob: bytes, take: Take) -> asyncio.Future[dict[str, Any]]:
        """Send a request; its result is awaited, what streams before it goes to `take`. One at a time.

        The future fails with `KernelClosed`, or with what `take` raised; the kernel is given up in both cases.
        """
        assert self._answer is None or self._answer.done()
        if self._transport is None or self._transport.is_closing():
            raise KernelClosed(f"kernel {self._name} is closed")
        try:
            message = wire.message(wire.REQUEST, {**request, "blob": len(blob)})
        except wire.WireError as error:
            raise KernelError(f"kernel {self._name}: the request is too long: {error}") from error
        self._take = take
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        if blob:
            self._transport.write(wire.blob(blob))
        return self._answer

    def cancel(self) -> None:
        """Ask for the end of the running command; its result comes as ever."""
        if self._transport is not None:
            self._transport.write(wire.frame(wire.CANCEL))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= wire.HEADER.size:
                kind, length = wire.parse_header(bytes(self._buffer[at : at + wire.HEADER.size]))
                end = at + wire.HEADER.size + length
                if len(self._buffer) < end:
                    break
                payload = bytes(self._buffer[at + wire.HEADER.size : end])
                at = end
                self._frame(kind, payload)
        except (wire.WireError, ValueError) as error:
            self._give_up(KernelClosed(f"kernel {self._name} is gone: {error}"))
        del self._buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        self._give_up(KernelClosed(f"kernel {self._name} is gone: {exc or 'it ended'}"))

    def _frame(self, kind: bytes, payload: bytes) -> None:
        if self._answer is None or self._answer.done() or self._take is None:
            return
        if kind == wire.RESULT:
            self._answer.set_result(json.loads(payload))
            return
        try:
            self._take(kind, payload)
        except Exception as error:  # noqa: BLE001 - the caller's own sink: it is raised where the caller waits
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.abort()
