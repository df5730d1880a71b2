"""The work, and nothing else the agent changed.

An agent may write anywhere in its kernel: loader settings in /etc, modules beside an interpreter's own,
fonts, browser policies. What a verifier runs to look at the work must not start among such things.
`only_workdir` is the task's base with the agent's changes below one directory laid over it; everything else
is as the task made it.
"""

from __future__ import annotations

import asyncio
import posixpath
import tarfile
import tempfile
from pathlib import Path

from kernel_pool import KernelPool, Snapshot

_WHITEOUT = ".wh."


async def only_workdir(pool: KernelPool, base: Snapshot, state: Snapshot, workdir: str) -> Snapshot:
    """The state's changes below `workdir`, on `base`. Raises `KernelError`; `ValueError` for "/"."""
    if posixpath.normpath(workdir) in ("/", "."):
        raise ValueError("the working directory is the whole file tree, so there is nothing to keep apart")
    if state.digest == base.digest:
        return base
    with tempfile.TemporaryDirectory(prefix="rollout-work-") as directory:
        whole, part = Path(directory, "whole.tar"), Path(directory, "part.tar")
        await pool.backend.export(state, whole)
        dropped = await asyncio.to_thread(filter_layer, whole, part, workdir)
        if not dropped:
            return state
        return await pool.backend.load(base, part)


def filter_layer(source: Path, target: Path, workdir: str) -> int:
    """Copy what lies in `workdir` from one layer tar to another; how many entries were left out.

    Nothing is unpacked. The directories above are not counted: what they carry is not the work's to say.
    """
    inside = posixpath.normpath(workdir).strip("/")
    above = {str(parent) for parent in Path(inside).parents} - {"."}
    dropped = 0
    with tarfile.open(source) as whole, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as part:
        for member in whole:
            name = posixpath.normpath(member.name.lstrip("/"))
            if not _belongs(member, name, inside):
                dropped += not (name in above and member.isdir())
                continue
            part.addfile(member, whole.extractfile(member) if member.isreg() else None)
    return dropped


def _belongs(member: tarfile.TarInfo, name: str, inside: str) -> bool:
    if name == inside:
        return member.isdir()  # a link in its place would lead out
    if not name.startswith(inside + "/") or ".." in name.split("/"):
        return False
    if member.islnk():
        return posixpath.normpath(member.linkname.lstrip("/")).startswith(inside + "/")
    return member.isreg() or member.isdir() or member.issym()
