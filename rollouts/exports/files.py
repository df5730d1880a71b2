"""Files of rows: written beside their place, moved there when they are whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigError
from ..store import dump_json
from .exporter import Column, Row

#: A Parquet row group is written at the first of these.
GROUP_ROWS, GROUP_BYTES = 2000, 8 * 1024 * 1024


@dataclass(frozen=True)
class Written:
    """A finished file."""

    path: Path
    rows: int
    bytes: int
    sha256: str


class RowFile(Protocol):
    """Takes rows one by one; `finish` makes the file appear, `discard` leaves nothing."""

    def write(self, row: Row) -> None: ...
    def finish(self) -> Written: ...
    def discard(self) -> None: ...


def open_file(fmt: str, stem: Path, columns: Mapping[str, Column]) -> RowFile:
    """A file of a format ("jsonl" or "parquet") at `stem` with its suffix. `OSError` as the disk gives it."""
    makers: dict[str, Callable[[Path, Mapping[str, Column]], RowFile]] = {
        "jsonl": JsonlFile,
        "parquet": ParquetFile,
    }
    if fmt not in makers:
        raise ConfigError(f"file format {fmt!r}: unknown; known: {', '.join(makers)}")
    return makers[fmt](stem.with_name(f"{stem.name}.{fmt}"), columns)


class JsonlFile:
    """One JSON object per line."""

    def __init__(self, path: Path, columns: Mapping[str, Column]) -> None:
        self.path, self._part, self._rows, self._hash = path, _part(path), 0, sha256()
        self._file = self._part.open("wb", buffering=1 << 20)

    def write(self, row: Row) -> None:
        """Add a row."""
        line = dump_json(row) + b"\n"
        self._file.write(line)
        self._hash.update(line)
        self._rows += 1

    def finish(self) -> Written:
        """Put the file in place."""
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        self._part.replace(self.path)
        return Written(self.path, self._rows, size, self._hash.hexdigest())

    def discard(self) -> None:
        """Leave nothing."""
        _close_quietly(self._file.close)
        self._part.unlink(missing_ok=True)


class ParquetFile:
    """Scalar columns, and everything else of the row as JSON in `payload`; zstd."""

    def __init__(self, path: Path, columns: Mapping[str, Column]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
        self.path, self._part, self._rows = path, _part(path), 0
        fields = [(name, kinds[kind]) for name, kind in columns.items()]
        self._schema = pa.schema([*fields, ("payload", pa.string())])
        self._columns, self._pa = columns, pa
        self._buffer: dict[str, list[Any]] = {name: [] for name in self._schema.names}
        self._buffered = 0
        self._writer = pq.ParquetWriter(self._part, self._schema, compression="zstd")

    def write(self, row: Row) -> None:
        """Add a row."""
        payload = dump_json({key: value for key, value in row.items() if key not in self._columns}).decode()
        for name in self._columns:
            value = row.get(name)
            self._buffer[name].append(value)
            self._buffered += len(value) if isinstance(value, str) else 8
        self._buffer["payload"].append(payload)
        self._buffered += len(payload)
        self._rows += 1
        if self._buffered >= GROUP_BYTES or len(self._buffer["payload"]) >= GROUP_ROWS:
            self._flush()

    def finish(self) -> Written:
        """Put the file in place."""
        self._flush()
        self._writer.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
            digest, size = sha256(), 0
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
        self._part.replace(self.path)
        return Written(self.path, self._rows, size, digest.hexdigest())

    def discard(self) -> None:
        """Leave nothing."""
        _close_quietly(self._writer.close)
        self._part.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._buffer["payload"]:
            self._writer.write_table(self._pa.table(self._buffer, schema=self._schema))
            self._buffer = {name: [] for name in self._schema.names}
            self._buffered = 0


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _close_quietly(close: Callable[[], object]) -> None:
    """Close a file whose writing has failed already; its second complaint would hide the first."""
    try:
        close()
    except OSError:
        pass
