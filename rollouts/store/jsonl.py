"""Append-only JSON lines: one write per line, a torn tail repaired, nothing held in memory."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from ..errors import RunDirError, StorageRefused

#: Longer lines are reported and skipped: a record of a branch is some ten kilobytes.
MAX_LINE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Line:
    """One complete line, without its newline."""

    number: int  #: 1-based
    offset: int  #: of its first byte
    data: bytes


@dataclass(frozen=True)
class Problem:
    """Something in a run directory that could not be read."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


class Problems:
    """What could not be read, each place once. Iterates in the order it was found."""

    def __init__(self) -> None:
        self._places: dict[tuple[Path, int], Problem] = {}

    def note(self, path: Path, line: int, reason: str) -> None:
        """Remember a place, unless it is known."""
        self._places.setdefault((path, line), Problem(path, line, reason))

    def forget(self, path: Path, line: int) -> None:
        """A line that was torn when it was first seen is whole now."""
        self._places.pop((path, line), None)

    def __iter__(self) -> Iterator[Problem]:
        return iter(list(self._places.values()))

    def __len__(self) -> int:
        return len(self._places)


class Appender:
    """The only writer of one file. Every line is one write; what an error cut off is taken back.

    Opening truncates a torn last line (a writer that was killed), so that the next line starts clean.
    Raises `RunDirError` with the system's reason when the file cannot be written, or when somebody else
    is writing to it. `sync` waits for the disk after each line (about 1 ms), so that a power cut loses
    nothing either. Safe to use from several threads.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self.path, self._sync, self._mutex = path, sync, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(path, flags, 0o644)
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.repaired = self._repair()
        except BlockingIOError:
            os.close(self._fd)
            raise RunDirError(f"{path}: another process is writing to it") from None
        except OSError as error:
            os.close(self._fd)
            raise _unwritable(path, error) from None

    def append(self, line: bytes) -> None:
        """Write one line (without newline), whole or not at all."""
        data = memoryview(line + b"\n")
        with self._mutex:
            start = os.fstat(self._fd).st_size
            try:
                while data:  # a second round only when the disk is filling up; it then raises
                    data = data[os.write(self._fd, data) :]
                if self._sync:
                    os.fsync(self._fd)
            except OSError as error:
                self._take_back(start)
                raise _unwritable(self.path, error) from None

    def append_json(self, value: Any) -> None:
        """The same for any value; what JSON does not know is written as text, NaN and infinities as null."""
        self.append(dump_json(value))

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _repair(self) -> int:
        """Cut off what stands after the last newline; returns how many bytes that was."""
        size = os.fstat(self._fd).st_size
        end = size
        while end:
            begin = max(0, end - 65536)
            newline = os.pread(self._fd, end - begin, begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        if end < size:
            os.ftruncate(self._fd, end)
        return size - end

    def _take_back(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            pass  # the torn tail is ignored by readers and repaired by the next writer


def read_lines(path: Path, problems: Problems, offset: int = 0, number: int = 0) -> Iterator[Line]:
    """The complete lines of a file after the first `number` lines, which end at `offset`; streaming.

    A torn last line and an overlong one are left out and noted in `problems`. A file that is not there
    has no lines. Raises `RunDirError` when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while data := file.readline(MAX_LINE):
                number, start = number + 1, offset
                offset += len(data)
                if len(data) == MAX_LINE and not data.endswith(b"\n"):
                    while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                        offset += len(rest)
                    offset += len(rest)
                    problems.note(path, number, f"longer than {MAX_LINE} bytes; skipped")
                elif not data.endswith(b"\n"):
                    problems.note(path, number, "torn last line; ignored (the next writer removes it)")
                elif data.strip():
                    yield Line(number, start, data[:-1])
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageRefused(f"{path}: cannot be read ({error.strerror or error})") from None


def dump_json(value: Any) -> bytes:
    """Compact JSON of any value: always valid, UTF-8, no NaN."""
    try:
        return to_json(value, inf_nan_mode="null", fallback=str)
    except ValueError:  # lone surrogates, from bytes that were no UTF-8
        return to_json(without_surrogates(value), inf_nan_mode="null", fallback=str)


def without_surrogates(value: Any) -> Any:
    """The same plain data with every lone surrogate replaced, which JSON readers refuse."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {without_surrogates(k): without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_surrogates(v) for v in value]
    return value


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file whole or not at all. Raises `RunDirError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> StorageRefused:
    return StorageRefused(
        f"{path}: cannot be written ({error.strerror or error}); what was written before is intact"
    )
