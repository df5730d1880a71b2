"""Where each branch record lies in a run's files, without building the records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, ValidationError

from envs.trajectory import MISSING

from ..errors import StorageRefused
from .jsonl import Problems, read_lines


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of one record, and its place in the tree of its rollout."""

    rollout_id: str
    branch_id: str
    index: int
    parent: str | None
    fork_step: int
    steps: int  #: shared ones included
    reward: float | None  #: None: missing, or no number
    fork_by: str
    shared: str  #: digest of the prefix that stands in the parent's line; "": the line is whole
    path: Path
    line: int  #: 1-based
    offset: int
    length: int

    @property
    def key(self) -> tuple[str, str]:
        """Like `BranchRecord.key`."""
        return self.rollout_id, self.branch_id


class _Lineage(BaseModel):
    rollout_id: str
    branch_id: str
    index: int
    parent: str | None = None
    fork_step: int = 0
    fork_by: str = ""


class _Result(BaseModel):
    ending: str = ""
    reward: float | None = None
    steps: int = 0

    @property
    def known(self) -> float | None:
        """The reward where there is one."""
        unknown = self.reward is None or self.ending in MISSING or not math.isfinite(self.reward)
        return None if unknown else self.reward


class _Trajectory(BaseModel):
    shared: str = ""


class _Head(BaseModel):
    """What the index builds of a line. The whole line is still parsed as JSON, so that a corrupt one
    never counts as a finished branch."""

    schema_version: Literal["rollout-fork/v1"]
    lineage: _Lineage
    result: _Result = _Result()
    trajectory: _Trajectory = _Trajectory()


class BranchIndex:
    """Grows with the files: each look reads only what was added since the last one.

    The first record of a branch counts; a later one of the same key is noted as a problem.
    """

    def __init__(self, directory: Path, problems: Problems) -> None:
        self._directory, self._problems = directory, problems
        self._entries: dict[tuple[str, str], Entry] = {}
        self._later: dict[tuple[str, str], list[Entry]] = {}  # of the same keys
        self._read: dict[Path, tuple[int, int]] = {}  # file -> (offset, lines) read so far
        self._open: tuple[Path, BinaryIO] | None = None

    def entries(self) -> list[Entry]:
        """All records, file by file in name order as far as they were there at the first look."""
        self._refresh()
        return list(self._entries.values())

    def get(self, key: tuple[str, str]) -> Entry | None:
        """One record's place."""
        self._refresh()
        return self._entries.get(key)

    def drop(self, entry: Entry) -> Entry | None:
        """A record turned out not to be readable: the next one of its key counts, which is returned."""
        if self._entries.get(entry.key) is not entry:
            return None
        del self._entries[entry.key]
        later = self._later.get(entry.key)
        if later:
            self._entries[entry.key] = later.pop(0)
        return self._entries.get(entry.key)

    def keys(self) -> set[tuple[str, str]]:
        """The keys of all records."""
        self._refresh()
        return set(self._entries)

    def __contains__(self, key: tuple[str, str]) -> bool:
        self._refresh()
        return key in self._entries

    def read(self, entry: Entry) -> bytes:
        """The line of a record."""
        try:
            if self._open is None or self._open[0] != entry.path:
                self.close()
                self._open = entry.path, entry.path.open("rb")
            file = self._open[1]
            file.seek(entry.offset)
            return file.read(entry.length)
        except OSError as error:
            raise StorageRefused(f"{entry.path}: cannot be read ({error.strerror or error})") from None

    def close(self) -> None:
        """Idempotent."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _refresh(self) -> None:
        try:
            files = sorted(p for p in self._directory.glob("*.jsonl") if not p.is_symlink())
            sizes = {path: path.stat().st_size for path in files}
        except OSError as error:
            raise StorageRefused(f"{self._directory}: cannot be read ({error.strerror or error})") from None
        for path, size in sizes.items():
            offset, lines = self._read.get(path, (0, 0))
            if size > offset:
                self._scan(path, offset, lines)

    def _scan(self, path: Path, offset: int, lines: int) -> None:
        for line in read_lines(path, self._problems, offset, lines):
            self._read[path] = (line.offset + len(line.data) + 1, line.number)
            try:
                head = _Head.model_validate_json(line.data)
            except ValidationError as error:
                self._problems.note(path, line.number, first_reason(error))
                continue
            self._problems.forget(path, line.number)
            lineage = head.lineage
            entry = Entry(
                lineage.rollout_id,
                lineage.branch_id,
                lineage.index,
                lineage.parent,
                lineage.fork_step,
                lineage.fork_step + head.result.steps,
                head.result.known,
                lineage.fork_by,
                head.trajectory.shared,
                path,
                line.number,
                line.offset,
                len(line.data),
            )
            known = self._entries.setdefault(entry.key, entry)
            if known is not entry:
                self._later.setdefault(entry.key, []).append(entry)
                reason = (
                    f"branch {'/'.join(entry.key)} again; the one at {known.path.name}:{known.line} counts"
                )
                self._problems.note(path, line.number, reason)


def first_reason(error: ValidationError) -> str:
    """The first problem of a record in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
