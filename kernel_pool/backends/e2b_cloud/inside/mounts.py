"""Directories of the host laid over paths of the sandbox: copies without write permission, kept as they came.

E2B has no mounts. What lay at the target is put aside in the agent's room; `unlay` brings it back before a
snapshot. A command that may write above a target can move the copy away; `mend` puts it back after the command.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
from typing import Any


def lay(room: str, wanted: list[dict[str, str]]) -> None:
    """Lay each archive of the room over its target, shorter targets first; without any, those of the time before."""
    record = _load(room)
    if wanted:
        record = [
            {"target": mount["target"], "archive": os.path.basename(mount["archive"])} for mount in wanted
        ]
    for number, mount in enumerate(record):
        target = mount["target"].rstrip("/")
        parent = os.path.realpath(os.path.dirname(target))
        mount["made"] = _make(parent)
        mount["place"] = os.path.join(parent, os.path.basename(target))
        if os.path.lexists(mount["place"]):
            _move(mount["place"], _hidden(room, number))
        _fill(room, mount)
    _save(room, record)


def unlay(room: str) -> None:
    """Put everything back as it was, but remember what was laid."""
    record = _load(room)
    for number, mount in reversed(list(enumerate(record))):
        _remove(mount["place"])
        if os.path.lexists(_hidden(room, number)):
            _make(os.path.dirname(mount["place"]))
            _move(_hidden(room, number), mount["place"])
        for made in reversed(mount["made"]):
            try:
                os.rmdir(made)
            except OSError:
                break  # somebody put something there: it is theirs now
    _save(room, record)


def mend(room: str) -> None:
    """Lay anew whatever is not as it was laid."""
    record = _load(room)
    changed = [mount for mount in record if _signature(mount["place"]) != mount["signature"]]
    for mount in changed:
        _remove(mount["place"])
        _make(os.path.dirname(mount["place"]))
        _fill(room, mount)
    if changed:
        _save(room, record)


def covers(room: str, path: str) -> bool:
    """Whether a path lies at or below a mount."""
    real = os.path.realpath(path)
    return any(real == mount["place"] or real.startswith(mount["place"] + "/") for mount in _load(room))


def _load(room: str) -> list[dict[str, Any]]:
    try:
        with open(os.path.join(room, "mounts.json")) as file:
            record: list[dict[str, Any]] = json.load(file)
            return record
    except FileNotFoundError:
        return []


def _save(room: str, record: list[dict[str, Any]]) -> None:
    with open(os.path.join(room, "mounts.json"), "w") as file:
        json.dump(record, file)
    os.chmod(os.path.join(room, "mounts.json"), 0o600)


def _hidden(room: str, number: int) -> str:
    return os.path.join(room, f"hidden-{number}")


def _make(directory: str) -> list[str]:
    """Make a directory; the ones that were not there, outermost first."""
    missing: list[str] = []
    while not os.path.isdir(directory):
        _remove(directory)
        missing.insert(0, directory)
        directory = os.path.dirname(directory)
    for path in missing:
        os.mkdir(path)
    return missing


def _fill(room: str, mount: dict[str, Any]) -> None:
    place = mount["place"]
    os.mkdir(place)
    with tarfile.open(os.path.join(room, mount["archive"])) as tar:
        tar.extraction_filter = lambda member, _path: member  # the host made it
        for item in tar:
            item.uid = item.gid = 0
            item.uname = item.gname = ""
            tar.extract(item, place, numeric_owner=True)
    for directory, _below, names in os.walk(place, topdown=False):
        for path in [*(os.path.join(directory, name) for name in names), directory]:
            if not os.path.islink(path):
                os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) & ~0o222)
    mount["signature"] = _signature(place)


def _signature(place: str) -> str:
    hasher = hashlib.sha256()
    try:
        todo = [place]
        while todo:
            path = todo.pop()
            info = os.lstat(path)
            facts = (
                path,
                info.st_mode,
                info.st_uid,
                info.st_ino,
                info.st_size,
                info.st_mtime_ns,
                info.st_ctime_ns,
            )
            hasher.update(repr(facts).encode("utf-8", "surrogateescape"))
            if stat.S_ISDIR(info.st_mode):
                todo += sorted(os.path.join(path, name) for name in os.listdir(path))
    except OSError:
        return ""
    return hasher.hexdigest()


def _move(source: str, target: str) -> None:
    """Rename, or copy and remove where that cannot be."""
    try:
        os.rename(source, target)
    except OSError:
        subprocess.run(["cp", "-a", "-T", "--", source, target], check=True, capture_output=True)
        _remove(source)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        for directory, _names, _files in os.walk(path):
            os.chmod(directory, 0o700)
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
