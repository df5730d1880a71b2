"""A pool's counters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class PoolStats:
    """A pool's counters at one moment."""

    max_concurrent: int
    live: int  #: kernels that exist or are being started or closed, a prepare's included
    peak: int  #: the largest `live` so far; never above max_concurrent
    leased: int  #: kernels on loan now
    idle: int  #: unused kernels kept for an equal request
    waiting: int  #: requests waiting for a place
    started: int  #: kernels started
    reused: int  #: leases served by a kernel that nobody had used
    failed_starts: int
    failed_closes: int  #: kernels whose closing failed; see the log
    leases: int  #: leases handed out
    abandoned: int  #: leases whose holder went away without releasing them
    wait_s: float  #: seconds that requests waited for their place, in total


@dataclass
class Counters:
    """The pool's own tally; fields as in `PoolStats`."""

    live: int = 0
    peak: int = 0
    started: int = 0
    reused: int = 0
    failed_starts: int = 0
    failed_closes: int = 0
    leases: int = 0
    abandoned: int = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count a kernel from before it exists. It stays counted until it is closed, unless it never came."""
        self.live += 1
        self.peak = max(self.peak, self.live)
        came = False
        try:
            yield
            came = True
        finally:
            if came:
                self.started += 1
            else:
                self.live -= 1
                self.failed_starts += 1

    @contextmanager
    def one_meanwhile(self) -> Iterator[None]:
        """Count a kernel that somebody else starts and closes inside the block."""
        self.live += 1
        self.peak = max(self.peak, self.live)
        try:
            yield
        finally:
            self.live -= 1
