"""States of branches kept on disk, so that any branch can be forked later from any step that was kept.

A state is stored once, whoever reached it: `snapshots/<digest>.tar` holds the files that differ from the
task's prepared base, `<digest>.json` the rest.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from kernel_pool import Backend, KernelError, Snapshot

from .errors import ConfigError, RunDirError, StorageRefused
from .records import BranchRecord


def state_at(record: BranchRecord, step: int) -> str:
    """Digest of the state after the first `step` steps of a branch.

    Raises `ConfigError` when it has no such step, `RunDirError` when the state was not kept.
    """
    steps = record.trajectory.steps
    if not 0 <= step <= len(steps):
        raise ConfigError(f"--step {step}: {record.lineage.branch_id} has steps 0 to {len(steps)}")
    if step == 0:
        return record.lineage.fork_state if not record.lineage.parent else record.environment.base
    state = steps[step - 1].state
    if state is None:
        raise RunDirError(
            f"the state after step {step} of {record.lineage.branch_id} was not kept; "
            "run with `snapshots: changes` to fork later"
        )
    return state


class SnapshotArchive:
    """The `snapshots/` directory of a run. Safe for many writers: equal states are equal files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def has(self, digest: str) -> bool:
        """Whether a state was kept."""
        return self._meta(digest).exists()

    async def keep(self, backend: Backend, snapshot: Snapshot) -> bool:
        """Store a state; False when it could not be exported. Raises `RunDirError` when the disk refuses."""
        if self.has(snapshot.digest):
            return True
        part = self.directory / f".{snapshot.digest}.{uuid.uuid4().hex}.part"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            await backend.export(snapshot, part)
            part.replace(self._archive(snapshot.digest))
            meta = json.dumps({"backend": snapshot.backend, "base": snapshot.base, "env": snapshot.env})
            part.write_text(meta, encoding="utf-8", errors="surrogateescape")
            part.replace(self._meta(snapshot.digest))
        except KernelError:
            return False
        except OSError as error:
            raise StorageRefused(
                f"{self.directory}: cannot keep a snapshot ({error.strerror or error})"
            ) from None
        finally:
            part.unlink(missing_ok=True)
        return True

    async def restore(self, backend: Backend, base: Snapshot, digest: str) -> Snapshot:
        """A kept state on top of the task's prepared base.

        Raises `RunDirError` when it was not kept, or when the base is not the one it was made on.
        """
        if digest == base.digest:
            return base
        if not self.has(digest):
            raise RunDirError(
                f"{self.directory}: state {digest[:12]} was not kept; run with `snapshots: changes` to fork later"
            )
        meta = json.loads(self._meta(digest).read_text(encoding="utf-8", errors="surrogateescape"))
        if meta["base"] != base.base:
            raise RunDirError(
                f"state {digest[:12]} stands on base {meta['base'][:12]}, but the task now prepares "
                f"{base.base[:12]}: the task or its environment has changed since the run"
            )
        return await backend.load(base, self._archive(digest), env=meta["env"])

    def _archive(self, digest: str) -> Path:
        return self.directory / f"{digest}.tar"

    def _meta(self, digest: str) -> Path:
        return self.directory / f"{digest}.json"
