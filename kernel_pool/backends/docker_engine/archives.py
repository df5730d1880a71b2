"""Files in and out of containers as tar streams. What an engine sends is data: parsed, never unpacked on the host."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ...errors import KernelError
from ..local.tree import Difference, Entry
from . import guest
from .engine import Absent, Engine
from .exchange import carry_out

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_IN_MEMORY = 8 << 20  # bytes; a larger archive is kept in a temporary file
_OWNER = "#owner"  # stands among the extended attributes of what does not belong to root


class Chunks(io.RawIOBase):
    """A file over an iterator of bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def members(
    engine: Engine, container: str, path: str
) -> Iterator[tuple[str, tarfile.TarInfo, IO[bytes] | None]]:
    """What lies at an absolute path of a container and below it: (path without leading slash, member, content).

    Nothing when there is nothing. Blocks; the content has to be read before the next member is asked for.
    """
    what = f"/{path} of {container}"
    try:
        chunks, _stat = engine.blocking(
            what, engine.api.get_archive, container, f"/{path}", chunk_size=1 << 18
        )
    except Absent:
        return
    above = posixpath.dirname(path)
    try:
        with tarfile.open(fileobj=io.BufferedReader(Chunks(chunks), 1 << 18), mode="r|") as tar:
            for item in tar:
                name = posixpath.normpath(item.name.rstrip("/"))
                place = posixpath.normpath(posixpath.join(above, name))
                if place == path or place.startswith(f"{path}/"):
                    yield place, item, tar.extractfile(item) if item.isfile() else None
    except tarfile.TarError as error:
        raise KernelError(f"{what}: the engine sent no proper archive: {error}") from error
    finally:
        chunks.close()


def entry(engine: Engine, container: str, path: str) -> Entry | None:
    """What lies at one path, not below it; None when there is nothing. Blocks."""
    for _place, item, content in members(engine, container, path):
        return _entry(item, content)
    return None


def subtree(
    engine: Engine,
    container: str,
    path: str,
    skip: Callable[[str], bool] = lambda _path: False,
    most: int | None = None,
) -> Difference:
    """Entries at a path and below it; with `most`, as many as come in that many bytes of content. Blocks."""
    found: Difference = {}
    linked: dict[str, str] = {}
    for place, item, content in members(engine, container, path):
        if most is not None and (most := most - item.size) < 0:
            break
        if skip(place):
            continue
        if item.islnk():
            linked[place] = posixpath.normpath(posixpath.join(posixpath.dirname(path), item.linkname))
        elif (made := _entry(item, content)) is not None:
            found[place] = made
    for place, target in linked.items():
        if target in found:
            found[place] = found[target]
    return found


def _entry(item: tarfile.TarInfo, content: IO[bytes] | None) -> Entry | None:
    mode = item.mode & 0o7777
    attributes = tuple(
        (name.removeprefix("SCHILY.xattr."), value.encode("utf-8", "surrogateescape").hex())
        for name, value in sorted(item.pax_headers.items())
        if name.startswith("SCHILY.xattr.")
    )
    if item.uid or item.gid:
        attributes += ((_OWNER, f"{item.uid}:{item.gid}".encode().hex()),)
    if item.isdir():
        return Entry("dir", mode, xattrs=attributes)
    if item.issym():
        return Entry("link", 0o777, item.linkname, xattrs=attributes)
    if item.isfifo():
        return Entry("fifo", mode, xattrs=attributes)
    if content is None:
        return None  # a socket has nobody behind it any more; devices cannot be made in a kernel
    hasher = hashlib.sha256()
    while chunk := content.read(1 << 20):
        hasher.update(chunk)
    return Entry("file", mode, hasher.hexdigest(), item.size, xattrs=attributes)


def pack(engine: Engine, container: str, difference: Difference, target: IO[bytes]) -> None:
    """Write a difference as an OCI-style layer tar, content from a container that holds it. Blocks."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(difference):
            wanted = difference[path]
            if wanted.kind == "whiteout":
                parent, name = posixpath.split(path)
                tar.addfile(tarfile.TarInfo(posixpath.join(parent, WHITEOUT + name)))
                continue
            for _place, item, content in members(engine, container, path):
                item.name = path
                tar.addfile(item, content)
                break
            else:
                raise KernelError(f"/{path} has gone from {container} while it was frozen")


def lay(engine: Engine, container: str, deleted: list[str], tar: IO[bytes]) -> None:
    """Apply deletions, then a tar of additions, to a running container. Blocks. Raises `KernelError`."""
    if deleted and (answer := carry_out(engine, container, guest.remove(deleted))) != b"ok":
        raise KernelError(f"{answer.decode(errors='replace')} could not be deleted in {container}")
    put(engine, container, "/", tar)


def put(engine: Engine, container: str, directory: str, tar: IO[bytes]) -> None:
    """Unpack a tar in a directory of a container; the engine keeps it inside. Blocks. Raises `KernelError`."""
    engine.blocking(f"files for {container}", engine.api.put_archive, container, directory, tar)


def scratch() -> IO[bytes]:
    """A temporary file for an archive."""
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)


def sifted(source: IO[bytes], target: IO[bytes], most: int) -> list[str]:
    """Copy a layer tar that somebody gave us, without what no layer of ours holds; the paths that it deletes.

    Names lose leading slashes; entries with `..` and devices are left out. Raises `KernelError`.
    """
    deleted: list[str] = []
    try:
        with (
            tarfile.open(fileobj=source, mode="r:*") as old,
            tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for item in old:
                parts = [part for part in item.name.split("/") if part not in ("", ".")]
                most -= item.size
                if most < 0:
                    raise KernelError("the archive is larger than a kernel may be")
                if not parts or ".." in parts:
                    continue
                name = parts[-1]
                if name == OPAQUE:
                    deleted.append("/".join([*parts[:-1], ""]))
                elif name.startswith(WHITEOUT):
                    deleted.append("/".join([*parts[:-1], name.removeprefix(WHITEOUT)]))
                elif item.isreg() or item.isdir() or item.issym() or item.islnk() or item.isfifo():
                    clean = replaced(item, "/".join(parts))
                    new.addfile(clean, old.extractfile(item) if item.isreg() else None)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise KernelError(f"the archive cannot be read: {error}") from error
    target.seek(0)
    return deleted


def replaced(item: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    """The member under another name; a hard link's target is made relative to the root as well."""
    item.name = name
    item.pax_headers = {
        key: value for key, value in item.pax_headers.items() if key not in ("path", "linkpath")
    }
    if item.islnk():
        item.linkname = "/".join(part for part in item.linkname.split("/") if part not in ("", ".", ".."))
    return item


def packed_directory(source: Path, target: IO[bytes], name: str = "") -> None:
    """Write a file or the content of a directory of the host as a tar that root owns; links stay links."""

    def owned(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
        item.uid = item.gid = 0
        item.uname = item.gname = ""
        return item if item.isreg() or item.isdir() or item.issym() or item.islnk() or item.isfifo() else None

    try:
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT, dereference=False) as tar:
            if source.is_dir():
                for path in sorted(source.iterdir()):
                    tar.add(path, path.name, filter=owned)
            else:
                tar.add(source.resolve(), name, filter=owned)
    except OSError as error:
        raise KernelError(f"{source} cannot be copied into a kernel: {error}") from error
    target.seek(0)
