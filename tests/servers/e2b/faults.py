"""Failures to order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request."""

    status: int = 0  #: answer with this status; 0 does the work
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "ordered"
    delay_s: float = 0.0  #: before anything else
    drop_after: int | None = None  #: of a command: break the connection after so many bytes of its output
    items: tuple[int, ...] = ()  #: of a fork: the places in the answer that are errors
    answer_lost: bool = False  #: do the work, then break the connection in place of the answer


class Faults:
    """A queue for each operation."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Fault]] = {}

    def order(self, operation: str, *faults: Fault) -> None:
        """The next requests of an operation fail so, one each."""
        self._waiting.setdefault(operation, deque()).extend(faults)

    async def take(self, operation: str) -> Fault:
        """The fault for this request. Raises the answer where the fault is one."""
        queue = self._waiting.get(operation)
        fault = queue.popleft() if queue else Fault()
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.status:
            raise refusal(fault.status, fault.message, fault.headers)
        return fault


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.HTTPException:
    """An error answer of the REST API, ready to be raised."""
    return _Answer(status, {"code": status, "message": message}, headers)


def rpc_refusal(status: int, code: str, message: str) -> web.HTTPException:
    """An error answer of envd's RPC, ready to be raised."""
    return _Answer(status, {"code": code, "message": message})


class _Answer(web.HTTPException):
    def __init__(self, status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> None:
        import json

        self.status_code = status
        super().__init__(headers=headers, text=json.dumps(body), content_type="application/json")
