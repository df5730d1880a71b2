"""Reading Python that somebody else wrote, without running it, from any thread."""

from __future__ import annotations

import ast
import threading

_TRIES = 5
_one_at_a_time = threading.Lock()


def parse_python(source: str | bytes) -> ast.Module | None:
    """The syntax tree, or None for what does not parse or nests too deeply.

    Early CPython 3.11 and 3.12 count the depth of a tree for all threads together (python/cpython issue 106905), so
    that two `ast.parse` at once can end in a `SystemError`: ours take turns, and one disturbed by others tries again.
    """
    with _one_at_a_time:
        for _ in range(_TRIES):
            try:
                return ast.parse(source)
            except SystemError:
                continue
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return None
    return None
