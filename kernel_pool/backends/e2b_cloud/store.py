"""Which E2B snapshot holds which state, on disk, for every process that shares the state directory.

    <room>/bases/<key>.json              a base: E2B snapshot, user, environment, workdir, everything in it
    <room>/states/<base>.<layer>.json    a state: E2B snapshot, and its difference from the base
    <room>/locks/<key>                   held while a base is built

The files themselves lie with E2B. Each record appears by rename, whole or not at all.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import KernelError, SnapshotMissing
from ...kernel import Snapshot
from ..local.tree import Difference, Entry
from ..trees import name_of

Signature = tuple[int, int, int, int]  #: size, mtime, ctime, inode


@dataclass(frozen=True)
class Base:
    """What is known of a base."""

    snapshot: str  #: E2B's id
    env: dict[str, str]
    workdir: str
    places: list[str]  #: where the kernel's user can change anything
    entries: Difference
    signatures: dict[str, Signature]  #: of its files, when they were hashed


class Store:
    """The records above."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self._bases: dict[str, tuple[int, Base]] = {}  # with the time its record was written

    def create(self) -> None:
        """Make the directories. Raises `KernelError`."""
        try:
            for name in ("bases", "states", "locks"):
                (self.room / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KernelError(f"the state directory {self.room} cannot be used: {error}") from error

    def has_base(self, key: str) -> bool:
        """Whether a base with this key was built."""
        return self._file("bases", key).is_file()

    def base(self, key: str) -> Base:
        """The base. Raises `SnapshotMissing`."""
        try:
            written = self._file("bases", key).stat().st_mtime_ns
        except FileNotFoundError:
            written = 0
        if key not in self._bases or self._bases[key][0] != written:
            record = self._read("bases", key)
            entries = _entries(record.pop("entries"))
            signatures = {path: _signature(values) for path, values in record.pop("signatures").items()}
            self._bases[key] = written, Base(**record, entries=entries, signatures=signatures)
        return self._bases[key][1]

    def put_base(self, key: str, base: Base) -> None:
        """Remember a base."""
        self._write("bases", key, {**asdict(base), "entries": _plain(base.entries)})

    def cloud_id(self, snapshot: Snapshot) -> str:
        """The E2B snapshot that holds a state's files. Raises `SnapshotMissing`."""
        if not snapshot.layers:
            return self.base(snapshot.base).snapshot
        return str(self._read("states", name_of(snapshot.base, snapshot.layers))["snapshot"])

    def has_state(self, snapshot: Snapshot) -> bool:
        """Whether an E2B snapshot with this state's files is known."""
        return not snapshot.layers or self._file("states", name_of(snapshot.base, snapshot.layers)).is_file()

    def difference(self, snapshot: Snapshot) -> Difference:
        """What a state has on top of its base. Raises `SnapshotMissing`."""
        if not snapshot.layers:
            return {}
        return _entries(self._read("states", name_of(snapshot.base, snapshot.layers))["difference"])

    def put_state(self, snapshot: Snapshot, cloud_id: str, difference: Difference) -> None:
        """Remember a state."""
        record = {"snapshot": cloud_id, "difference": _plain(difference)}
        self._write("states", name_of(snapshot.base, snapshot.layers), record)

    def forget(self, snapshot: Snapshot, cloud_id: str) -> None:
        """E2B has lost it: what can be made again will be, unless somebody has done so."""
        if self.cloud_id(snapshot) == cloud_id:
            kind = "states" if snapshot.layers else "bases"
            self._file(kind, name_of(snapshot.base, snapshot.layers)).unlink(missing_ok=True)

    def old_states(self, age_s: float) -> list[tuple[Path, str]]:
        """(record, E2B's id) of states that were written longer ago than that. Bases are not among them."""
        oldest = time.time() - age_s
        records = [path for path in self.room.glob("states/*.json") if path.stat().st_mtime < oldest]
        return [(path, str(json.loads(path.read_text())["snapshot"])) for path in records]

    def _file(self, kind: str, name: str) -> Path:
        return self.room / kind / f"{name}.json"

    def _read(self, kind: str, name: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self._file(kind, name).read_text())
        except FileNotFoundError:
            raise SnapshotMissing(
                f"state {name[:12]} is not known in {self.room}; made on another node, or E2B has lost it"
            ) from None
        return record

    def _write(self, kind: str, name: str, record: dict[str, Any]) -> None:
        new = self.room / kind / f".{uuid.uuid4().hex}"
        try:
            new.write_text(json.dumps(record))
            new.replace(self._file(kind, name))
        except OSError as error:
            new.unlink(missing_ok=True)
            raise KernelError(f"a state could not be remembered in {self.room}: {error}") from error


def _plain(difference: Difference) -> dict[str, dict[str, object]]:
    return {path: entry.identity() for path, entry in difference.items()}


def _entries(plain: dict[str, dict[str, Any]]) -> Difference:
    return {
        path: Entry(**{**fields, "xattrs": tuple((name, value) for name, value in fields["xattrs"])})
        for path, fields in plain.items()
    }


def _signature(values: list[int]) -> Signature:
    size, modified, changed, inode = values
    return size, modified, changed, inode
