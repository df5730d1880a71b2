"""States as images: a base image, and for each state above it an image whose labels say how it differs.

A state's name is the digest of its canonical difference from the base, so equal files give equal states however
they were reached. The engine says which paths of a container changed; what they hold now, and held in the base,
is read from the engine too: programs inside a container cannot be asked, whoever worked there may have replaced
them.
"""

from __future__ import annotations

import base64
import json
import posixpath
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ...errors import KernelClosed, KernelError, SnapshotMissing
from ...kernel import Snapshot, snapshot_digest
from ..local.merge import canonical
from ..local.tree import Difference, Entry, digest
from . import archives, guest
from .engine import Absent, Conflict, Engine
from .maker import Maker

BASES, STATES = "rollout-fork/base", "rollout-fork/state"
ENTRIES = "rollout-fork.entries"  # label of a state: its difference
MAX_LAYERS = 100  # of one image; engines and overlayfs stop at about 125
_ENGINES_OWN = (
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/mtab",
    ".dockerenv",
    "dev",
    "proc",
    "sys",
)
_NO_STATE = (*_ENGINES_OWN, guest.PRIVATE.strip("/"))
_MANY = 4  # changes in one directory from which on it is fetched as a whole
_QUICKLY = 32 << 20  # bytes of content that are fetched for some of them
_ADDED, _DELETED = 1, 2  # in the engine's list of changes


class BaseView:
    """The files of a base, asked for one by one and remembered. Blocks; safe to use from several threads."""

    def __init__(self, engine: Engine, container: str, workdir: str) -> None:
        self._engine = engine
        self.container = container
        self._workdir = workdir.strip("/")
        self._known: dict[str, Entry | None] = {"": Entry("dir", 0o755)}
        self._whole: set[str] = set()  # directories all of whose content is known
        self._begun: set[str] = set()  # directories some of whose content was fetched at once
        self._lock = threading.RLock()

    def find(self, path: str) -> Entry | None:
        """What lies at a path."""
        with self._lock:
            if path not in self._known:
                self._learn(path)
            return self._known[path]

    def _learn(self, path: str) -> None:
        above = posixpath.dirname(path)
        parent = self.find(above)
        if path in self._known:
            return  # it came with its directory
        if parent is None or parent.kind != "dir" or self._is_whole(above):
            self._known[path] = None
        elif path == self._workdir:
            self._load(path)
        else:
            self._known[path] = archives.entry(self._engine, self.container, path)

    def names(self, path: str) -> list[str]:
        """What a directory holds."""
        with self._lock:
            found = self.find(path)
            if found is None or found.kind != "dir":
                return []
            if not self._is_whole(path):
                self._load(path)
            below = f"{path}/"
            return [
                other[len(below) :]
                for other, known in self._known.items()
                if known is not None and other.startswith(below) and "/" not in other[len(below) :]
            ]

    def same(self, path: str, entry: Entry) -> bool:
        """Whether the base has this entry there."""
        found = self.find(path)
        return found is not None and found.identity() == entry.identity()

    def expect(self, path: str) -> None:
        """Much below this directory will be asked for: fetch what comes quickly."""
        with self._lock:
            found = self.find(path)
            if (
                found is not None
                and found.kind == "dir"
                and not self._is_whole(path)
                and path not in self._begun
            ):
                self._begun.add(path)
                self._known |= archives.subtree(self._engine, self.container, path, most=_QUICKLY)

    def _load(self, path: str) -> None:
        self._known[path] = None
        self._known |= archives.subtree(self._engine, self.container, path)
        self._whole.add(path)

    def _is_whole(self, path: str) -> bool:
        return any(path == whole or path.startswith(f"{whole}/") for whole in self._whole)


@dataclass
class Origin:
    """What a kernel was started from, as far as freezing it needs."""

    base: str  #: digest
    base_image: str
    image: str  #: of the state it was started from
    layers: int  #: of that image
    difference: Difference
    mounts: tuple[str, ...] = ()  #: targets, without slashes around
    plain: bool = True  #: an image of the container as it is would be the state and nothing else
    made: set[str] = field(default_factory=set)  #: paths that only starting the container made


class States:
    """Reads and writes them. Every method blocks."""

    def __init__(self, engine: Engine, maker: Maker) -> None:
        self._engine = engine
        self._maker = maker

    def origin(self, snapshot: Snapshot) -> tuple[Origin, dict[str, Any]]:
        """Of a snapshot, with the configuration of its base image. Raises `SnapshotMissing`."""
        base = self._inspect(f"{BASES}:{snapshot.base}", f"base {snapshot.base[:12]}")
        if not snapshot.layers:
            origin = Origin(snapshot.base, base["Id"], base["Id"], len(base["RootFS"]["Layers"]), {})
            return origin, base["Config"]
        state = self._inspect(
            f"{STATES}:{_name(snapshot.base, snapshot.layers)}", f"state {snapshot.digest[:12]}"
        )
        difference = _unpacked(state["Config"]["Labels"].get(ENTRIES, ""))
        layers = len(state["RootFS"]["Layers"])
        return Origin(snapshot.base, base["Id"], state["Id"], layers, difference), base["Config"]

    @contextmanager
    def container(self, snapshot: Snapshot) -> Iterator[tuple[str, Origin]]:
        """A container that holds the snapshot's files and is never started."""
        origin, _config = self.origin(snapshot)
        with self._maker.borrowed(origin.image, run=False) as name:
            yield name, origin

    @contextmanager
    def at_rest(self, container: str) -> Iterator[None]:
        """Hold a container still: nothing that a command may have hidden in it can act while it is read."""
        api, what = self._engine.api, f"holding {container} still"
        pausable = (
            self._engine.info.get("CgroupDriver") != "none"
        )  # a rootless engine on cgroup v1 has no freezer
        if pausable:
            self._gone_is_closed(what, api.pause, container)
        try:
            yield
        finally:
            if pausable:
                self._gone_is_closed(what, api.unpause, container)

    def _gone_is_closed(self, what: str, work: Callable[[str], object], container: str) -> None:
        try:
            self._engine.blocking(what, work, container)
        except (Absent, Conflict) as error:
            raise KernelClosed(f"kernel {container} is gone: {error}") from error

    def has(self, base: str, layers: tuple[str, ...]) -> bool:
        """Whether the state is here."""
        return self.image(f"{STATES}:{_name(base, layers)}") is not None

    def image(self, name: str) -> dict[str, Any] | None:
        """What the engine knows about an image."""
        try:
            found: dict[str, Any] = self._engine.blocking(
                f"image {name}", self._engine.api.inspect_image, name
            )
        except Absent:
            return None
        return found

    def changes(self, container: str) -> dict[str, int]:
        """Paths that differ from the container's image, without leading slash -> kind of change."""
        told = self._engine.blocking(f"changes in {container}", self._engine.api.diff, container)
        paths = {change["Path"].strip("/"): int(change["Kind"]) for change in told or []}
        return {path: kind for path, kind in paths.items() if not _at_or_below(path, _NO_STATE)}

    def difference(self, container: str, origin: Origin, base: BaseView) -> Difference:
        """The canonical difference of a container at rest from its base."""
        changes = {
            path: kind
            for path, kind in self.changes(container).items()
            if not _at_or_below(path, origin.mounts)
        }
        for path in [path for path in changes if _looks_deleting(path)]:
            origin.plain = False
            del changes[path]
        if not changes:
            return origin.difference
        upper, opaque = self._read(container, changes, origin.mounts)
        for path in _busy(changes):
            base.expect(path)
        found = canonical(origin.difference, upper, opaque, base)
        for path in sorted(origin.made, reverse=True):  # directories only there to mount something
            if path in found and not any(other.startswith(f"{path}/") for other in found):
                del found[path]
        return found

    def _read(
        self, container: str, changes: dict[str, int], mounts: Sequence[str]
    ) -> tuple[Difference, set[str]]:
        """What the changed paths hold now, and which of them are directories deleted and made again."""
        upper: Difference = {}

        def no_state(place: str) -> bool:
            return _at_or_below(place, (*_NO_STATE, *mounts)) or _looks_deleting(place)

        for path in _whole(changes):
            upper |= archives.subtree(self._engine, container, path, no_state)
        for path in _busy({path: kind for path, kind in changes.items() if path not in upper}):
            found = archives.subtree(
                self._engine, container, path, lambda place: place not in changes, _QUICKLY
            )
            upper |= found
        for path in sorted(changes.keys() - upper.keys()):
            entry = archives.entry(self._engine, container, path)
            if entry is not None:
                upper[path] = entry
            elif changes[path] == _DELETED:
                upper[path] = Entry("whiteout")
        opaque = {path for path, kind in changes.items() if kind == _DELETED and upper[path].kind == "dir"}
        return upper, opaque

    def keep(self, container: str, origin: Origin, difference: Difference) -> tuple[str, ...]:
        """Make the container's state an image, unless it is one; the layers of its snapshot."""
        if not difference:
            return ()
        layers = (digest(difference),)
        if self.has(origin.base, layers):
            return layers
        if origin.mounts or not origin.plain or origin.layers >= MAX_LAYERS:
            self._flatten(container, origin, difference, layers)
        else:
            self.commit(container, STATES, _name(origin.base, layers), {ENTRIES: _packed(difference)})
        return layers

    def commit(self, container: str, repository: str, tag: str, labels: dict[str, str]) -> None:
        """The container's files as an image of this name."""
        self._engine.blocking(
            f"an image of {container}",
            self._engine.api.commit,
            container,
            repository,
            tag,
            pause=False,  # nothing runs in it but a PID 1 that waits
            conf={"Labels": {**self._maker.labels, **labels}},
        )

    def _flatten(
        self, container: str, origin: Origin, difference: Difference, layers: tuple[str, ...]
    ) -> None:
        """The same state as one layer above the base: without mount points, and never too deep."""
        with archives.scratch() as tar, self._maker.borrowed(origin.base_image) as fresh:
            archives.pack(
                self._engine, container, {p: e for p, e in difference.items() if e.kind != "whiteout"}, tar
            )
            tar.seek(0)
            gone = [path for path, entry in difference.items() if entry.kind == "whiteout"]
            archives.lay(self._engine, fresh, gone, tar)
            self.commit(fresh, STATES, _name(origin.base, layers), {ENTRIES: _packed(difference)})

    def _inspect(self, name: str, what: str) -> dict[str, Any]:
        found = self.image(name)
        if found is None:
            raise SnapshotMissing(
                f"{what} is not in the engine at {self._engine.address}; made elsewhere or removed"
            )
        return found


def _whole(changes: dict[str, int]) -> list[str]:
    """Paths that are read with all that is below them: new and remade directories, and directories with names
    that are no UTF-8, which the engine's list of changes has lost.
    """
    holding = {posixpath.dirname(path) for path in changes}
    chosen = {
        path for path, kind in changes.items() if kind == _ADDED or (kind == _DELETED and path in holding)
    }
    chosen |= {posixpath.dirname(path) for path in changes if "\ufffd" in path} - {""}
    return [path for path in sorted(chosen) if not any(above in chosen for above in _above(path))]


def _busy(changes: dict[str, int]) -> list[str]:
    """Directories in which several files changed: one request for each is cheaper than one for each file."""
    counts = Counter(posixpath.dirname(path) for path in changes)
    chosen = {path for path, count in counts.items() if count >= _MANY and path}
    return [path for path in sorted(chosen) if not any(above in chosen for above in _above(path))]


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _looks_deleting(path: str) -> bool:
    """A file `.wh.x` would, in a layer, delete the `x` below it: it cannot be kept, and must not be committed."""
    return f"/{path}".find(f"/{archives.WHITEOUT}") >= 0


def _name(base: str, layers: tuple[str, ...]) -> str:
    return snapshot_digest(base, layers, "")


def _at_or_below(path: str, targets: Sequence[str]) -> bool:
    return any(path == target or path.startswith(f"{target}/") for target in targets)


def _packed(difference: Difference) -> str:
    text = json.dumps([[path, difference[path].identity()] for path in sorted(difference)])
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogateescape"))).decode()


def _unpacked(label: str) -> Difference:
    try:
        fields = json.loads(zlib.decompress(base64.b64decode(label)).decode("utf-8", "surrogateescape"))
        return {
            path: Entry(**{**entry, "xattrs": tuple((name, value) for name, value in entry["xattrs"])})
            for path, entry in fields
        }
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise KernelError(f"a state's label {ENTRIES} is not one that was written here: {error}") from error
