"""From a parent's difference and a writable directory to the one canonical difference of the new state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from .tree import Difference, Entry


class Base(Protocol):
    """What a difference lies on (`tree.Below` is one)."""

    def find(self, path: str, /) -> object | None:
        """Something unless there is nothing at `path`."""
        ...

    def names(self, path: str, /) -> Iterable[str]:
        """What a directory holds."""
        ...

    def same(self, path: str, entry: Entry, /) -> bool:
        """Whether `entry` is what lies at `path` already."""
        ...


def canonical(parent: Difference, upper: Difference, opaque: set[str], base: Base) -> Difference:
    """The state `base + parent + upper` as one difference from `base`.

    `opaque` are the directories of `upper` that hide what lies below them. `base` must not hold entries of
    either difference.
    """
    merged, hiding = _laid_over(parent, upper, opaque)
    explicit = _without_opaque(merged, hiding, base)
    return _pruned(_hard_links_named(explicit), base)


def _laid_over(parent: Difference, upper: Difference, opaque: set[str]) -> tuple[Difference, set[str]]:
    """Both in one, and the directories of the result below which the base does not show."""
    merged = dict(parent)
    hiding: set[str] = set()
    for path in sorted(upper):
        entry = upper[path]
        before = merged.get(path)
        replaces = entry.kind != "dir" or path in opaque
        if replaces and before is not None and before.kind == "dir":
            for inner in [other for other in merged if other.startswith(path + "/") and other not in upper]:
                del merged[inner]
        if entry.kind == "dir" and (replaces or (before is not None and before.kind != "dir")):
            hiding.add(path)
        merged[path] = entry
    return merged, hiding


def _without_opaque(merged: Difference, hiding: set[str], base: Base) -> Difference:
    """The same with every hidden name of the base deleted one by one."""
    explicit = dict(merged)
    todo = sorted(hiding)
    while todo:
        directory = todo.pop()
        for name in base.names(directory):
            path = f"{directory}/{name}"
            entry = explicit.get(path)
            if entry is None:
                explicit[path] = Entry("whiteout")
            elif entry.kind == "dir":
                todo.append(path)
    return explicit


def _hard_links_named(difference: Difference) -> Difference:
    """Files that share an inode say so by the first path of their group."""
    groups: dict[int, list[str]] = {}
    for path in sorted(difference):
        entry = difference[path]
        if entry.kind == "file" and entry.inode:
            groups.setdefault(entry.inode, []).append(path)
    named = {path: replace(entry, same_as="") for path, entry in difference.items()}
    for paths in groups.values():
        if len(paths) > 1:
            for path in paths:
                named[path] = replace(named[path], same_as=paths[0])
    return named


def _pruned(difference: Difference, base: Base) -> Difference:
    """Without what the base already has. Children go before their directories, which may then be superfluous."""
    kept: Difference = {}
    needed: set[str] = set()
    for path in sorted(difference, reverse=True):
        entry = difference[path]
        if entry.kind == "whiteout":
            superfluous = base.find(path) is None
        else:
            superfluous = path not in needed and base.same(path, entry)
        if superfluous:
            continue
        kept[path] = entry
        if "/" in path:
            needed.add(path.rpartition("/")[0])
    return kept
