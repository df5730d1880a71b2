"""The resource limits of one command, put on a process by its parent so that it cannot take them off again."""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH208

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator, Mapping
from typing import Any

_MIB = 1024 * 1024


def amounts(limits: Mapping[str, Any], *, grouped: bool) -> dict[int, int]:
    """RLIMIT_* -> value, none above what this process may give.

    `grouped`: a cgroup bounds memory and processes, and has to be the first to notice. Without one the number
    of processes is bounded here, and the data of each at four times what the watch allows for all: enough to
    stop a single giant step between two looks.
    """
    wanted = {
        resource.RLIMIT_FSIZE: limits["file_mb"] * _MIB,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_NPROC: limits["processes"] + (64 if grouped else 1),  # + PID 1
        resource.RLIMIT_CORE: 0,
    }
    if not grouped:
        wanted[resource.RLIMIT_DATA] = 4 * limits["memory_mb"] * _MIB
    bounded = {}
    for what, amount in wanted.items():
        hard = resource.getrlimit(what)[1]
        bounded[what] = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    return bounded


def apply(values: Mapping[int, int]) -> None:
    """Put the limits on the calling process, hard and soft."""
    for what, amount in values.items():
        resource.setrlimit(what, (amount, amount))


@contextlib.contextmanager
def lent(values: Mapping[int, int]) -> Iterator[None]:
    """Soft limits on the calling process meanwhile, for a child that is started in between. See `bind`."""
    before = {what: resource.getrlimit(what) for what in values}
    for what, amount in values.items():
        resource.setrlimit(what, (amount, before[what][1]))
    try:
        yield
    finally:
        for what, limit in before.items():
            resource.setrlimit(what, limit)


def bind(child: int, values: Mapping[int, int]) -> None:
    """Make a child's limits hard. It may have run for some microseconds: what it started meanwhile is bound too.

    To execute a program that sets limits and then the command costs as much as a small command does.
    """
    fresh = {child}
    bound: set[int] = set()
    while fresh:
        for pid in fresh:
            for what, amount in values.items():
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, what, (amount, amount))
        bound |= fresh
        fresh = {int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"} - bound
