"""The resource limits of one command, put on a process by its parent so that it cannot take them off again."""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH208

from __future__ import annotations

import contextlib
import functools
import os
import resource
from collections.abc import Iterator, Mapping
from typing import Any

_MIB = 1024 * 1024
_ROUNDS = 20  # whoever is found later has a parent that is bound: a command may fork without end


Amounts = tuple[tuple[int, int], ...]


def amounts(limits: Mapping[str, Any], *, grouped: bool) -> Amounts:
    """(RLIMIT_*, value), none above what this process may give.

    `grouped`: a cgroup bounds memory and processes, and has to be the first to notice. Without one the number
    of processes is bounded here, and the data of each at four times what the watch allows for all: enough to
    stop a single giant step between two looks.
    """
    return _amounts(
        limits["file_mb"], limits["open_files"], limits["processes"], limits["memory_mb"], grouped
    )


@functools.lru_cache(maxsize=16)
def _amounts(file_mb: int, open_files: int, processes: int, memory_mb: int, grouped: bool) -> Amounts:
    wanted = {
        resource.RLIMIT_FSIZE: file_mb * _MIB,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_NPROC: processes + (64 if grouped else 1),  # + PID 1
        resource.RLIMIT_CORE: 0,
    }
    if not grouped:
        wanted[resource.RLIMIT_DATA] = 4 * memory_mb * _MIB
    hard = {what: _own(what)[1] for what in wanted}
    return tuple(
        (what, amount if hard[what] == resource.RLIM_INFINITY else min(amount, hard[what]))
        for what, amount in wanted.items()
    )


@functools.cache
def _own(what: int) -> tuple[int, int]:
    """The limit of PID 1 itself, which never changes for good."""
    return resource.getrlimit(what)


def apply(values: Amounts) -> None:
    """Put the limits on the calling process, hard and soft."""
    for what, amount in values:
        resource.setrlimit(what, (amount, amount))


@contextlib.contextmanager
def lent(values: Amounts) -> Iterator[None]:
    """Soft limits on the calling process meanwhile, for a child that is started in between. See `bind`."""
    for what, amount in values:
        resource.setrlimit(what, (amount, _own(what)[1]))
    try:
        yield
    finally:
        for what, _amount in values:
            resource.setrlimit(what, _own(what))


def bind(child: int, values: Amounts) -> None:
    """Make a child's limits hard. It may have run for some microseconds: what it started meanwhile is bound too.

    To execute a program that sets limits and then the command costs as much as a small command does.
    """
    fresh = {child}
    bound: set[int] = set()
    for _ in range(_ROUNDS):
        for pid in fresh:
            for what, amount in values:
                # It is gone, or has put a lower limit on itself, which nobody may raise.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    resource.prlimit(pid, what, (amount, amount))
        bound |= fresh
        fresh = {int(name) for name in os.listdir(".") if name.isdigit() and name != "1"} - bound
        if not fresh:
            return
