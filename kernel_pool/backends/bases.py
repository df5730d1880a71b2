"""What back-ends that build their bases on this machine share: the key of a base, and a lock while one is built."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from ..errors import KernelError
from ..kernel import BaseSpec, CopyIn
from .local.tree import HashCache, digest, scan


def base_key(spec: BaseSpec, *also: object) -> str:
    """The digest of everything a base is made from: its spec, the content it copies, and what else is given.

    Raises `KernelError` for a source that cannot be read.
    """
    steps: list[object] = []
    for step in spec.steps:
        if isinstance(step, CopyIn):
            steps.append(["copy", step.target, _content(step.source)])
        else:
            steps.append(["run", step.command, asdict(step.limits)])
    inputs = [*also, spec.workdir, dict(spec.env), steps]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _content(source: Path) -> str:
    try:
        info = source.stat()  # the source itself is the host's word and may be a link
        if stat.S_ISDIR(info.st_mode):
            return digest(scan(source.resolve(), HashCache())[0])
        with source.open("rb") as file:
            return f"{stat.S_IMODE(info.st_mode):o}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise KernelError(f"{source} cannot be copied into a kernel: {error.strerror}") from error


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold a file lock; waiting costs no thread."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.02)
        yield
    finally:
        os.close(fd)
