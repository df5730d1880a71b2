"""A kernel that is a directory: its commands are ordinary processes that start in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import FileAccessError, KernelClosed
from ..journal import MARK, end_processes
from ..kernel import ExecResult, FileInfo, Limits, OutputSink, Snapshot
from . import beneath, processes
from .local.inside import shell
from .local.tree import Difference, HashCache, scan

#: Stand for what differs from kernel to kernel in a saved shell state.
_ROOT_TOKEN, _ID_TOKEN = "@KERNEL_ROOT@", "@KERNEL_ID@"
#: Directories of the machine that argument paths keep meaning, even when the kernel has one of that name.
_MACHINE = frozenset(("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "proc", "dev", "sys", "etc"))
#: The interpreter's own directories do too, wherever they lie (a checkout below /tmp has its .venv there).
_TOOLS = (sys.prefix, sys.base_prefix)


@dataclass(frozen=True)
class Mounted:
    """A directory laid over a path of the kernel."""

    target: str  #: relative to the kernel's root
    hidden: Path  #: a directory that holds what the kernel had there, at the same path; may be absent
    made: tuple[str, ...]  #: directories made only to hold it


@dataclass(frozen=True)
class Setting:
    """What a kernel's commands start with."""

    env: Mapping[str, str]  #: of the base
    workdir: str  #: absolute path inside the kernel
    state: str  #: saved shell


class PlainKernel:
    """`kernel_pool.kernel.Kernel` over a directory `room` with `root/` in it. Made by `SubprocessBackend`."""

    def __init__(
        self,
        kernel_id: str,
        room: Path,
        setting: Setting,
        limits: Limits,
        mounted: Sequence[Mounted],
        *,
        freeze: Callable[[PlainKernel], Awaitable[Snapshot]],
        dispose: Callable[[], Awaitable[None]],
    ) -> None:
        self.root = room / "root"
        self.changed = False  #: something ran or was written since the last snapshot
        self._id = kernel_id
        self._room = room
        self._setting = setting
        self._limits = limits
        self._mounted = tuple(mounted)
        self._freeze = freeze
        self._dispose = dispose
        self._state = self._localised(setting.state).encode("utf-8", "surrogateescape")
        self._pristine: bytes | None = None
        self._hashes = HashCache()
        self._one_at_a_time = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        files = room / "shell"
        files.mkdir(exist_ok=True)
        self._files = {
            number: files / str(number) for number in range(shell.PROLOGUE_FD, shell.COMMAND_FD + 1)
        }
        self._stdin = files / "stdin"

    @property
    def id(self) -> str:
        """See `Kernel.id`."""
        return self._id

    @property
    def shell_state(self) -> str:
        """The saved shell, in terms that hold in any kernel. Untrusted text."""
        text = self._state.decode("utf-8", "surrogateescape")
        return text.replace(str(self.root), _ROOT_TOKEN).replace(self._id, _ID_TOKEN)

    async def run(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limits: Limits | None = None,
        on_output: OutputSink | None = None,
    ) -> ExecResult:
        """See `Kernel.run`."""
        if not command:
            raise ValueError("an empty command")
        async with self._one_at_a_time:
            self._must_be_open()
            texts = [command] if isinstance(command, str) else [os.fspath(part) for part in command]
            if not all(map(_can_be_passed, [*texts, cwd or "", *(env or {}), *(env or {}).values()])):
                return ExecResult(126, b"", b"a command cannot hold NUL or lone surrogates\n", 0.0)
            self.changed = True
            self._stdin.write_bytes(stdin)
            if isinstance(command, str):
                result = await self._run_shell(command, cwd, dict(env or {}), limits, on_output)
            else:
                argv = [self._argument(os.fspath(part)) for part in command]
                result = await self._execute(argv, cwd, {**self._env(), **(env or {})}, limits, on_output)
            self._must_be_open()  # closed meanwhile: that is what ended the command
            return result

    async def read(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes:
        """See `Kernel.read`."""
        async with self._one_at_a_time:
            self._must_be_open()
            with _as_asked(path):
                return await asyncio.to_thread(beneath.read, self.root, self._inside(path), max_bytes)

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """See `Kernel.write`."""
        async with self._one_at_a_time:
            self._must_be_open()
            self.changed = True
            with _as_asked(path):
                await asyncio.to_thread(self._write, path, data, mode)

    async def list(self, path: str = ".", *, depth: int = 1, max_entries: int = 10_000) -> list[FileInfo]:
        """See `Kernel.list`."""
        async with self._one_at_a_time:
            self._must_be_open()
            with _as_asked(path):
                inside = self._inside(path)
                return await asyncio.to_thread(beneath.listing, self.root, inside, depth, max_entries)

    async def snapshot(self) -> Snapshot:
        """See `Kernel.snapshot`."""
        async with self._one_at_a_time:
            self._must_be_open()
            return await self._freeze(self)

    async def healthy(self) -> bool:
        """See `Kernel.healthy`."""
        return self._closing is None and self.root.is_dir() and os.access(self.root, os.W_OK)

    async def close(self) -> None:
        """See `Kernel.close`."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    def entries(self) -> Difference:
        """Every file of the kernel as a snapshot sees it: without mounts, with what they hide."""
        found, _ = scan(self.root, self._hashes)
        for mount in self._mounted:
            kept = {path: entry for path, entry in found.items() if not _at_or_below(path, mount.target)}
            put_aside = scan(mount.hidden, self._hashes)[0] if mount.hidden.is_dir() else {}
            found = kept | {p: e for p, e in put_aside.items() if _at_or_below(p, mount.target)}
        for directory in (made for mount in self._mounted for made in reversed(mount.made)):
            if not any(path.startswith(f"{directory}/") for path in found):
                found.pop(directory, None)
        return found

    async def _close(self) -> None:
        await asyncio.to_thread(end_processes, self._id)
        async with self._one_at_a_time:
            await self._dispose()

    def _must_be_open(self) -> None:
        if self._closing is not None:
            raise KernelClosed(f"kernel {self._id} is closed")
        if not self.root.is_dir():
            raise KernelClosed(f"kernel {self._id} is gone: somebody removed {self.root}")

    def _write(self, path: str, data: bytes, mode: int) -> None:
        inside = self._inside(path)
        with beneath.located(self.root, inside, make=True) as (parent, name):
            place = beneath.where(self.root, parent, name)
            if any(place.is_relative_to(PurePosixPath("/", mount.target)) for mount in self._mounted):
                raise FileAccessError(path, FileAccessError.DENIED)
        beneath.write(self.root, inside, data, mode)

    async def _run_shell(
        self,
        command: str,
        cwd: str | None,
        env: dict[str, str],
        limits: Limits | None,
        on_output: OutputSink | None,
    ) -> ExecResult:
        argv, long_command = shell.arguments(command)
        start = None if cwd is None else str(self._place(cwd))
        learn = self._pristine is None
        contents = {
            shell.PROLOGUE_FD: shell.prologue(
                env=env, cwd=start, restore=bool(self._state), learn_pristine=learn
            ),
            shell.RESTORE_FD: self._state,
            shell.SAVE_FD: shell.SAVE_TEXT,
            shell.SAVE_PRISTINE_FD: shell.SAVE_PRISTINE_TEXT,
            shell.COMMAND_FD: long_command,
        }
        for number, path in self._files.items():
            path.write_bytes(contents.get(number, b""))
        result = await self._execute(argv, None, self._env(), limits, on_output, self._files)
        if learn:
            self._pristine = shell.canonical_state(self._files[shell.PRISTINE_FD].read_bytes())
        saved = self._files[shell.STATE_FD].read_bytes()
        text = shell.canonical_state(saved, env, self._state or self._pristine or b"")
        if text is not None:
            self._state = b"" if text == self._pristine else text
        return result

    async def _execute(
        self,
        argv: Sequence[str],
        cwd: str | None,
        env: Mapping[str, str],
        limits: Limits | None,
        on_output: OutputSink | None,
        files: Mapping[int, Path] | None = None,
    ) -> ExecResult:
        return await processes.run(
            argv,
            kernel_id=self._id,
            env=env,
            cwd=self._place(cwd or self._setting.workdir),
            stdin=self._stdin,
            limits=limits or self._limits,
            on_output=on_output,
            files=files,
        )

    def _env(self) -> dict[str, str]:
        mapped = {
            name: ":".join(self._argument(part) for part in value.split(":"))
            for name, value in self._setting.env.items()
        }
        return {
            **mapped,
            "TMPDIR": str(self.root / "tmp"),
            "KERNEL_ROOT": str(self.root),
            MARK: self._id,
        }

    def _argument(self, text: str) -> str:
        """An absolute path of the kernel as the machine knows it; anything else as it is."""
        if not text.startswith("/") or any(_at_or_below(text, tools) for tools in _TOOLS):
            return text
        top = text.split("/")[1]
        mapped = top and top not in _MACHINE and (self.root / top).is_dir()
        return f"{self.root}{text}" if mapped and not Path(text).is_relative_to(self.root) else text

    def _inside(self, path: str) -> str:
        path = posixpath.join(self._setting.workdir, path)
        return path.removeprefix(str(self.root)) if path.startswith(f"{self.root}/") else path

    def _place(self, path: str) -> Path:
        return Path(f"{self.root}/{self._inside(path)}")

    def _localised(self, text: str) -> str:
        return text.replace(_ROOT_TOKEN, str(self.root)).replace(_ID_TOKEN, self._id)


@contextlib.contextmanager
def _as_asked(path: str) -> Iterator[None]:
    """What went wrong is told of the path that was given, not of where it is on this machine."""
    try:
        yield
    except FileAccessError as error:
        raise FileAccessError(path, error.reason) from error


def _at_or_below(path: str, target: str) -> bool:
    return path == target or path.startswith(f"{target}/")


def _can_be_passed(text: str) -> bool:
    """Whether a program can be given this text at all."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
