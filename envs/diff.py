"""What an episode changed, as a unified diff of the working directory.

What changed comes from the snapshot itself (its layers above the base, exported as a tar), the originals
from a capture of the base taken while a kernel was still in it. All of it is the agent's: names, sizes and
content are not trusted, nothing is unpacked, and everything is bounded.
"""

from __future__ import annotations

import difflib
import itertools
import posixpath
import tarfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kernel_pool import FileAccessError, Kernel

MAX_FILES = 200  #: files shown
MAX_BYTES = 200_000  #: bytes of the diff
FILE_BYTES = 64 * 1024  #: larger files are named only
CAPTURED_FILES, CAPTURED_BYTES = 2_000, 4 * 1024 * 1024
_LINES = 1_000  # longer changed stretches are shown as replaced whole: matching lines is quadratic
_ENTRIES = 20_000  # of an exported tar
_KEPT_BASES = 64

#: Directories that tools fill on their own; never shown.
NOISE = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".git", ".hypothesis"})


@dataclass(frozen=True)
class Originals:
    """The small files of a base's working directory."""

    files: Mapping[str, bytes]  #: path below the working directory -> content
    others: frozenset[str]  #: files that exist but were not kept (large, or too many)
    complete: bool  #: False: there are more files than could be listed


@dataclass
class Changes:
    """What a snapshot has above its base, below the working directory."""

    files: dict[str, bytes | None] = field(default_factory=dict)  #: new content; None: named only
    notes: dict[str, str] = field(default_factory=dict)  #: for the named ones: why
    deleted: set[str] = field(default_factory=set)  #: files and directories that are gone
    emptied: set[str] = field(default_factory=set)  #: directories of which only what is in `files` is left
    complete: bool = True


_captured: OrderedDict[tuple[str, str], Originals] = OrderedDict()


async def originals(kernel: Kernel, workdir: str, base: str) -> Originals:
    """The originals of a base, read once per process from a kernel that is still in that state."""
    key = (base, workdir)
    if key not in _captured:
        _captured[key] = await _capture(kernel, workdir)
        while len(_captured) > _KEPT_BASES:
            _captured.popitem(last=False)
    _captured.move_to_end(key)
    return _captured[key]


def known_originals(workdir: str, base: str) -> Originals | None:
    """The originals of a base if this process has read them."""
    return _captured.get((base, workdir))


async def _capture(kernel: Kernel, workdir: str) -> Originals:
    try:
        entries = await kernel.list(workdir, depth=32, max_entries=CAPTURED_FILES + 1)
    except FileAccessError:
        return Originals({}, frozenset(), True)
    files: dict[str, bytes] = {}
    others: set[str] = set()
    room = CAPTURED_BYTES
    for entry in entries[:CAPTURED_FILES]:
        if entry.kind == "dir" or _noise(entry.path):
            continue
        if entry.kind != "file" or entry.size > min(room, FILE_BYTES):
            others.add(entry.path)
            continue
        try:
            content = await kernel.read(posixpath.join(workdir, entry.path), max_bytes=FILE_BYTES)
        except FileAccessError:
            others.add(entry.path)
            continue
        files[entry.path] = content
        room -= len(content)
    return Originals(files, frozenset(others), len(entries) <= CAPTURED_FILES)


def read_changes(archive: Path, workdir: str) -> Changes:
    """What an exported layer says about the working directory. Blocking; run it in a thread."""
    changes = Changes()
    room = 4 * MAX_BYTES
    with tarfile.open(archive, "r:*") as tar:
        for number, member in enumerate(tar):
            if number >= _ENTRIES:
                changes.complete = False
                break
            path = _below(member.name, workdir)
            if path is None or _noise(path):
                continue
            parent, name = posixpath.split(path)
            if name == ".wh..wh..opq":
                changes.emptied.add(parent)
            elif name.startswith(".wh."):
                changes.deleted.add(posixpath.join(parent, name[4:]))
            elif member.isreg() and not member.issparse() and member.size <= min(room, FILE_BYTES):
                file = tar.extractfile(member)
                changes.files[path] = file.read(FILE_BYTES) if file else b""
                room -= member.size
            elif not member.isdir():
                changes.files[path] = None
                changes.notes[path] = "a file too large to show" if member.isreg() else "not a regular file"
    return changes


def unified(changes: Changes, before: Originals | None) -> str:
    """The unified diff, at most `MAX_FILES` files and `MAX_BYTES` bytes. Blocking; run it in a thread."""
    parts: list[str] = []
    room, shown = MAX_BYTES, 0
    pairs = sorted(_pairs(changes, before))
    for path, old, new, note in pairs:
        if old == new and not note:
            continue
        text = f"# {_name(path)}: {note}\n" if note else _file_diff(path, old, new)
        size = len(text.encode("utf-8", "replace"))
        if shown >= MAX_FILES or size > room:
            parts.append(f"# and up to {len(pairs) - shown} further files\n")
            break
        parts.append(text)
        room, shown = room - size, shown + 1
    if not changes.complete:
        parts.append("# more was changed than could be looked at\n")
    return "".join(parts)


def _pairs(
    changes: Changes, before: Originals | None
) -> Iterator[tuple[str, bytes | None, bytes | None, str]]:
    """(path, content before, content now, note) for every path that may differ."""
    known = before.files if before else {}
    for path, new in changes.files.items():
        if new is None:
            yield path, None, None, changes.notes[path]
        elif path in known or (before and before.complete and path not in before.others):
            yield path, known.get(path), new, ""
        else:
            yield path, None, None, f"changed, {len(new)} bytes now; its original was not kept"
    listed = [*known, *(before.others if before else ())]
    for path in listed:
        if path not in changes.files and _gone(path, changes):
            yield path, known.get(path), None, "" if path in known else "deleted"


def _gone(path: str, changes: Changes) -> bool:
    above = [path]
    while above[-1]:
        above.append(posixpath.dirname(above[-1]))
    return any(part in changes.deleted for part in above) or any(
        part in changes.emptied for part in above[1:]
    )


def _file_diff(path: str, old: bytes | None, new: bytes | None) -> str:
    before, now = old or b"", new or b""
    if b"\0" in before or b"\0" in now:
        kind = "added" if old is None else "deleted" if new is None else "changed"
        return f"# {_name(path)}: binary file {kind} ({len(before)} -> {len(now)} bytes)\n"
    head = f"--- {'/dev/null' if old is None else 'a/' + _name(path)}\n"
    head += f"+++ {'/dev/null' if new is None else 'b/' + _name(path)}\n"
    a, b = _lines(before), _lines(now)
    return head + "".join(_hunks(a, b))


def _hunks(a: list[str], b: list[str]) -> Iterator[str]:
    """difflib's hunks, with equal ends cut off first and a long middle replaced whole."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    old, new = a[start : len(a) - end], b[start : len(b) - end]
    if max(len(old), len(new)) <= _LINES:
        lines = (
            difflib.unified_diff(a, b, n=3) if max(len(a), len(b)) <= _LINES else _window(a, b, start, end)
        )
        yield from (_ended(line) for line in itertools.islice(lines, 2, None))  # the first two are a heading
        return
    yield f"@@ -{start + 1},{len(old)} +{start + 1},{len(new)} @@\n"
    yield from (_ended("-" + line) for line in old)
    yield from (_ended("+" + line) for line in new)


def _window(a: list[str], b: list[str], start: int, end: int) -> Iterator[str]:
    """A diff of the part that differs, with its line numbers moved to where the part stands."""
    offset = max(0, start - 3)
    tail = max(0, end - 3)
    for line in difflib.unified_diff(a[offset : len(a) - tail], b[offset : len(b) - tail], n=3):
        if line.startswith("@@ "):
            numbers = [part.partition(",") for part in line.split()[1:3]]
            moved = [f"{n[0]}{int(n[1:]) + offset}{comma}{count}" for n, comma, count in numbers]
            yield f"@@ {moved[0]} {moved[1]} @@\n"
        else:
            yield line


def _lines(data: bytes) -> list[str]:
    pieces = data.decode("utf-8", "replace").split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def _ended(line: str) -> str:
    return line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


def _below(name: str, workdir: str) -> str | None:
    """A tar member's path below the working directory; None when it is elsewhere."""
    path = posixpath.normpath("/" + name)
    root = posixpath.normpath(workdir).rstrip("/") + "/"
    path = "/" + path.lstrip("/")
    return path[len(root) :] if path.startswith(root) else None


def _noise(path: str) -> bool:
    return not NOISE.isdisjoint(path.removeprefix(".wh.").split("/"))


def _name(path: str) -> str:
    """A file name that cannot break out of its line."""
    safe = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:500]
    return safe if safe.isprintable() else ascii(safe)[1:-1]
