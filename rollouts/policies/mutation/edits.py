"""From one text of a file to another by the smallest `edit_file` whose old text occurs exactly once."""

from __future__ import annotations

MAX_LINES = 30  #: an edit longer than that is better made in two


def between(current: str, target: str) -> tuple[str, str] | None:
    """(old, new) that turns `current` into `target`; None when they are equal or there is nothing to match."""
    if current == target:
        return None
    before, after = current.splitlines(keepends=True), target.splitlines(keepends=True)
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    while True:
        old, new = "".join(before[head : len(before) - tail]), "".join(after[head : len(after) - tail])
        if old and _once(current, old):
            return _without_line_end(current, old, new)
        if head == 0 and tail == 0:
            return None
        head, tail = max(head - 1, 0), max(tail - 1, 0)


def _once(text: str, piece: str) -> bool:
    first = text.find(piece)
    return first >= 0 and text.find(piece, first + 1) < 0


def _without_line_end(current: str, old: str, new: str) -> tuple[str, str]:
    """The same edit without the last line end, where it stays unique: it reads better."""
    if old.endswith("\n") and new.endswith("\n") and len(old) > 1 and _once(current, old[:-1]):
        return old[:-1], new[:-1]
    return old, new
