"""A state's difference as an OCI-style layer tar, and back."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import KernelError
from ...kernel import Limits, ReadOnlyMount, Snapshot
from .machine import PYTHON
from .store import Store, remove_tree
from .tree import Difference, open_for_copy

if TYPE_CHECKING:
    from .backend import LocalBackend

_WHITEOUT = ".wh."
_ODD_XATTRS = "ROLLOUT_FORK.xattrs"  # JSON: attributes with names that a header cannot have -> value in hex
_LITERAL = "ROLLOUT_FORK.literal"  # the name of this entry only looks like a whiteout
_IMPORT = "/.import"


def write(difference: Difference, target: Path) -> None:
    """Write the tar; equal differences with equal times give equal bytes."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(difference):
            entry = difference[path]
            info = tarfile.TarInfo(path)
            info.mode = entry.mode
            odd = {name: value for name, value in entry.xattrs if "=" in name or "\n" in name}
            info.pax_headers = {
                f"SCHILY.xattr.{name}": bytes.fromhex(value).decode("utf-8", "surrogateescape")
                for name, value in entry.xattrs
                if name not in odd
            }
            if odd:
                info.pax_headers[_ODD_XATTRS] = json.dumps(odd)
            if entry.kind != "whiteout" and path.rpartition("/")[2].startswith(_WHITEOUT):
                info.pax_headers[_LITERAL] = "1"
            if entry.kind == "whiteout":
                parent, _slash, name = path.rpartition("/")
                info.name = f"{parent}/{_WHITEOUT}{name}" if parent else _WHITEOUT + name
                tar.addfile(info)
                continue
            info.mtime = Path(entry.source).lstat().st_mtime
            if entry.kind == "dir":
                info.type = tarfile.DIRTYPE
            elif entry.kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, entry.content
            elif entry.kind == "fifo":
                info.type = tarfile.FIFOTYPE
            elif entry.same_as and entry.same_as != path:
                info.type, info.linkname = tarfile.LNKTYPE, entry.same_as
            else:
                info.size = entry.size
                with os.fdopen(open_for_copy(Path(entry.source)), "rb") as file:
                    tar.addfile(info, file)
                continue
            tar.addfile(info)


#: Runs inside the kernel with the archive as its argument: whatever the archive says, it can only touch that
#: kernel. Directories get their modes last, so that a closed one does not shut out its own content.
UNPACK = """
import json, os, shutil, sys, tarfile
def clear(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
directories = []
with tarfile.open(sys.argv[1], "r:*") as tar:
    for item in tar:
        parts = [part for part in item.name.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            continue
        path, (parent, name) = "/" + "/".join(parts), ("/" + "/".join(parts[:-1]), parts[-1])
        os.makedirs(parent, exist_ok=True)
        literal = "ROLLOUT_FORK.literal" in item.pax_headers
        if name == ".wh..wh..opq" and not literal:
            for inner in os.listdir(parent):
                clear(os.path.join(parent, inner))
            continue
        if name.startswith(".wh.") and not literal:
            clear(os.path.join(parent, name[4:]))
            continue
        if item.isdir():
            if os.path.islink(path) or not os.path.isdir(path):
                clear(path)
                os.mkdir(path)
            directories.append((path, item.mode, item.mtime))
        else:
            clear(path)
            if item.issym():
                os.symlink(item.linkname, path)
            elif item.islnk():
                os.link("/" + item.linkname.lstrip("/"), path, follow_symlinks=False)
            elif item.isfifo():
                os.mkfifo(path)
            elif item.isfile():
                with open(path, "xb") as out:
                    shutil.copyfileobj(tar.extractfile(item), out, 1 << 20)
            else:
                continue
        for key, value in item.pax_headers.items():
            if key.startswith("SCHILY.xattr.user."):
                os.setxattr(path, key[13:], value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
        for key, value in json.loads(item.pax_headers.get("ROLLOUT_FORK.xattrs", "{}")).items():
            os.setxattr(path, key, bytes.fromhex(value), follow_symlinks=False)
        if not item.isdir() and not item.issym():
            os.chmod(path, item.mode & 0o7777)
            os.utime(path, (item.mtime, item.mtime))
for path, mode, mtime in reversed(directories):
    os.chmod(path, mode & 0o7777)
    os.utime(path, (mtime, mtime))
"""


async def load(backend: LocalBackend, base: Snapshot, archive: Path, env: str) -> Snapshot:
    """`Backend.load`: unpack inside a kernel forked from `base`, and freeze that."""
    await backend.open()
    room = await backend.in_thread(_alone, backend.store, archive)
    try:
        kernel = await backend.start(base, mounts=[ReadOnlyMount(room, _IMPORT)])
        try:
            result = await kernel.run(
                [PYTHON, "-I", "-c", UNPACK, f"{_IMPORT}/layer.tar"],
                cwd="/",
                limits=Limits(wall_s=600.0, memory_mb=4096, file_mb=64 * 1024, disk_mb=64 * 1024),
            )
            if not result.ok:
                reason = result.stderr[-2000:].decode(errors="replace") or result.ended
                raise KernelError(f"{archive} could not be unpacked: {reason}")
            unpacked = await kernel.snapshot()
        finally:
            await kernel.close()
    finally:
        await backend.in_thread(remove_tree, room)
    return Snapshot(unpacked.backend, unpacked.base, unpacked.layers, env)


def _alone(store: Store, archive: Path) -> Path:
    """A directory with nothing in it but the archive."""
    room = store.scratch()
    try:
        shutil.copyfile(archive, room / "layer.tar")
    except OSError as error:
        remove_tree(room)
        raise KernelError(f"{archive} cannot be read: {error.strerror}") from error
    return room
