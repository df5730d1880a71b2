"""The tools every task has. Paths are relative to the task's working directory unless absolute.

A command's observation begins with one line on how it ended (`exit code 0`, `timed out after 60 s`, ...);
its output stands below, standard error after standard output.
"""

from __future__ import annotations

import io
import posixpath
import shlex
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from kernel_pool import ExecResult, FileAccessError, Limits

from .errors import ToolError
from .tools import ToolContext, ToolOutput

#: A command with any of these needs a shell.
_SHELL_CHARACTERS = frozenset("|&;<>()$`\\*?[]{}~!#\n")
_SHELL_COMMANDS = frozenset(
    {".", ":", "alias", "cd", "eval", "exec", "exit", "export", "set", "source", "trap", "ulimit", "umask"}
    | {"unset", "if", "for", "while", "until", "case", "function", "time", "test"}
)

_COUNTED_MATCHES = 100


async def bash(
    context: ToolContext, command: str, timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
) -> ToolOutput:
    """Run a command in the task's bash shell. The shell keeps its working directory, variables and functions
    from call to call. The first line of the result says how the command ended.

    Args:
        command: The command line, or a whole script.
        timeout_s: Seconds after which the command is ended.
    """
    _no_nul(command, "command")
    limits = context.limits.with_wall(min(timeout_s, context.limits.wall_s))
    return _told(await context.kernel.run(command, limits=limits), limits)


async def read_file(
    context: ToolContext,
    path: str,
    offset: Annotated[int, Field(ge=1)] | None = None,
    limit: Annotated[int, Field(ge=1)] | None = None,
) -> ToolOutput:
    """Read a text file, whole or a range of its lines. Long texts are shortened: read them in ranges.

    Args:
        path: The file.
        offset: The first line to read, counted from 1.
        limit: How many lines to read.
    """
    data = await _read(context, path)
    if offset is None and limit is None:
        return ToolOutput(data)
    lines = io.BytesIO(data).readlines()
    first = (offset or 1) - 1
    if first >= max(1, len(lines)):
        raise ToolError(f"{path} has only {len(lines)} lines")
    return ToolOutput(b"".join(lines[first : None if limit is None else first + limit]))


async def write_file(context: ToolContext, path: str, content: str) -> ToolOutput:
    """Write a file, making its directories. An existing file is replaced and keeps its permissions.

    Args:
        path: The file.
        content: Its whole new content.
    """
    _usable(path)
    data = content.encode()
    await context.kernel.write(path, data, mode=await _mode(context, path))
    return ToolOutput(f"wrote {len(data)} bytes to {path}")


async def edit_file(context: ToolContext, path: str, old: str, new: str) -> ToolOutput:
    """Replace a piece of text in a file. The old text must occur exactly once, whitespace included.

    Args:
        path: The file.
        old: The exact text to replace, with enough around it to be unique.
        new: The text to put in its place.
    """
    if not old:
        raise ToolError("`old` is empty; use write_file to write a whole file")
    if old == new:
        raise ToolError("`old` and `new` are the same text")
    data, piece = await _read(context, path), old.encode()
    matches = _matches(data, piece)
    if matches != 1:
        number = f"at least {matches}" if matches == _COUNTED_MATCHES else str(matches)
        raise ToolError(f"`old` matches {number} times in {path}; it must match exactly once")
    where = data.index(piece)
    changed = data[:where] + new.encode() + data[where + len(piece) :]
    await context.kernel.write(path, changed, mode=await _mode(context, path))
    line = data.count(b"\n", 0, where) + 1
    return ToolOutput(f"edited {path} at line {line}")


async def run_tests(
    context: ToolContext, timeout_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
) -> ToolOutput:
    """Run the task's own visible tests. The first line of the result says how they ended.

    Args:
        timeout_s: Seconds after which the tests are ended, where less than a command's usual time is wanted.
    """
    command = context.task.visible_tests
    argv = command_argv(command) if command else await _usual_tests(context)
    limits = context.limits.with_wall(min(timeout_s or context.limits.wall_s, context.limits.wall_s))
    return _told(await context.kernel.run(argv, limits=limits), limits)


async def submit(context: ToolContext, answer: str = "") -> ToolOutput:
    """Hand in the work as it is now. This ends the episode.

    Args:
        answer: The answer, where the task asks for one, or a sentence on what was done.
    """
    context.answer = answer
    return ToolOutput("submitted")


def command_argv(command: str) -> Sequence[str]:
    """A test command as an argument list: split when it is simple, else given to bash."""
    shell = ["bash", "-c", command]
    if _SHELL_CHARACTERS & set(command):
        return shell
    try:
        words = shlex.split(command)
    except ValueError:
        return shell
    if not words or "=" in words[0] or words[0] in _SHELL_COMMANDS:
        return shell
    return words


async def _usual_tests(context: ToolContext) -> Sequence[str]:
    """What to run when the task does not say: pytest where there are tests for it, else `make test`."""
    for entry in await context.kernel.list(context.task.base.workdir):
        name = entry.path
        if entry.kind == "dir" and name == "tests":
            break
        if (
            entry.kind == "file"
            and name.endswith(".py")
            and (name.startswith("test_") or name.endswith("_test.py"))
        ):
            break
    else:
        return ["make", "test"]
    return ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]


def _told(result: ExecResult, limits: Limits) -> ToolOutput:
    """A command's result as text, its ending first."""
    endings = {
        "exited": f"exit code {result.exit_code}",
        "signalled": f"killed by signal {result.signal}",
        "timeout": f"timed out after {limits.wall_s:g} s",
        "cpu": f"ended: it used more than {limits.cpu_s or 0:g} s of CPU time",
        "oom": f"ended: it used more than {limits.memory_mb} MiB of memory",
        "pids": f"ended: it started more than {limits.processes} processes",
        "disk": f"ended: it filled more than {limits.disk_mb} MiB of disk",
        "output": f"ended: it printed more than {limits.output_bytes} bytes",
        "cancelled": "cancelled",
    }
    parts = [endings[result.ended].encode(), b"\n", result.stdout]
    if result.stdout and not result.stdout.endswith(b"\n"):
        parts.append(b"\n")
    parts.append(result.stderr)
    return ToolOutput(b"".join(parts), result.exit_code, result.ended)


async def _read(context: ToolContext, path: str) -> bytes:
    _usable(path)
    try:
        return await context.kernel.read(path)
    except FileAccessError as error:
        if error.reason != FileAccessError.TOO_LARGE:
            raise
        raise ToolError(
            f"{error}; use bash with head, tail, grep or sed to see or change parts of it"
        ) from None


async def _mode(context: ToolContext, path: str) -> int:
    """The permissions of a file that is about to be replaced; ordinary ones for a new file."""
    parent, name = posixpath.split(path)
    try:
        entries = await context.kernel.list(parent or ".")
    except FileAccessError:
        return 0o644
    return next((e.mode for e in entries if e.path == name and e.kind == "file"), 0o644)


def _matches(data: bytes, piece: bytes) -> int:
    """How often a piece occurs, overlaps included, counted up to a bound."""
    count = 0
    position = data.find(piece)
    while position >= 0 and count < _COUNTED_MATCHES:
        count += 1
        position = data.find(piece, position + 1)
    return count


def _usable(path: str) -> None:
    if not path:
        raise ToolError("`path` is empty")
    _no_nul(path, "path")


def _no_nul(text: str, what: str) -> None:
    if "\0" in text:
        raise ToolError(f"`{what}` holds a NUL character")
