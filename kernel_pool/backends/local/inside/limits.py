"""The resource limits of one command, and the three ways to put them on a process before it runs anything."""

from __future__ import annotations

import os
import resource

_MIB = 1024 * 1024
_PRLIMIT = next((path for path in ("/usr/bin/prlimit", "/bin/prlimit") if os.access(path, os.X_OK)), None)


def amounts(limits: dict[str, int]) -> dict[int, int]:
    """RLIMIT_* -> value, none above what this process may give."""
    wanted = {
        resource.RLIMIT_AS: limits["memory_mb"] * _MIB,
        resource.RLIMIT_NPROC: limits["processes"] + 1,  # + PID 1
        resource.RLIMIT_FSIZE: limits["file_mb"] * _MIB,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CORE: 0,
    }
    bounded = {}
    for what, amount in wanted.items():
        hard = resource.getrlimit(what)[1]
        bounded[what] = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    return bounded


def apply(limits: dict[str, int]) -> None:
    """Put the limits on the calling process, hard and soft."""
    for what, amount in amounts(limits).items():
        resource.setrlimit(what, (amount, amount))


def shell_command(limits: dict[str, int]) -> str:
    """The same as a command of bash."""
    values = amounts(limits)
    return (
        f"ulimit -v {values[resource.RLIMIT_AS] // 1024} -u {values[resource.RLIMIT_NPROC]}"
        f" -f {values[resource.RLIMIT_FSIZE] // 1024} -n {values[resource.RLIMIT_NOFILE]} -c 0"
    )


def wrapped(argv: list[str], limits: dict[str, int]) -> list[str] | None:
    """The same as a command line that sets the limits and executes `argv`; None without util-linux' prlimit."""
    if _PRLIMIT is None:
        return None
    values = amounts(limits)
    options = (
        ("as", resource.RLIMIT_AS),
        ("nproc", resource.RLIMIT_NPROC),
        ("fsize", resource.RLIMIT_FSIZE),
        ("nofile", resource.RLIMIT_NOFILE),
        ("core", resource.RLIMIT_CORE),
    )
    return [_PRLIMIT, *(f"--{name}={values[what]}" for name, what in options), "--", *argv]
