"""From a kernel at rest to a snapshot, and from a snapshot to a layer tar.

The agent tells every path where the user can change anything; what was hashed before and has the same size, times
and inode is not read again. The difference from the base is worked out here, so that equal states are equal
however they were reached, and only a state that is not known yet makes a snapshot at E2B.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ...errors import KernelError
from ...kernel import Snapshot
from ..local.tree import Difference, Entry, digest
from ..trees import difference
from .cloud import Cloud
from .kernel import E2BKernel
from .link import Link
from .store import Base, Signature, Store

_MAX_ANSWER = 32 * 1024 * 1024  # characters of a compressed listing of all entries
_SCAN_S = 600.0
_TICK_NS = 40_000_000  # a file changed within the clock's tick could change again unseen
_KINDS = {"file": "file", "dir": "dir", "link": "link", "fifo": "fifo"}


class Hashes:
    """What files held when they were last read, by path and signature."""

    def __init__(self, base: Base | None = None) -> None:
        self._known: dict[str, tuple[Signature, str]] = {}
        self.since = 0  #: ns; files that changed later are surely not known
        if base is not None:
            self.since = max((sign[2] for sign in base.signatures.values()), default=0)
            self._known = {path: (sign, base.entries[path].content) for path, sign in base.signatures.items()}

    @property
    def signatures(self) -> dict[str, Signature]:
        """The signature of every file that is known."""
        return {path: signature for path, (signature, _content) in self._known.items()}

    def copy(self) -> Hashes:
        """The same knowledge for a fork."""
        other = Hashes()
        other._known, other.since = dict(self._known), self.since
        return other

    def find(self, path: str, signature: Signature) -> str | None:
        """The content's sha256, if this is the file that was read."""
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == signature else None

    def learn(self, path: str, signature: Signature, content: str, now: int) -> None:
        """Remember what was read, if it is settled."""
        if now - signature[2] > _TICK_NS:
            self._known[path] = (signature, content)


async def read_entries(link: Link, places: list[str], hashes: Hashes) -> Difference:
    """Every entry of the places, with digests."""
    request = {"op": "scan", "places": places, "since": hashes.since}
    answer = await link.ask(request, wall_s=_SCAN_S, max_result=_MAX_ANSWER)
    try:
        now = int(answer["now"])
        told = [_told(values) for values in answer["entries"]]
    except (KeyError, TypeError, ValueError) as error:
        raise KernelError(f"the sandbox told no entries: {error!r}") from error
    unknown = []
    for path, entry, sign, content in told:
        if entry.kind == "file" and content is not None:
            hashes.learn(path, sign, content, now)
        elif entry.kind == "file" and hashes.find(path, sign) is None:
            unknown.append((path, sign))
    fresh = {path: content for path, _entry, _sign, content in told if content is not None}
    fresh |= await _read(link, unknown, hashes, now)
    hashes.since = now - _TICK_NS
    found: Difference = {}
    for path, entry, sign, _content in told:
        known = fresh.get(path) or hashes.find(path, sign) if entry.kind == "file" else entry.content
        found[path] = replace(entry, content=known or "")
    return found


async def _read(link: Link, unknown: list[tuple[str, Signature]], hashes: Hashes, now: int) -> dict[str, str]:
    """Digests of files that were not told with their entry, because they are not younger than what is known."""
    if not unknown:
        return {}
    request = {"op": "hash", "paths": [path for path, _sign in unknown]}
    contents = (await link.ask(request, wall_s=_SCAN_S, max_result=_MAX_ANSWER)).get("hashes")
    if not isinstance(contents, list) or len(contents) != len(unknown):
        raise KernelError("the sandbox told no digests")
    fresh: dict[str, str] = {}
    for (path, sign), content in zip(unknown, contents, strict=True):
        fresh[path] = _digest(path, content)
        hashes.learn(path, sign, fresh[path], now)
    return fresh


def _digest(path: str, content: Any) -> str:
    if not isinstance(content, str) or len(content) != 64:
        raise KernelError(f"/{path} of the kernel could not be read")
    return content


def _told(values: Any) -> tuple[str, Entry, Signature, str | None]:
    path, kind, mode, size, modified, changed, inode, target, attributes, content = values
    if not isinstance(path, str) or not isinstance(target, str):
        raise TypeError("a path that is no text")
    xattrs = tuple((str(name), str(value)) for name, value in attributes)
    entry = Entry(_KINDS[kind], int(mode), target, int(size), xattrs=xattrs)  # type: ignore[arg-type]
    signature = (int(size), int(modified), int(changed), int(inode))
    return path, entry, signature, None if content is None else _digest(path, content)


class Freezer:
    """Takes the snapshots of one kernel."""

    def __init__(
        self, store: Store, cloud: Cloud, origin: Snapshot, base: Base, hashes: Hashes, *, mounted: bool
    ) -> None:
        self._store = store
        self._cloud = cloud
        self._base = base
        self._hashes = hashes
        self._mounted = mounted
        self._last = origin

    def fork(self) -> Freezer:
        """The freezer of a copy of the kernel."""
        return Freezer(
            self._store, self._cloud, self._last, self._base, self._hashes.copy(), mounted=self._mounted
        )

    async def freeze(self, kernel: E2BKernel) -> Snapshot:
        """`Kernel.snapshot` of a kernel at rest."""
        if not kernel.changed:
            return self._last
        if not self._mounted:
            fresh = await self._frozen(kernel)
        else:
            await kernel.link.ask({"op": "unlay"}, wall_s=_SCAN_S)
            try:
                fresh = await self._frozen(kernel)
            finally:
                await asyncio.shield(kernel.link.ask({"op": "lay", "mounts": []}, wall_s=_SCAN_S))
        if fresh.digest != self._last.digest:
            self._last = fresh
        kernel.changed = False
        return self._last

    async def _frozen(self, kernel: E2BKernel) -> Snapshot:
        entries = await read_entries(kernel.link, self._base.places, self._hashes)
        changes = difference(self._base.entries, entries)
        layers = (digest(changes),) if changes else ()
        fresh = Snapshot(self._last.backend, self._last.base, layers, kernel.shell_state)
        if not self._store.has_state(fresh):
            cloud_id = await self._cloud.snapshot(kernel.sandbox)
            self._store.put_state(fresh, cloud_id, changes)
        return fresh


async def write_archive(kernel: E2BKernel, changes: Difference, target: Path) -> None:
    """Have the agent pack a difference, and write what it sends."""
    entries = [[path, changes[path].kind] for path in sorted(changes)]
    budget = 64 * 1024 * 1024 + 2 * sum(entry.size for entry in changes.values())
    try:
        with target.open("wb") as file:
            await kernel.link.ask(
                {"op": "pack", "entries": entries}, take=_into(file, budget), wall_s=_SCAN_S
            )
    except OSError as error:
        raise KernelError(f"{target} could not be written: {error}") from error


def _into(file: IO[bytes], budget: int) -> Any:
    left = budget

    def take(_kind: str, data: bytes) -> None:
        nonlocal left
        left -= len(data)
        if left < 0:
            raise KernelError("the sandbox sent a longer archive than its entries can make")
        file.write(data)

    return take
