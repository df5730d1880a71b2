"""Where this process may make control groups, and a directory there for one back-end instance.

Version 2 is taken where the memory and pids controllers are delegated to us, else version 1 where its
hierarchies can be written (as a rule: by root). Elsewhere limits are watched instead; see `inside/meter.py`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ...journal import process_start
from .machine import privileged

_CONTROLLERS = ("memory", "pids")
_PREFIX = "rollout-fork-"
_GONE_S = 2.0  # how long the last processes of a dead instance may take to leave


@dataclass(frozen=True)
class Tier:
    """A hierarchy that can be used: its version, and the directory to make ours in, by controller."""

    version: int
    parents: dict[str, Path]

    @property
    def name(self) -> str:
        """What the capabilities call it."""
        return f"cgroup v{self.version}"


@functools.cache
def tier() -> Tier | None:
    """What may be used here, found by doing it; None: nothing."""
    mounts = _mounts()
    for found in (_version_2(mounts), _version_1(mounts)):
        if found is not None and _usable(found):
            return found
    return None


class InstanceGroups:
    """One instance's directories. `about` is written to its state directory first, so that a reaper finds them."""

    def __init__(self, found: Tier, name: str, record: Path, owner: tuple[int, int]) -> None:
        self.version = found.version
        self.paths = {controller: parent / f"{_PREFIX}{name}" for controller, parent in found.parents.items()}
        record.write_text(json.dumps(sorted({str(path) for path in self.paths.values()})))
        for path in dict.fromkeys(self.paths.values()):
            path.mkdir()
            if found.version == 2:
                (path / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
            (path / "zygote").mkdir()
            if privileged():
                os.chown(path, *owner)
                os.chown(path / "cgroup.procs", *owner)

    def take(self, pid: int) -> None:
        """Put the zygote in, whose children may then move to groups of their own."""
        for path in dict.fromkeys(self.paths.values()):
            (path / "zygote" / "cgroup.procs").write_text(str(pid))


def remove(record: Path) -> bool:
    """Remove the directories that a record names, once their last processes are gone. False: some still live."""
    try:
        paths = [Path(text) for text in json.loads(record.read_text())]
    except (OSError, ValueError):
        return True
    deadline = time.monotonic() + _GONE_S
    for path in paths:
        if not path.name.startswith(_PREFIX) or not path.is_relative_to("/sys/fs/cgroup"):
            continue  # not a name that we give
        while path.is_dir():
            for below in (*(entry for entry in path.iterdir() if entry.is_dir()), path):
                with contextlib.suppress(OSError):
                    below.rmdir()
            if path.is_dir():
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.01)
    return True


def remove_dead() -> int:
    """Remove directories of processes that are gone, also when their state directory is; how many."""
    found = tier()
    removed = 0
    for parent in dict.fromkeys(found.parents.values()) if found is not None else ():
        for path in parent.glob(f"{_PREFIX}*-*"):
            pid = path.name.removeprefix(_PREFIX).partition("-")[0]
            if not pid.isdigit() or process_start(int(pid)) is not None:
                continue
            for below in (*(entry for entry in path.iterdir() if entry.is_dir()), path):
                with contextlib.suppress(OSError):  # somebody lives in it, or removes it too
                    below.rmdir()
            removed += not path.exists()
    return removed


def _mounts() -> list[tuple[str, Path, set[str]]]:
    """(type, mount point, options) of every control group hierarchy."""
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _source, place, kind, options, *_rest = line.split()
            if kind in ("cgroup", "cgroup2"):
                found.append((kind, Path(place), set(options.split(","))))
    return found


def _own_path(controller: str) -> str | None:
    """Our group in the hierarchy of a controller ("" for version 2), as /proc tells it."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") if controllers else controller == "":
            return path
    return None


def _version_1(mounts: list[tuple[str, Path, set[str]]]) -> Tier | None:
    parents = {}
    for controller in (*_CONTROLLERS, "cpuacct"):
        place = next(
            (place for kind, place, options in mounts if kind == "cgroup" and controller in options), None
        )
        own = _own_path(controller)
        if place is None or own is None:
            if controller in _CONTROLLERS:
                return None
            continue
        # Below our own group, whose limits hold for us too; in a container it may be shown as the root.
        inside = place / own.strip("/")
        parents[controller] = inside if inside.is_dir() else place
    return Tier(1, parents)


def _version_2(mounts: list[tuple[str, Path, set[str]]]) -> Tier | None:
    place = next((place for kind, place, _options in mounts if kind == "cgroup2"), None)
    own = _own_path("")
    if place is None or own is None:
        return None
    # A group with processes in it cannot pass controllers on, so ours goes beside our own one, or higher up.
    group = place / own.strip("/")
    for parent in (group, *group.parents):
        if not parent.is_relative_to(place):
            break
        with contextlib.suppress(OSError):
            passed_on = (parent / "cgroup.subtree_control").read_text().split()
            if all(controller in passed_on for controller in _CONTROLLERS):
                return Tier(2, dict.fromkeys(_CONTROLLERS, parent))
    with contextlib.suppress(OSError):
        if all(
            controller in (place / "cgroup.controllers").read_text().split() for controller in _CONTROLLERS
        ):
            (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
            return Tier(2, dict.fromkeys(_CONTROLLERS, place))
    return None


def _usable(found: Tier) -> bool:
    for parent in dict.fromkeys(found.parents.values()):
        probe = parent / f"{_PREFIX}probe-{os.getpid()}"
        try:
            probe.mkdir()
            if found.version == 2 and not privileged():
                os.close(os.open(parent / "cgroup.procs", os.O_WRONLY))  # moving a process in needs it
            probe.rmdir()
        except OSError:
            with contextlib.suppress(OSError):
                probe.rmdir()
            return False
    return True
