"""An export from end to end: run directory -> gate -> exporter -> files -> manifest."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RunDirError, StorageRefused
from ..governance import Admitted, Gate
from ..store import Entry, RunStore, code_version, write_atomically
from .exporter import Exporter, check_formats, make_exporter
from .files import RowFile, Written, open_file
from .rollout import Credit, Rollout, Twig

KIND = "rollout-fork/export"


@dataclass
class ExportSummary:
    """What an export did. `branches` is all that were read: the admitted ones and the refused ones."""

    to: str
    rows: int = 0
    branches: int = 0
    admitted: int = 0
    excluded: Counter[str] = field(default_factory=Counter)  #: reason -> how many branches or pairs
    redactions: Counter[str] = field(default_factory=Counter)  #: kind of secret -> how many were replaced
    marked: int = 0  #: admitted branches with instruction-like text; they are in, and counted
    unreadable: int = 0  #: stored lines that are no records
    written: list[Written] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """The files, manifest last."""
        paths = [file.path for file in self.written]
        return [*paths, paths[0].with_name("manifest.json")] if paths else []

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the same for the same run: it holds no time and no absolute path."""
        return {
            "to": self.to,
            "rows": self.rows,
            "branches": self.branches,
            "admitted": self.admitted,
            "excluded": dict(sorted(self.excluded.items())),
            "redactions": dict(sorted(self.redactions.items())),
            "marked": self.marked,
            "unreadable": self.unreadable,
            "files": [
                {"name": f.path.name, "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256}
                for f in self.written
            ],
        }


def export(
    store: RunStore,
    to: str,
    out_dir: Path | str,
    *,
    fmt: Sequence[str] | None = None,
    gate: Gate | None = None,
    **options: Any,
) -> ExportSummary:
    """Write one kind of training data from a run; `options` go to the exporter.

    `fmt`: the file formats, by default the exporter's own.
    Streaming: what is in memory is the place of each record and one branch (for pairs: one rollout). Order
    is by rollout id and branch index, so the same run gives the same bytes. Files appear whole, with a
    `manifest.json` beside them that has counts, reasons and digests; other exports in the directory stay.

    Raises `ConfigError` for an unknown name, format or option, `RunDirError` when the directory cannot be
    written or holds a manifest of something else.
    """
    exporter, out_dir, gate = make_exporter(to, **options), Path(out_dir), gate or Gate()
    summary, files = ExportSummary(to), list[RowFile]()
    manifest = _read_manifest(out_dir)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as unfinished:
            for kind in exporter.formats if fmt is None else fmt:
                files.append(open_file(kind, out_dir / to, exporter))
                unfinished.callback(files[-1].discard)
            for row in _rows(store, exporter, gate, summary):
                summary.rows += 1
                for file in files:
                    file.write(row)
            summary.written = [written for file in files for written in file.finish()]
            unfinished.pop_all()
    except OSError as error:
        raise StorageRefused(f"{out_dir}: cannot be written ({error.strerror or error})") from None
    manifest["exports"][to] = {
        **summary.as_dict(),
        "run_id": store.run_id,
        "code_version": code_version(),
        "purpose": gate.policy.purpose,
    }
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    write_atomically(out_dir / "manifest.json", text.encode())
    return summary


def check_exports(names: Sequence[str]) -> None:
    """Whether these can be written here. Raises `ConfigError` for an unknown name, `EnvironmentLacks` for one
    whose library is not there, and names the extra."""
    check_formats(names)
    for name in names:
        exporter = make_exporter(name)
        with tempfile.TemporaryDirectory(prefix="rollout-export-") as place:
            for kind in exporter.formats:
                open_file(kind, Path(place) / name, exporter).discard()


def _rows(
    store: RunStore, exporter: Exporter, gate: Gate, summary: ExportSummary
) -> Iterator[dict[str, Any]]:
    groups = store.groups()
    for entries in groups.values():
        credit = Credit(Twig(e.branch_id, e.parent, e.fork_step, e.steps, e.reward) for e in entries)
        rollout = Rollout(_admitted(store, entries, gate, summary), credit)
        yield from exporter.rows(rollout, summary.excluded)
    summary.unreadable = sum(problem.path.parent.name == "branches" for problem in store.problems)


def _admitted(
    store: RunStore, entries: Sequence[Entry], gate: Gate, summary: ExportSummary
) -> Iterator[Admitted]:
    """The branches of one rollout that pass the gate, one at a time."""
    for entry in entries:
        record = store.load(entry)
        if record is None:
            continue  # noted in the store's problems
        summary.branches += 1
        passed = gate.admit(record)
        if isinstance(passed, Admitted):
            summary.admitted += 1
            summary.redactions.update(passed.redactions)
            summary.marked += bool(passed.marks)
            yield passed
        else:
            summary.excluded[passed.reason] += 1


def _read_manifest(out_dir: Path) -> dict[str, Any]:
    place = out_dir / "manifest.json"
    try:
        manifest = json.loads(place.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": KIND, "exports": {}}
    except (OSError, ValueError) as error:
        raise RunDirError(f"{place}: cannot be read ({error}); choose another --out") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise RunDirError(f"{out_dir}: holds something else than exports; choose another --out")
    return manifest
