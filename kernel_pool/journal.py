"""Live kernels on disk, so that what a killed process left behind can be found and removed.

Each process that owns kernels keeps one file `<pid>-<start>-<random>.json` in a directory of the node. A file
whose owner is dead names the kernels to clean up: `reap` ends their processes and removes their directories.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Every process of a kernel has this variable with the kernel's id in its environment.
MARK = "KERNEL_ID"


def process_start(pid: int) -> int | None:
    """When a process started (clock ticks since boot), None when there is none. Tells a reused pid apart."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in (b"Z", b"X") else int(after_name[19])


def default_directory() -> Path:
    """Where kernels without a state_dir of their own are kept: this user's, on this node."""
    return Path(f"/var/tmp/rollout-fork-{os.geteuid()}/plain")


class Journal:
    """The file of one owner in `directory/owners`."""

    def __init__(self, directory: Path) -> None:
        self._kernels: dict[str, str] = {}
        pid = os.getpid()
        self._owner = {"pid": pid, "start": process_start(pid), **surroundings()}
        owners = directory / "owners"
        owners.mkdir(parents=True, exist_ok=True)
        self._file = owners / f"{pid}-{self._owner['start']}-{uuid.uuid4().hex[:8]}.json"

    def add(self, kernel_id: str, directory: Path) -> None:
        """A kernel is about to exist. Call before anything of it does."""
        self._kernels[kernel_id] = str(directory)
        self._write()

    def remove(self, kernel_id: str) -> None:
        """Nothing is left of the kernel."""
        if self._kernels.pop(kernel_id, None) is not None:
            self._write()

    def _write(self) -> None:
        if not self._kernels:
            self._file.unlink(missing_ok=True)
            return
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({**self._owner, "kernels": self._kernels}))
        new.replace(self._file)


def reap(directory: Path | None = None) -> int:
    """Clean up after dead owners; returns how many kernels were removed. Safe beside living ones."""
    from .backends.local.store import remove_tree

    directory = directory or default_directory()
    removed = 0
    for file in sorted(directory.glob("owners/*.json")):
        try:
            record: dict[str, Any] = json.loads(file.read_text())
        except (OSError, ValueError):
            continue  # removed meanwhile
        if alive(record):
            continue
        for kernel_id, path in record["kernels"].items():
            end_processes(kernel_id)
            if Path(path).parent == directory / "kernels":  # nothing else is ever written there
                remove_tree(Path(path))
                removed += 1
        file.unlink(missing_ok=True)
    return removed


def end_processes(kernel_id: str) -> None:
    """Kill every process that carries the kernel's mark, also those that left its session."""
    mark = f"{MARK}={kernel_id}".encode()
    for _ in range(20):  # a process that forks while we look is found on the next round
        found = [pid for pid in _pids() if _marked(pid, mark)]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _marked(pid: int, mark: bytes) -> bool:
    if pid == os.getpid():
        return False
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")  # a zombie's is empty
    except OSError:
        return False  # gone, or somebody else's


def surroundings() -> dict[str, str]:
    """What a pid means depends on these."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"boot": boot, "pid_namespace": str(Path("/proc/self/ns/pid").readlink())}


def alive(owner: dict[str, Any]) -> bool:
    """Whether the process with this pid, start, boot and pid_namespace still runs."""
    here = surroundings()
    if owner["boot"] != here["boot"]:
        return False
    if owner["pid_namespace"] != here["pid_namespace"]:
        return True  # another container on this machine: not ours to judge
    return bool(process_start(owner["pid"]) == owner["start"])
