"""Parquet with real nested columns, for trainers that read messages straight from the columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .exporter import Exporter, Row
from .files import GROUP_BYTES, GROUP_ROWS, Written, part_of, put_in_place
from .spool import Spool


class NestedParquetFile:
    """Every key of a row is a column; lists and objects keep their shape; zstd.

    Parquet knows no ragged objects: an object gets the keys of all others at its place, null where it has none,
    and an empty one becomes null. A column whose values have no common type is a `ConfigError`.
    Rows wait in a file beside it until the types of all are known.
    """

    def __init__(self, stem: Path, exporter: Exporter) -> None:
        self.path = stem.with_name(f"{stem.name}.parquet")
        self._name, self._part = exporter.name, part_of(self.path)
        self._fields: dict[str, Any] = {}  # column -> Arrow type so far
        self._spool = Spool(part_of(self.path.with_suffix(".waiting")))

    def write(self, row: Row) -> None:
        """Add a row. Raises `ConfigError` for one that does not go with those before it."""
        self._spool.write(row)
        for name, value in row.items():
            self._fields[name] = self._common(name, _filled(value))

    def finish(self) -> list[Written]:
        """Put the file in place."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(name, _writable(kind)) for name, kind in self._fields.items()])
        with pq.ParquetWriter(self._part, schema, compression="zstd") as writer:
            for chunk in self._spool.chunks(GROUP_ROWS, GROUP_BYTES):
                rows = [_filled(row) for row in chunk]
                columns = {
                    name: pa.array([r.get(name) for r in rows], schema.field(name).type)
                    for name in schema.names
                }
                writer.write_table(pa.table(columns, schema=schema))
        self._spool.discard()
        return [put_in_place(self._part, self.path, self._spool.rows)]

    def discard(self) -> None:
        """Leave nothing."""
        self._spool.discard()
        self._part.unlink(missing_ok=True)

    def _common(self, name: str, value: Any) -> Any:
        """The type that a column's values so far and this one have in common."""
        import pyarrow as pa

        known = self._fields.get(name, pa.null())
        try:
            both = [pa.schema([(name, kind)]) for kind in (known, pa.array([value]).type)]
            return pa.unify_schemas(both, promote_options="permissive").field(name).type
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            why = str(error).splitlines()[0]
            raise ConfigError(
                f"export {self._name}: column {name} has no common type ({why}); write it as jsonl"
            ) from None


def _filled(value: Any) -> Any:
    """A value without empty objects, which Parquet cannot write."""
    if isinstance(value, dict):
        return {key: _filled(inner) for key, inner in value.items()} or None
    return [_filled(inner) for inner in value] if isinstance(value, list) else value


def _writable(kind: Any) -> Any:
    """Columns that were null in every row are text: readers join files whose columns have a type."""
    import pyarrow as pa

    return pa.string() if pa.types.is_null(kind) else kind
