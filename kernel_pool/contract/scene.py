"""What a behaviour is given: the back-end, a base, and a directory of the host to play with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileAccessError, KernelError
from ..kernel import Backend, BaseSpec, CopyIn, ExecResult, Kernel, Limits, ReadOnlyMount, Snapshot


class Broken(AssertionError):
    """A promise is not kept."""


class NotPromised(Exception):
    """The back-end says itself that it does not give this."""


@dataclass(frozen=True)
class Scene:
    """One check's surroundings."""

    backend: Backend
    scratch: Path  #: an empty directory of the host

    async def base(self) -> Snapshot:
        """A small base: hello.txt, a directory `sub` with one file, variables BASE_VARIABLE and workdir /app."""
        source = self.scratch / "source"
        if not source.exists():
            (source / "sub").mkdir(parents=True)
            (source / "hello.txt").write_bytes(b"hello\n")
            (source / "sub" / "inner.txt").write_bytes(b"inner\n")
        return await self.backend.prepare(
            BaseSpec(env={"BASE_VARIABLE": "of the base"}, steps=(CopyIn(source, "/app"),))
        )

    @asynccontextmanager
    async def kernel(
        self,
        snapshot: Snapshot | None = None,
        *,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
    ) -> AsyncIterator[Kernel]:
        """A kernel that is closed at the end."""
        kernel = await self.backend.start(snapshot or await self.base(), limits=limits, mounts=mounts)
        try:
            yield kernel
        finally:
            await kernel.close()


def expect(holds: bool, otherwise: str) -> None:
    """Raise `Broken` with what was seen unless it holds."""
    if not holds:
        raise Broken(otherwise)


def promised(holds: bool, otherwise: str) -> None:
    """Leave the check, with the reason, when the back-end does not promise this."""
    if not holds:
        raise NotPromised(otherwise)


async def output(kernel: Kernel, command: str | Sequence[str], **options: str | None) -> str:
    """stdout of a command that has to end well."""
    result = await kernel.run(command, cwd=options.get("cwd"))
    expect(result.ok, f"{command!r} ended with {brief(result)}")
    return result.stdout.decode(errors="replace")


async def refused(work: Awaitable[object], reason: str) -> None:
    """Expect a `FileAccessError` for this reason."""
    try:
        seen = await work
    except FileAccessError as error:
        expect(error.reason.startswith(reason), f"refused as {error.reason!r} instead of {reason!r}")
    else:
        raise Broken(f"not refused ({reason}) but answered {seen!r:.80}")


async def raises(work: Awaitable[object], kind: type[KernelError]) -> KernelError:
    """Expect an error of this kind."""
    try:
        seen = await work
    except kind as error:
        return error
    raise Broken(f"no {kind.__name__} but {seen!r:.80}")


def brief(result: ExecResult) -> str:
    """A result in one line."""
    return (
        f"{result.ended} {result.exit_code} {result.signal} after {result.wall_s:.2f} s, "
        f"stdout {result.stdout[:120]!r}, stderr {result.stderr[:120]!r}"
    )
