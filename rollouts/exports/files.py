"""Files of rows: written beside their place, moved there when they are whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigError
from ..store import dump_json
from .exporter import Exporter, Row

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
    """Takes rows one by one; `finish` makes the file (or files) appear, `discard` leaves nothing."""

    def write(self, row: Row) -> None: ...
    def finish(self) -> list[Written]: ...
    def discard(self) -> None: ...


#: name -> "module:class"; the class takes where the file goes (without a suffix) and the exporter.
FILES = {
    "jsonl": "rollouts.exports.files:JsonlFile",
    "parquet": "rollouts.exports.files:ParquetFile",
    "nested": "rollouts.exports.nested:NestedParquetFile",
    "rllib": "rollouts.exports.rllib_file:RllibFile",
    "minari": "rollouts.exports.minari:MinariFile",
}


def open_file(fmt: str, stem: Path, exporter: Exporter) -> RowFile:
    """A file of one of the exporter's formats at `stem` with its suffix. `OSError` as the disk gives it."""
    if fmt not in exporter.formats:
        raise ConfigError(f"file format {fmt!r}: {exporter.name} is written as {', '.join(exporter.formats)}")
    module, _, name = FILES[fmt].partition(":")
    make: Callable[[Path, Exporter], RowFile] = getattr(import_module(module), name)
    return make(stem, exporter)


class JsonlFile:
    """One JSON object per line."""

    def __init__(self, stem: Path, exporter: Exporter) -> None:
        self.path = path = stem.with_name(f"{stem.name}.jsonl")
        self._part, self._rows, self._hash = part_of(path), 0, sha256()
        self._file = self._part.open("wb", buffering=1 << 20)

    def write(self, row: Row) -> None:
        """Add a row."""
        line = dump_json(row) + b"\n"
        self._file.write(line)
        self._hash.update(line)
        self._rows += 1

    def finish(self) -> list[Written]:
        """Put the file in place."""
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        self._part.replace(self.path)
        return [Written(self.path, self._rows, size, self._hash.hexdigest())]

    def discard(self) -> None:
        """Leave nothing."""
        _close_quietly(self._file.close)
        self._part.unlink(missing_ok=True)


class ParquetFile:
    """Scalar columns, and everything else of the row as JSON in `payload`; zstd."""

    def __init__(self, stem: Path, exporter: Exporter) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
        self.path = path = stem.with_name(f"{stem.name}.parquet")
        self._part, self._rows, columns = part_of(path), 0, exporter.columns
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

    def finish(self) -> list[Written]:
        """Put the file in place."""
        self._flush()
        self._writer.close()
        written = put_in_place(self._part, self.path, self._rows)
        return [written]

    def discard(self) -> None:
        """Leave nothing."""
        _close_quietly(self._writer.close)
        self._part.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._buffer["payload"]:
            self._writer.write_table(self._pa.table(self._buffer, schema=self._schema))
            self._buffer = {name: [] for name in self._schema.names}
            self._buffered = 0


def part_of(path: Path) -> Path:
    """Where a file is written until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def put_in_place(part: Path, path: Path, rows: int) -> Written:
    """Move a finished file where it belongs, on the disk and with its digest."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
        digest, size = sha256(), 0
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    part.replace(path)
    return Written(path, rows, size, digest.hexdigest())


def _close_quietly(close: Callable[[], object]) -> None:
    """Close a file whose writing has failed already; its second complaint would hide the first."""
    try:
        close()
    except OSError:
        pass
