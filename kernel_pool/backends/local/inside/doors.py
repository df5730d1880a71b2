"""What PID 1 needs open, whatever a command does to the modes of / and /dev/shm, which belong to it as well.

While a command runs, PID 1 stands in /proc, whose modes nobody changes, and finds it by relative paths alone.
When the command has ended, both directories are made passable for their owner again.
"""

from __future__ import annotations

import os
import stat

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_kept: dict[str, int] = {}


def keep() -> None:
    """Once, in a fresh kernel: hold on to the directories, and stand in /proc."""
    _kept.update({path: os.open(path, _FLAGS) for path in ("/", "/dev/shm", "/proc")})
    go_home()


def go_home() -> None:
    """Stand in /proc."""
    os.fchdir(_kept["/proc"])


def open_again() -> None:
    """Nobody else may be alive in the kernel."""
    for path in ("/", "/dev/shm"):
        mode = stat.S_IMODE(os.fstat(_kept[path]).st_mode)
        if mode & 0o700 != 0o700:
            os.fchmod(_kept[path], mode | 0o700)


def shm() -> int:
    """A descriptor of /dev/shm."""
    return _kept["/dev/shm"]
