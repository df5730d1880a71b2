"""What there is in the loopback engine's world, as data."""

from __future__ import annotations

import asyncio
import json
import tarfile
import uuid
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from kernel_pool import Kernel, Limits, Snapshot

_MIB = 1 << 20


@dataclass
class Image:
    """What a name stands for."""

    id: str
    state: Snapshot
    config: dict[str, Any]
    layers: int = 1


@dataclass
class Container:
    """One container; its kernel is started when it is first needed."""

    name: str
    id: str
    image: Image
    config: dict[str, Any]
    limits: Limits
    mounts: list[dict[str, Any]]
    running: bool = False
    kernel: Kernel | None = None
    commands: set[asyncio.Task[Any]] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Exec:
    """One command that was made, and perhaps started."""

    id: str
    container: Container
    config: dict[str, Any]
    exit_code: int | None = None
    running: bool = False


class ApiError(Exception):
    """Becomes an answer with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def new_id() -> str:
    """An id as an engine gives them."""
    return uuid.uuid4().hex * 2


def labelled(labels: dict[str, str], wanted: str) -> bool:
    """Whether labels fit a filter, `name` or `name=value`."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def limits_of(host: dict[str, Any]) -> Limits:
    """What the host configuration of a container means for its commands."""
    return Limits(
        wall_s=3600.0,
        memory_mb=(host.get("Memory") or 4096 * _MIB) // _MIB,
        processes=host.get("PidsLimit") or 256,
        output_bytes=256 * _MIB,
        file_mb=64 * 1024,
        open_files=4096,
    )


def members(archive: Path) -> dict[str, tuple[object, ...]]:
    """path -> what tells it apart; deletions are "whiteout"."""
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(archive) as tar:
        for item in tar:
            parent, _slash, name = item.name.rpartition("/")
            if name.startswith(".wh."):
                found[f"{parent}/{name[4:]}".lstrip("/")] = ("whiteout",)
                continue
            content = tar.extractfile(item) if item.isreg() else None
            digest = sha256(content.read()).hexdigest() if content else ""
            found[item.name] = (item.type, item.mode, item.linkname, digest)
    return found


def lines_of(documents: list[dict[str, Any]]) -> list[bytes]:
    """An answer that is a stream of JSON documents."""
    return [json.dumps(document).encode() + b"\r\n" for document in documents]
