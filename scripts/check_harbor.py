"""Whether task directories load in the `harbor` package, which wrote the layout.

    python scripts/check_harbor.py TASK_DIR...

Needs harbor (0.25 wants Python 3.12 or later) and nothing of ours, so that it can run in an environment of
its own: `pip install --no-deps harbor==0.25.0 && pip install pydantic toml pathspec` is enough.
Prints `ok NAME` or `error DIRECTORY: REASON` per directory. Exit code 0: all load; 1: some do not;
2: called without directories; 3: harbor is not there.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main(directories: list[str]) -> int:
    """Load every directory and print what came of it; returns the exit code."""
    if not directories:
        print("usage: check_harbor.py TASK_DIR...", file=sys.stderr)
        return 2
    try:
        task_class: Any = importlib.import_module("harbor.models.task.task").Task
    except ImportError as error:
        print(f"harbor cannot be imported here ({error}); see the top of this file", file=sys.stderr)
        return 3
    failed = 0
    for directory in directories:
        try:
            print(f"ok {task_class(directory).name}")
        except (ValueError, TypeError, OSError) as error:  # pydantic's and tomllib's errors are ValueErrors
            failed += 1
            print(f"error {directory}: {' '.join(str(error).split())}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
