"""Commands in one container, one at a time, each to an end after which nothing of it is alive."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import KernelClosed, KernelError
from ...kernel import Ended, ExecResult, Limits, OutputSink
from . import guest
from .engine import Absent, Conflict, Engine, to_its_end
from .exchange import Exchange, Heard

_START_S = 60.0  # from asking the engine until the command starts
_REQUEST_S = 120.0  # one request of our own
_END_S = 15.0  # from killing everything until the connection ends
_LOOK_S = 1.0  # how often a running command's disk is looked at
_SHORT_S = 0.25  # a command shorter than this is not looked at after its end
_SPARE = 2  # processes beside the command's: PID 1 and the one that waits for it
_LEAST_PROCESSES = 16  # the engine itself needs some to enter a container
_MIB = 1 << 20

#: What a finished command answers: exit code, how bash calls its end, kills for want of memory and refused forks
#: so far, whether CPU time ran out; then two texts of the shell.
_ANSWER = re.compile(rb"(\d{1,3}) (\S{1,40}) (\d{1,15}) (\d{1,15}) ([01])\n(.*)", re.DOTALL)


def bounds(limits: Limits) -> tuple[int, int]:
    """(bytes of memory, processes) that a container is given for these limits."""
    return limits.memory_mb * _MIB, max(limits.processes + _SPARE, _LEAST_PROCESSES)


@dataclass(frozen=True)
class _Answer:
    code: int
    how: str
    counted: tuple[int, int]
    cpu: bool
    texts: bytes


class Runner:
    """Runs what it is given. The caller sees to it that it is one at a time."""

    def __init__(self, engine: Engine, name: str, limits: Limits, closed: Callable[[], bool]) -> None:
        self.counted = (0, 0)  #: kills for want of memory, refused forks so far
        self._engine = engine
        self._name = name
        self._in_force = bounds(limits)
        self._closed = closed
        self._disk = 0  # bytes of changes when last looked at

    async def execute(
        self, order: guest.Command, on_output: OutputSink | None = None
    ) -> tuple[ExecResult, bytes]:
        """The result, and what the shell saved (see `guest`). Cancelling waits until nothing is alive."""
        await self._enforce(order.limits)
        exchange = Exchange(
            self._engine, order.request(), budget=order.limits.output_bytes, on_output=on_output
        )
        ended: Ended | None = "cancelled"
        asked = time.monotonic()
        try:
            await self._begin(exchange)
            ended = await self._watch(exchange, order.limits, asked)
        finally:
            ending = asyncio.ensure_future(self._end(exchange, by_itself=ended is None))
            await to_its_end(ending)
            ending.exception()  # seen; raised below, unless something is being raised already
        counted = ending.result()
        wall_s = time.monotonic() - (exchange.heard.started_at or asked)
        if self._closed():
            raise KernelClosed(f"kernel {self._name} is closed")  # that is what ended the command
        if ended is None and wall_s >= _SHORT_S and await self._overfull(order.limits):
            ended = "disk"
        return await self._result(exchange, ended, counted, wall_s)

    async def carry_out(self, request: guest.Request, budget: int) -> tuple[bytes, bytes]:
        """A request of our own: (stdout, its answer). Raises `KernelClosed`, `KernelError`."""
        exchange = Exchange(self._engine, request, budget=budget)
        try:
            await self._begin(exchange)
            if not await exchange.wait(_REQUEST_S):
                raise KernelError(f"kernel {self._name} did not answer within {_REQUEST_S:g} s")
        finally:
            await to_its_end(asyncio.ensure_future(exchange.close()))
        if exchange.heard.answer is None:
            raise await self._why(exchange)
        return bytes(exchange.heard.stdout), bytes(exchange.heard.answer)

    async def _begin(self, exchange: Exchange) -> None:
        try:
            await exchange.begin(self._name)
        except (Absent, Conflict) as error:
            raise KernelClosed(f"kernel {self._name} is gone: {error}") from error

    async def _watch(self, exchange: Exchange, limits: Limits, asked: float) -> Ended | None:
        """Wait for the command's end; the limit that has to end it, if one has to."""
        heard = exchange.heard
        next_look = time.monotonic() + _LOOK_S
        while True:
            deadline = asked + _START_S if heard.started_at is None else heard.started_at + limits.wall_s
            if await exchange.wait(min(deadline, next_look) - time.monotonic()):
                return "output" if heard.flooded else None
            now = time.monotonic()
            if heard.started_at is not None and now >= heard.started_at + limits.wall_s:
                return "timeout"
            if heard.started_at is None and now >= asked + _START_S:
                raise KernelError(
                    f"kernel {self._name}: the engine did not start a command in {_START_S:g} s"
                )
            if now >= next_look:
                if await self._overfull(limits):
                    return "disk"
                next_look = time.monotonic() + _LOOK_S

    async def _end(self, exchange: Exchange, *, by_itself: bool) -> tuple[int, int] | None:
        """See to it that nothing of a command lives. What the container has counted, when it had to be asked."""
        heard = exchange.heard
        never_began = heard.started_at is None
        if by_itself and not heard.flooded and (never_began or _answer(heard) is not None):
            await exchange.close()
            return None
        what = f"kernel {self._name}"
        lost = False
        try:
            if by_itself and not heard.flooded:  # the stream ended: with the command, or with the connection
                told = await self._engine.call(what, self._engine.api.exec_inspect, exchange.exec_id)
                lost = bool(told["Running"])
            await self._engine.call(what, self._engine.api.kill, self._name, "SIGUSR1")
            await exchange.wait(_END_S)
        except (Absent, Conflict):
            return None  # the container has ended, and everything in it
        finally:
            await exchange.close()
        if self._closed():
            return None
        _stdout, answer = await self.carry_out(guest.request(guest.SETTLE), 1 << 16)
        counts = answer.split()
        if len(counts) != 2 or not all(count.isdigit() for count in counts):
            raise KernelError(f"kernel {self._name} counts {answer[:100]!r}: its programs were tampered with")
        if lost:
            raise KernelError(f"{what}: the connection of a command was lost; the command has been ended")
        return int(counts[0]), int(counts[1])

    async def _result(
        self, exchange: Exchange, ended: Ended | None, counted: tuple[int, int] | None, wall_s: float
    ) -> tuple[ExecResult, bytes]:
        heard = exchange.heard
        answer = _answer(heard) if ended is None else None
        before, self.counted = self.counted, (answer.counted if answer else counted) or self.counted
        code: int | None = None
        signal: int | None = None
        if ended is None:
            if self.counted[0] > before[0]:
                ended = "oom"
            elif answer is not None and answer.cpu:
                ended = "cpu"
            elif self.counted[1] > before[1]:
                ended = "pids"
            else:
                ended = "exited"
                code = number = answer.code if answer else await self._exit_code(exchange)
                by_signal = (
                    answer.how not in ("Exit", "Done", "-") if answer else heard.started_at is not None
                )
                if by_signal and number > 128:
                    ended, code, signal = "signalled", None, number - 128
        result = ExecResult(code, bytes(heard.stdout), bytes(heard.stderr), wall_s, ended, signal)
        return result, answer.texts if answer else b""

    async def _exit_code(self, exchange: Exchange) -> int:
        """Of a command that gave no answer: it was killed with all that was there, or bash is gone."""
        error = await self._why(exchange)
        if isinstance(error, KernelClosed):
            raise error
        told = await self._engine.call(
            f"kernel {self._name}", self._engine.api.exec_inspect, exchange.exec_id
        )
        code = 137 if told["ExitCode"] is None else int(told["ExitCode"])
        if exchange.heard.started_at is None and code not in (126, 127):
            raise error
        return code

    async def _why(self, exchange: Exchange) -> KernelError:
        """Why there was no answer."""
        if self._closed():
            return KernelClosed(f"kernel {self._name} is closed")
        what = f"kernel {self._name}"
        try:
            container = await self._engine.call(what, self._engine.api.inspect_container, self._name)
        except Absent as error:
            return KernelClosed(f"{what} is gone: {error}")
        if not container["State"]["Running"]:
            how = "for want of memory" if container["State"].get("OOMKilled") else "by itself or from outside"
            return KernelClosed(f"{what} is gone: its container ended {how}")
        said = bytes(exchange.heard.stdout + exchange.heard.stderr)[-500:].decode(errors="replace").strip()
        return KernelError(
            f"{what}: a request got no answer: {said or 'it was killed'}; images need bash and coreutils"
        )

    async def _enforce(self, limits: Limits) -> None:
        """Put the limits that the engine knows only for a whole container in force."""
        wanted = bounds(limits)
        if wanted == self._in_force:
            return
        what = f"the limits of kernel {self._name}"
        self._in_force = (0, 0)  # cancelled or failed half-way, they are not known
        try:
            await self._engine.call(what, self._engine.bound, self._name, *wanted)
        except (Absent, Conflict) as error:
            raise KernelClosed(f"kernel {self._name} is gone: {error}") from error
        self._in_force = wanted

    async def _overfull(self, limits: Limits) -> bool:
        """Whether the kernel's changes take more than `disk_mb`, and more than when it was last looked at."""
        what = f"the size of kernel {self._name}"
        found = await self._engine.call(
            what, self._engine.api.containers, all=True, size=True, filters={"name": f"^/?{self._name}$"}
        )
        if not found:
            return False  # it is gone, which the next call tells
        before, self._disk = self._disk, int(found[0].get("SizeRw") or 0)
        return self._disk > max(before, limits.disk_mb * _MIB)


def _answer(heard: Heard) -> _Answer | None:
    """The answer of a command, None when it gave none or one that our script does not give."""
    found = _ANSWER.fullmatch(heard.answer or b"")
    if found is None:
        return None
    code, how, oom, forks, cpu, texts = found.groups()
    return _Answer(int(code), how.decode(errors="replace"), (int(oom), int(forks)), cpu == b"1", texts)
