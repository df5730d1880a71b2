"""Rows kept on disk until all of them are known, for files that begin with what only the end tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..store import dump_json
from .exporter import Row


class Spool:
    """Rows in the order they came. In memory is one of them."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._file = path.open("w+b", buffering=1 << 20)

    def write(self, row: Row) -> None:
        """Add a row."""
        self._file.write(dump_json(row) + b"\n")
        self.rows += 1

    def __iter__(self) -> Iterator[Row]:
        """All rows, from the first."""
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)

    def chunks(self, rows: int, size: int) -> Iterator[list[Row]]:
        """The same in lists: one ends with its row number `rows`, or with the byte of its lines number `size`."""
        self._file.seek(0)
        chunk, read = list[Row](), 0
        for line in self._file:
            chunk.append(json.loads(line))
            read += len(line)
            if read >= size or len(chunk) >= rows:
                yield chunk
                chunk, read = [], 0
        if chunk:
            yield chunk

    def discard(self) -> None:
        """Leave nothing. Idempotent."""
        try:
            self._file.close()
        except OSError:  # what could not be written has been said already
            pass
        self.path.unlink(missing_ok=True)
