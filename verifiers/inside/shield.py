"""Starts the work's own server where it cannot reach the browser that looks at it.

    python -I -S shield.py PRIVATE PROGRAM ARGUMENT...

Both run in one kernel as one user, so by itself the server could write into the browser's control pipe
through /proc. Landlock forbids that: a process in a domain can neither trace nor open the files of one
outside of it, nor (from ABI 6) signal it; and the browser's private directory is no part of what the domain
may touch.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same number on every architecture
_ABI_ONLY, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38
_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # ABI -> how many rights on files it knows
_ON_FILES = 0b1100_0000_0000_0111  # execute, write, read, truncate, ioctl
_ALL_SCOPES = 0b11  # abstract sockets, signals

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Landlock's version here; 0 when there is none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _ABI_ONLY)))


def restrict(private: Path) -> None:
    """Put this process into a domain of its own that cannot see `private`. Raises `OSError`."""
    version = abi()
    if not version:
        raise OSError("this machine's Linux has no Landlock")
    rights = (1 << max(bits for since, bits in _RIGHTS.items() if since <= version)) - 1
    about = struct.pack("QQQ", rights, 0, _ALL_SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _call(_CREATE_RULESET, about, size, 0)
    for path in beside(private):
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # a dangling link leads nowhere
        allowed = rights if path.is_dir() else rights & _ON_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, fd), 0)
        os.close(fd)
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def beside(private: Path) -> list[Path]:
    """Everything there is but `private` and the directories it lies in."""
    return [
        path
        for parent in private.parents
        for path in parent.iterdir()
        if path not in (private, *private.parents)
    ]


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock call {number}: {os.strerror(ctypes.get_errno())}")
    return result


if __name__ == "__main__":
    restrict(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
