"""A run on disk: a directory that is only ever appended to, and can be resumed after anything.

config.yaml       the effective config; resuming with another one is refused
manifest.json     run id, schema and code version, when it was created
branches/*.jsonl  branch records, one file per writer, one record per line (a fork without its shared prefix)
rankings.jsonl  attempts.jsonl  events.jsonl  snapshots/  exports/
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json

from ..errors import ConfigError, RunDirError, StorageRefused
from ..records import SCHEMA_VERSION, BranchRecord, RankingRecord
from .index import BranchIndex, Entry, first_reason
from .jsonl import Appender, Problems, dump_json, read_lines, without_surrogates, write_atomically
from .prefix import MARK, split
from .reader import RecordReader

KIND = "rollout-fork/run"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class RunStore:
    """One run directory. Made by `create` (to write; one process at a time) or `open` (to read).

    What cannot be read (a torn or corrupt line) is skipped and noted in `problems`. Everything raises
    `RunDirError` with place and reason when the disk refuses; what was written before stays valid.
    """

    def __init__(self, path: Path, *, writable: bool, sync: bool) -> None:
        """Use `create` or `open`."""
        self.path = path
        self.problems = Problems()
        self._sync, self._writable = sync, writable
        self._manifest = _read_manifest(path)
        self._index = BranchIndex(path / "branches", self.problems)
        self._reader = RecordReader(self._index, self.problems)
        self._appenders: dict[str, Appender] = {}
        self._lock = _lock(path / ".lock") if writable else None

    @classmethod
    def create(
        cls, path: Path | str, config_yaml: str | None, run_id: str | None = None, *, sync: bool = True
    ) -> RunStore:
        """Make a run directory, or resume the run that is there; takes the lock of its one writer.

        `config_yaml` is the effective config; None takes the run as it is, and it must exist. `run_id`
        defaults to the directory's name with a random end, for it tells runs apart in a shared memory.
        Raises `RunDirError` when the directory is something else, when the run there has another config
        (the difference is shown), or when another process is writing to it.
        """
        path = Path(path)
        if config_yaml is not None and not (path / "manifest.json").exists():
            _make(path, config_yaml, run_id)
        store = cls(path, writable=True, sync=sync)
        try:
            if config_yaml is not None:
                _check_same(store.config_text, config_yaml, path)
            if run_id is not None and run_id != store.run_id:
                raise RunDirError(f"{path}: holds run {store.run_id}, not {run_id}; choose another directory")
        except RunDirError:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, path: Path | str) -> RunStore:
        """A run to read, also while another process writes it. Raises `ConfigError` when it is no run."""
        path = Path(path)
        if not path.is_dir():
            raise ConfigError(f"{path}: no such run directory")
        try:
            return cls(path, writable=False, sync=False)
        except RunDirError as error:
            raise ConfigError(str(error)) from None

    @property
    def run_id(self) -> str:
        """The name of the run in all its records."""
        return str(self._manifest["run_id"])

    @property
    def config_text(self) -> str:
        """config.yaml as it is stored."""
        try:
            return (self.path / "config.yaml").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunDirError(f"{self.path / 'config.yaml'}: cannot be read ({error})") from None

    @property
    def manifest(self) -> dict[str, Any]:
        """What manifest.json says."""
        return dict(self._manifest)

    # Writing

    def writer(self, name: str) -> BranchWriter:
        """The writer of `branches/<name>.jsonl`; one per file at a time."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"writer {name!r}: letters, digits, dot, dash and underscore only")
        appender = self._appender(f"branches/{name}.jsonl", sync=self._sync)
        return BranchWriter(appender, self._index, self._reader)

    def append_ranking(self, ranking: RankingRecord) -> None:
        """Add a ranking; a later one of the same rollout replaces it for readers."""
        self._appender("rankings.jsonl", sync=self._sync).append_json(ranking)

    def append_attempt(self, attempt: dict[str, Any]) -> None:
        """Add a line on an attempt, also one whose branch is tried again."""
        self._appender("attempts.jsonl").append_json({"at": _now(), **attempt})

    def event(self, kind: str, **fields: Any) -> None:
        """Add what the orchestrator did, with the time."""
        self._appender("events.jsonl").append_json({"at": _now(), "kind": kind, **fields})

    # Reading

    def branches(self) -> Iterator[BranchRecord]:
        """All branch records as they were written, each once; one in memory at a time."""
        for entry in self._index.entries():
            if record := self.load(entry):
                yield record

    def rollouts(self) -> Iterator[list[BranchRecord]]:
        """The branches of one rollout after the other, by rollout id; inside it by index."""
        for entries in self.groups().values():
            if group := [record for entry in entries if (record := self.load(entry))]:
                yield group

    def rollout(self, rollout_id: str) -> Iterator[BranchRecord]:
        """The branches of one rollout by index."""
        wanted = [entry for entry in self._index.entries() if entry.rollout_id == rollout_id]
        return (record for entry in sorted(wanted, key=_order) if (record := self.load(entry)))

    def groups(self) -> dict[str, list[Entry]]:
        """Where the records of each rollout lie, in the order of `rollouts`; small, whatever their size."""
        groups: dict[str, list[Entry]] = {}
        for entry in sorted(self._index.entries(), key=_order):
            groups.setdefault(entry.rollout_id, []).append(entry)
        return groups

    def load(self, entry: Entry) -> BranchRecord | None:
        """One record; None, and a note in `problems`, when the line is not one (or lacks its parent)."""
        return self._reader.load(entry)

    def keys(self) -> set[tuple[str, str]]:
        """(rollout_id, branch_id) of every branch that is done. Cheap: only lineages are built."""
        return self._index.keys()

    def rankings(self) -> dict[str, RankingRecord]:
        """The last ranking of each rollout."""
        path, found = self.path / "rankings.jsonl", dict[str, RankingRecord]()
        for line in read_lines(path, self.problems):
            try:
                ranking = RankingRecord.model_validate_json(line.data)
                found[ranking.rollout_id] = ranking
            except ValidationError as error:
                self.problems.note(path, line.number, first_reason(error))
        return found

    def attempts(self) -> Iterator[dict[str, Any]]:
        """The lines of attempts.jsonl."""
        return self._objects("attempts.jsonl")

    def events(self) -> Iterator[dict[str, Any]]:
        """The lines of events.jsonl."""
        return self._objects("events.jsonl")

    def close(self) -> None:
        """Close all files and give the lock back. Idempotent."""
        for appender in self._appenders.values():
            appender.close()
        self._appenders.clear()
        self._index.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._writable = False

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _appender(self, name: str, *, sync: bool = False) -> Appender:
        if not self._writable:
            raise RunDirError(f"{self.path}: opened for reading; nothing can be added")
        if name not in self._appenders:
            self._appenders[name] = Appender(self.path / name, sync=sync)
        return self._appenders[name]

    def _objects(self, name: str) -> Iterator[dict[str, Any]]:
        path = self.path / name
        for line in read_lines(path, self.problems):
            try:
                value = json.loads(line.data)
            except ValueError as error:
                self.problems.note(path, line.number, f"no JSON ({error})")
                continue
            if isinstance(value, dict):
                yield value


class BranchWriter:
    """Adds branch records to one file of a run; closed with its store."""

    def __init__(self, appender: Appender, index: BranchIndex, reader: RecordReader) -> None:
        self._appender, self._index, self._reader = appender, index, reader

    def append(self, record: BranchRecord) -> bool:
        """Write a record; False when the run has this branch already, which is never written twice."""
        if record.key in self._index:
            return False
        parent = self._reader.parent_of(record)
        own = split(record, parent) if parent is not None else None
        self._appender.append(_dump(record) if own is None else _marked(_dump(own[0]), own[1]))
        return True

    def __enter__(self) -> BranchWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to do: every line is on its way to the disk when `append` returns."""


def code_version() -> str:
    """The version of this package, "unknown" when it runs from a tree that was never installed."""
    try:
        return metadata.version("rollout-fork")
    except metadata.PackageNotFoundError:
        return "unknown"


def _order(entry: Entry) -> tuple[str, int, str]:
    return entry.rollout_id, entry.index, entry.branch_id


def _dump(record: BranchRecord) -> bytes:
    try:
        return record.model_dump_json(fallback=str).encode()
    except (PydanticSerializationError, UnicodeEncodeError):  # text with lone surrogates
        return dump_json(without_surrogates(record.model_dump()))


def _marked(line: bytes, digest: str) -> bytes:
    """A line without its prefix, which says so."""
    data = from_json(line)
    data["trajectory"][MARK] = digest
    return dump_json(data)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")


def _read_manifest(path: Path) -> dict[str, Any]:
    place = path / "manifest.json"
    try:
        manifest = json.loads(place.read_bytes())
    except FileNotFoundError:
        raise RunDirError(f"{path}: is not a run directory (it has no manifest.json)") from None
    except (OSError, ValueError) as error:
        raise RunDirError(f"{place}: cannot be read ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND or not manifest.get("run_id"):
        raise RunDirError(f"{path}: is not a run directory (its manifest.json is of something else)")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        found = manifest.get("schema_version")
        raise RunDirError(f"{place}: written as {found}, this version reads {SCHEMA_VERSION}")
    return manifest


def _make(path: Path, config_yaml: str, run_id: str | None) -> None:
    """Make the directory beside its place and move it there whole."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise RunDirError(f"{path}: exists and is no directory; choose another --out")
    if path.is_dir() and any(path.iterdir()):
        raise RunDirError(f"{path}: is not empty and not a run directory; choose another --out")
    run_id = run_id or f"{path.resolve().name}-{secrets.token_hex(4)}"
    part = path.with_name(f".{path.resolve().name}.{os.getpid()}.part")
    manifest = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "created": _now(),
        "code_version": code_version(),
    }
    try:
        for name in ("branches", "snapshots", "exports"):
            (part / name).mkdir(parents=True, exist_ok=True)
        text = f"# rollout-fork {code_version()}: the effective config of run {run_id}\n{config_yaml}"
        write_atomically(part / "config.yaml", text.encode())
        write_atomically(part / "manifest.json", json.dumps(manifest, indent=2).encode() + b"\n")
        part.rename(path)
    except OSError as error:
        raise StorageRefused(f"{path}: cannot be created ({error.strerror or error})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_same(stored: str, given: str, path: Path) -> None:
    old, new = _flat(yaml.safe_load(stored)), _flat(yaml.safe_load(given))
    changed = [
        f"{key}: {old.get(key, 'not set')!r} there, {new.get(key, 'not set')!r} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)  # a setting that came later and is not used is no difference
    ]
    if changed:
        more = f" (and {len(changed) - 5} more)" if len(changed) > 5 else ""
        raise RunDirError(
            f"{path}: holds a run with another config ({'; '.join(changed[:5])}{more}); "
            "choose another --out, or give the same config to resume"
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    out: dict[str, Any] = {}
    for key, inner in value.items():
        out |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return out


def _lock(path: Path) -> int:
    """An exclusive lock that dies with this process."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(fd, 64, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise RunDirError(
                f"{path.parent}: process {owner} is writing to this run; wait or stop it"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise StorageRefused(f"{path}: cannot be locked ({error.strerror or error})") from None
    return fd
